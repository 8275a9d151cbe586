"""The whole suite on data in their own layouts, as a new user would run it."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from anymask.evaluation.task import TASKS
from tests.integration.conftest import Start, outline, scene


def results_of(folder: Path) -> dict[str, Any]:
    return {task: json.loads((folder / task / "results.json").read_text()) for task in TASKS}


def lasting(results: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in results.items() if name not in ("date", "latency_ms")}


@pytest.mark.slow
def test_every_task_leaves_its_files_and_there_is_one_report(
    run: Callable[..., str], world: list[str], tmp_path: Path
) -> None:
    printed = run("evaluate", *world, "out=suite")
    results = results_of(tmp_path / "suite")
    headlines = {"point_to_mask": "miou@1", "edges": "ods", "proposals": "ar@1000", "instance_segmentation": "ap"}
    html, markdown = ((tmp_path / "suite" / f"report.{ending}").read_text() for ending in ("html", "md"))
    for task, name in headlines.items():
        assert results[task]["task"] == task
        assert results[task]["counts"]["images"] == 4
        assert 0 <= results[task]["metrics"][name] <= 1
        assert results[task]["floors"]
        assert f"{name} {results[task]['metrics'][name]:.3f}" in printed
        lines = (tmp_path / "suite" / task / "records.jsonl").read_text().splitlines()
        assert [json.loads(line)["image"] for line in lines[1:]] == ["0", "1", "2", "3"]
    assert html.count('<section class="task"') == markdown.count("### How it was measured") == 4
    assert html.count("<img") >= 8
    assert "http" not in html.split("</style>")[1].replace("https://", "")
    assert len(list((tmp_path / "suite" / "edges" / "maps").iterdir())) == 4


@pytest.mark.slow
def test_a_limit_stands_in_every_table(run: Callable[..., str], world: list[str], tmp_path: Path) -> None:
    run("evaluate", *world, "out=suite", "limit=2")
    text = (tmp_path / "suite" / "report.html").read_text()
    tables = text.split("<table>")[1:]
    assert len(tables) > 8
    assert [table for table in tables if "Of the first 2 images only." not in table] == []


@pytest.mark.slow
def test_what_was_killed_goes_on_and_ends_the_same(
    run: Callable[..., str], start: Start, world: list[str], tmp_path: Path
) -> None:
    run("evaluate", *world, "out=whole")
    for _ in range(3):
        process = start("evaluate", *world, "out=killed")
        time.sleep(4)
        if process.is_alive() and process.pid:
            process.kill()
        process.join()
        assert process.exitcode in (0, -signal.SIGKILL)
    run("evaluate", *world, "out=killed")
    whole, killed = results_of(tmp_path / "whole"), results_of(tmp_path / "killed")
    for task in TASKS:
        assert lasting(killed[task]) == lasting(whole[task])


@pytest.mark.slow
def test_a_task_without_objects_does_not_keep_the_others_from_theirs(
    run: Callable[..., str], world: list[str], tmp_path: Path
) -> None:
    truth = json.loads((tmp_path / "instances.json").read_text())
    (tmp_path / "empty.json").write_text(json.dumps(truth | {"annotations": []}))
    settings = ["data=empty.json" if each == "data=instances.json" else each for each in world]
    printed = run("evaluate", *settings, "out=suite", status=1)
    assert "error: there is nothing to evaluate in empty" in printed
    assert "Traceback" not in printed
    assert (tmp_path / "suite" / "edges" / "results.json").is_file()
    assert "Edges" in (tmp_path / "suite" / "report.html").read_text()


@pytest.mark.slow
def test_two_processes_share_every_task(
    run: Callable[..., str], run_together: Callable[..., list[str]], world: list[str], tmp_path: Path
) -> None:
    run("evaluate", *world, "out=alone")
    run_together(*world, "out=together")
    for task in TASKS:
        alone, both = (tmp_path / folder / task / "records.jsonl" for folder in ("alone", "together"))
        assert both.read_text() == alone.read_text()
    assert len(list((tmp_path / "together" / "edges" / "maps").iterdir())) == 4


@pytest.mark.slow
def test_edge_maps_of_any_method_are_measured_without_a_model(
    run: Callable[..., str], world: list[str], tmp_path: Path
) -> None:
    edge_maps = tmp_path / "maps"
    edge_maps.mkdir()
    for number in range(4):
        drawn = np.logical_or(*map(outline, scene(number)[1]))
        cv2.imwrite(str(edge_maps / f"{number}.png"), drawn.astype(np.uint8) * 255)
    run("evaluate", "task=edges", "data=bsds", "predictions=maps", "edges.bootstrap=0", "out=mine")
    results = json.loads((tmp_path / "mine" / "results.json").read_text())
    assert results["checkpoint"] is None
    assert results["metrics"]["ods"] > 0.95  # thinning takes the corners
    run("evaluate", "compare=[mine,mine/results.json]", "out=.")
    assert "One protocol" in (tmp_path / "compare.md").read_text()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (["detections=null"], "give a value for detections=…"),
        (["data=null"], "give a value for data=…"),
        (["task=edges"], "detections='boxes.json' is for task=instance_segmentation"),
        (["predictions=nowhere"], "nowhere"),
        (["data_of.edges=nowhere"], "nowhere"),
        (["images=nowhere"], "images='nowhere'"),
        (["edges.maps.suppression=moon"], "moon"),
        (["compare=[nowhere]"], "nowhere"),
        (["out=boxes.json/there"], "out='boxes.json/there' cannot be a folder: boxes.json is a file"),
    ],
)
def test_mistakes_are_told_before_anything_is_begun(
    run: Callable[..., str], world: list[str], tmp_path: Path, changes: list[str], said: str
) -> None:
    keys = [change.partition("=")[0] for change in changes]
    kept = [each for each in world if each.partition("=")[0] not in keys]
    if "task" in keys:
        kept = [each for each in kept if "." not in each.partition("=")[0] or each.startswith("edges.")]
    out = [] if "out" in keys else ["out=suite"]
    printed = run("evaluate", *kept, *changes, *out, status=1)
    assert printed.splitlines()[-1].startswith("error: ")
    assert said in printed
    assert "Traceback" not in printed
    assert not (tmp_path / "suite").exists()
