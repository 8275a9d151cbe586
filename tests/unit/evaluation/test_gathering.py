from __future__ import annotations

from pathlib import Path

import pytest

from anymask.data.samples import ShardSamples
from anymask.data.shards import ShardSet
from anymask.evaluation import gathering
from anymask.evaluation.point_to_mask.protocol import PointToMask
from anymask.evaluation.point_to_mask.task import PointToMaskTask
from anymask.evaluation.running import run
from anymask.models.sam import Sam

TASK = PointToMask(clicks=1, report_at=(1,), noc=(), floors=())


def test_where_there_is_no_terminal_lines_say_how_long_it_takes(
    sam: Sam,
    shards: ShardSet,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gathering, "TELL_EVERY", 0.0)
    run(PointToMaskTask(TASK, ShardSamples(shards), sam), tmp_path)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in lines] == [f"point to mask: {n} of 4 images" for n in (1, 2, 3, 4)]
    assert lines[-1].endswith("0:00:00 left")


def test_without_progress_nothing_is_said(
    sam: Sam, shards: ShardSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(PointToMaskTask(TASK, ShardSamples(shards), sam), tmp_path, progress=False)
    assert capsys.readouterr().out == ""
