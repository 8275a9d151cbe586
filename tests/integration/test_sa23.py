"""Point-to-mask over those of the paper's 23 sets that are at hand, as a user runs it."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import torch

import anymask
from anymask.data.sa23 import SA23
from tests.integration.conftest import Start

QUICK = [
    "checkpoint=random.pth", "data=sa23", "root=sets", "device=cpu", "workers=0", "pictures=false",
    "point_to_mask.clicks=2", "point_to_mask.report_at=[1,2]", "point_to_mask.floors=[disc]",
]  # fmt: skip
NAMES = ["lvis", "gtea"]
CHANGING = ("date", "latency_ms")


@pytest.fixture
def sets(tmp_path: Path, write_shards: Callable[..., Path]) -> Path:
    """Two sets of three and of five photographs, and random weights."""
    for name, number in zip(NAMES, (3, 5), strict=True):
        write_shards(["manual"] * number, name=f"sets/{name}/shards")
    torch.manual_seed(0)
    anymask.save(anymask.build("tiny", image_size=64), tmp_path / "random.pth")
    return tmp_path / "sets"


def results_of(folder: Path) -> dict[str, Any]:
    results: dict[str, Any] = json.loads((folder / "results.json").read_text())
    return results


def lasting(folder: Path) -> dict[str, Any]:
    return {name: value for name, value in results_of(folder).items() if name not in CHANGING}


@pytest.mark.usefixtures("sets")
def test_each_set_has_its_files_and_there_is_one_overview(run: Callable[..., str], tmp_path: Path) -> None:
    printed = run("evaluate", *QUICK, "out=out")
    of_sets = {name: results_of(tmp_path / "out" / name) for name in NAMES}
    overview = results_of(tmp_path / "out")
    assert [of_sets[name]["counts"]["images"] for name in NAMES] == [3, 5]
    for key, value in overview["metrics"].items():
        assert value == pytest.approx(fmean(of_sets[name]["metrics"][key] for name in NAMES))
    assert f"mean of the 2 sets at hand: miou@1 {overview['metrics']['miou@1']:.3f}" in printed
    assert "2 of the paper's sets are in sets, these are not:" in printed
    told = [line for line in printed.splitlines() if "prepare.py --out sets/" in line]
    assert len(told) == len(SA23) - 2
    assert any(line.strip().startswith("PPDLS: https://www.plant-phenotyping.org") for line in told)
    for name in NAMES:
        text = (tmp_path / "out" / name / "report.html").read_text()
        assert f"Point-to-mask on {name}" in text
        assert "<img" not in text
        assert f'href="{name}/report.html"' in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.slow
def test_what_is_finished_is_kept_and_what_was_killed_goes_on(
    run: Callable[..., str], start: Start, sets: Path, tmp_path: Path
) -> None:
    run("evaluate", *QUICK, "out=whole")
    process = start("evaluate", *QUICK, "out=killed")
    deadline = time.monotonic() + 60
    begun = tmp_path / "killed" / "gtea" / "records.jsonl"
    while process.is_alive() and not begun.exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    if process.is_alive() and process.pid:
        process.kill()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    finished = (tmp_path / "killed" / "lvis" / "results.json").read_bytes()
    (sets / "lvis" / "shards" / "manual-000000.tar").write_bytes(b"")  # nobody looks at it any more
    printed = run("evaluate", *QUICK, "out=killed")
    assert "LVIS, set 1 of 2" in printed
    assert (tmp_path / "killed" / "lvis" / "results.json").read_bytes() == finished
    assert lasting(tmp_path / "killed") == lasting(tmp_path / "whole")
    records = (tmp_path / folder / "gtea" / "records.jsonl" for folder in ("killed", "whole"))
    assert len({path.read_text() for path in records}) == 1


@pytest.mark.slow
@pytest.mark.usefixtures("sets")
def test_two_processes_share_every_set(
    run: Callable[..., str], run_together: Callable[..., list[str]], tmp_path: Path
) -> None:
    run("evaluate", *QUICK, "out=alone")
    printed = run_together(*QUICK, "out=together")
    assert ["report: together/report.html" in text for text in printed] == [True, False]
    assert ["GTEA, set 2 of 2" in text for text in printed] == [True, False]
    alone, together = lasting(tmp_path / "alone"), lasting(tmp_path / "together")
    assert together.pop("processes") == 2
    assert alone.pop("processes") == 1
    assert together == alone


def test_a_broken_set_is_told_at_the_end_and_the_others_are_measured(
    run: Callable[..., str], sets: Path, tmp_path: Path
) -> None:
    (sets / "lvis" / "shards" / "manifest.json").write_text("{}")
    printed = run("evaluate", *QUICK, "out=out", "limit=2", status=1)
    assert printed.splitlines()[-1].startswith("error: lvis: lvis/shards/manifest.json is not a manifest of shards")
    assert "report: out/report.html" in printed
    overview = results_of(tmp_path / "out")
    assert list(overview["details"]["sets"]) == ["gtea"]
    assert list(overview["details"]["failed"]) == ["lvis"]
    assert (overview["limit"], overview["counts"]["images"]) == (2, 2)
    assert str(tmp_path) not in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.usefixtures("sets")
def test_another_limit_needs_another_folder(run: Callable[..., str], tmp_path: Path) -> None:
    run("evaluate", *QUICK, "out=out", "limit=4")
    before = (tmp_path / "out" / "results.json").read_bytes()
    printed = run("evaluate", *QUICK, "out=out", status=1)
    assert "gtea/records.jsonl is of another evaluation (it differs in limit)" in printed.splitlines()[-1]
    assert (tmp_path / "out" / "results.json").read_bytes() == before


@pytest.mark.usefixtures("sets")
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (["root=nowhere"], "root='nowhere' has none of the 23 sets"),
        (["root=null"], "root='data' has none of the 23 sets"),
        (["data=sets/lvis/shards"], "root='sets' is for data=sa23"),
        (["out=sets/lvis/shards/manifest.json"], "cannot be a folder"),
    ],
)
def test_mistakes_are_one_sentence(run: Callable[..., str], tmp_path: Path, changes: list[str], said: str) -> None:
    out = [] if changes[0].startswith("out=") else ["out=out"]
    printed = run("evaluate", *QUICK, *changes, *out, status=1)
    assert said in printed
    assert len(printed.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("sets")
def test_beside_the_other_tasks_the_sets_have_a_section(
    run: Callable[..., str], world: list[str], tmp_path: Path
) -> None:
    run("evaluate", *world, "data_of.point_to_mask=sa23", "root=sets", "out=suite")
    text = (tmp_path / "suite" / "report.html").read_text()
    assert "Point-to-mask on 2 of the paper&#39;s 23 sets" in text
    assert 'href="point_to_mask/gtea/report.html"' in text
    assert results_of(tmp_path / "suite" / "point_to_mask")["counts"]["sets"] == 2
    assert results_of(tmp_path / "suite" / "proposals")["counts"]["images"] == 4
    run("evaluate", "compare=[suite,suite/point_to_mask]", "out=.")
    assert "| gtea |" in (tmp_path / "compare.md").read_text()
