"""Two processes share the images of one evaluation."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import anymask

SETTINGS = [
    "point_to_mask.floors=[disc]",
    "point_to_mask.clicks=3",
    "point_to_mask.report_at=[1,2,3]",
    "workers=0",
    "image_size=64",
    "device=cpu",
]


@pytest.mark.slow
def test_nothing_is_lost_and_nothing_done_twice(
    tiny_shards: Path, tmp_path: Path, run: Callable[..., str], run_together: Callable[..., list[str]]
) -> None:
    torch.manual_seed(0)
    anymask.save(anymask.build("tiny"), tmp_path / "weights.pth")
    settings = ["checkpoint=weights.pth", f"data={tiny_shards}", *SETTINGS]
    run("evaluate", *settings, "out=alone")
    printed = run_together(*settings, "out=together")
    assert ["report: together/report.html" in text for text in printed] == [True, False]
    alone, both = (tmp_path / name for name in ("alone", "together"))
    assert {path.name for path in both.iterdir()} == {path.name for path in alone.iterdir()}
    assert (both / "records.jsonl").read_text() == (alone / "records.jsonl").read_text()
    results = [json.loads((folder / "results.json").read_text()) for folder in (alone, both)]
    assert results[0]["counts"]["images"] > 1
    assert [result["processes"] for result in results] == [1, 2]
    for name in ("metrics", "counts", "skipped", "floors", "protocol"):
        assert results[0][name] == results[1][name]
