from __future__ import annotations

import sys
from pathlib import Path

import pytest

from anymask.training.process_logs import logged


def _say(folder: Path, rank: int) -> str:
    with logged(folder, rank):
        print("said")
        print("warned", file=sys.stderr)
    return (folder / "logs" / f"process_{rank:05d}.log").read_text()


def test_the_first_one_is_heard_and_its_warnings_are_kept(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert _say(tmp_path, 0) == "warned\n"
    assert capfd.readouterr() == ("said\n", "warned\n")


def test_another_one_is_only_written_down(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert _say(tmp_path, 12) == "said\nwarned\n"
    assert capfd.readouterr() == ("", "")


def test_a_run_that_goes_on_adds_to_its_files(tmp_path: Path) -> None:
    _say(tmp_path, 1)
    assert _say(tmp_path, 1) == "said\nwarned\n" * 2


def test_what_it_fails_by_is_heard(tmp_path: Path) -> None:
    out, err = sys.stdout, sys.stderr
    with pytest.raises(ValueError, match="wrong"), logged(tmp_path, 1):
        raise ValueError("wrong")
    assert (sys.stdout, sys.stderr) == (out, err)
