from __future__ import annotations

import json
from pathlib import Path

import pytest

from anymask.run_folder import link_latest, new_folder, record_start


def test_runs_of_one_name_and_second_get_folders_of_their_own(tmp_path: Path) -> None:
    folders = {new_folder(tmp_path, "mine") for _ in range(3)}
    assert len(folders) == 3
    assert all(folder.is_dir() and folder.parent == tmp_path for folder in folders)


def test_the_link_follows_the_latest_run(tmp_path: Path) -> None:
    for name in ("first", "second"):
        folder = new_folder(tmp_path, name)
        link_latest(folder)
        assert (tmp_path / "latest").resolve() == folder


def test_each_start_is_written_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["train.py", "name=two words"])
    for step in (0, 7):
        record_start(tmp_path, step=step, processes=2)
    first, second = map(json.loads, (tmp_path / "starts.jsonl").read_text().splitlines())
    assert (first["step"], second["step"], first["processes"]) == (0, 7, 2)
    assert first["command"].endswith("train.py 'name=two words'")
    assert first["resume"] == f"python train.py resume={tmp_path}"
    assert any(line.startswith("torch==") for line in (tmp_path / "environment.txt").read_text().splitlines())
