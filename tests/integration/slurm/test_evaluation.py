"""An evaluation as a job of two nodes: the images are shared, the records are merged."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import anymask
from tests.integration.slurm.conftest import Cluster

pytestmark = [pytest.mark.slurm, pytest.mark.slow, pytest.mark.xdist_group("slurm")]

SETTINGS = [
    "point_to_mask.floors=[disc]",
    "point_to_mask.clicks=3",
    "point_to_mask.report_at=[1,2,3]",
    "workers=0",
    "image_size=64",
    "device=cpu",
]


def test_two_nodes_find_what_one_process_does(
    cluster: Cluster, submit: Callable[..., str], program: Callable[..., str], tiny_shards: Path, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    anymask.save(anymask.build("tiny"), tmp_path / "weights.pth")
    settings = ["checkpoint=weights.pth", f"data={tiny_shards}", *SETTINGS]
    program("evaluate", *settings, "out=alone")
    number = submit("evaluate", *settings, "out=together", "launcher.nodes=2", "launcher.time=0:10:00")
    cluster.wait_until_done(number)
    assert len(cluster.nodes(number)) == 2
    alone, both = (tmp_path / name for name in ("alone", "together"))
    made = {path.name for path in both.iterdir()} - {"job.sbatch", f"slurm-{number}.out"}
    assert made == {path.name for path in alone.iterdir()}
    assert (both / f"slurm-{number}.out").read_text().count("report: ") == 1
    assert (both / "records.jsonl").read_text() == (alone / "records.jsonl").read_text()
    results = [json.loads((folder / "results.json").read_text()) for folder in (alone, both)]
    assert [result["processes"] for result in results] == [1, 2]
    for name in ("metrics", "counts", "skipped", "floors", "protocol"):
        assert results[0][name] == results[1][name]


def test_a_job_that_was_cut_off_is_taken_up(
    cluster: Cluster, submit: Callable[..., str], tiny_shards: Path, tmp_path: Path
) -> None:
    """By the same script, from any folder: what it evaluates, and where, stands in it."""
    anymask.save(anymask.build("tiny"), tmp_path / "weights.pth")
    settings = ["checkpoint=weights.pth", f"data={tiny_shards}", *SETTINGS, "out=cut", "launcher.time=0:10:00"]
    first = submit("evaluate", *settings)
    cluster.wait_until_done(first)
    records = tmp_path / "cut" / "records.jsonl"
    whole = records.read_text()
    records.write_text("".join(whole.splitlines(keepends=True)[:-2]))
    second = cluster.tell("sbatch", "--parsable", str(tmp_path / "cut" / "job.sbatch"), cwd=Path("/")).strip()
    cluster.wait_until_done(second)
    assert records.read_text() == whole
