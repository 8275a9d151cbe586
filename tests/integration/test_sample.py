"""The program that draws the embedded sample, asked for three scenes."""

from __future__ import annotations

import json
import runpy
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from anymask.data.shards import ShardSet
from anymask.data.stream import read_samples
from anymask.masks import decode
from anymask.structures import Sample

PROGRAM = Path(__file__).resolve().parents[2] / "data" / "sample" / "make.py"


def draw(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["make.py", "--out", str(folder), "--train", "2", "--held-out", "1"])
    runpy.run_path(str(PROGRAM), run_name="__main__")


def test_scenes_are_shards_of_the_form_of_sa_1b(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw(tmp_path, monkeypatch)
    samples = {split: list(read_samples(ShardSet.open(str(tmp_path / split)))) for split in ("train", "held_out")}
    assert [len(some) for some in samples.values()] == [2, 1]
    (sample,) = samples["held_out"]
    assert isinstance(sample, Sample)
    with tarfile.open(sample.shard) as tar:
        file = tar.extractfile("sa_0.json")
        assert file
        entries = json.load(file)["annotations"]
    assert len(entries) == len(sample.masks) > 3
    for entry, rle in zip(entries, sample.masks, strict=True):
        assert entry.keys() == {"id", "segmentation", "bbox", "area"}
        inside = decode(rle)
        rows, columns = np.nonzero(inside)
        corner, size = (columns.min(), rows.min()), (np.ptp(columns) + 1, np.ptp(rows) + 1)
        assert (entry["bbox"], entry["area"]) == ([*corner, *size], inside.sum())


def test_the_same_scenes_are_drawn_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two"):
        draw(tmp_path / name, monkeypatch)
    manifests = [(tmp_path / name / "train" / "manifest.json").read_text() for name in ("one", "two")]
    assert manifests[0] == manifests[1]  # with the hashes of the shards


def test_a_folder_that_holds_scenes_is_left_alone_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    draw(tmp_path, monkeypatch)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    with pytest.raises(SystemExit) as ended:
        draw(tmp_path, monkeypatch)
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"{tmp_path / 'train'} is not empty: name another folder or remove it\n"
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
