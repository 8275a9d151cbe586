from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from anymask.atomic import discard, put_in_place, write_atomically

KILLED = """
import os, signal, sys
from pathlib import Path
from anymask.atomic import write_atomically

def write(part):
    part.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)

write_atomically(Path(sys.argv[1]), write)
"""


def test_a_file_is_written_with_the_folders_above_it(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a/b/file", lambda part: part.write_text("whole"))
    assert [path.name for path in (tmp_path / "a/b").iterdir()] == ["file"]
    assert (tmp_path / "a/b/file").read_text() == "whole"


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    def fail(part: Path) -> None:
        part.write_text("half")
        raise OSError("the disk is full")

    (tmp_path / "file").write_text("before")
    with pytest.raises(OSError, match="full"):
        write_atomically(tmp_path / "file", fail)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["before"]


def test_a_kill_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("before")
    ended = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "file")])
    assert ended.returncode == -signal.SIGKILL
    assert (tmp_path / "file").read_text() == "before"
    assert [path.read_text() for path in tmp_path.glob(".file.*.part")] == ["half"]


def _make(path: Path, kind: str, text: str) -> Path:
    if kind == "file":
        path.write_text(text)
    if kind == "folder":
        path.mkdir()
        (path / text).touch()
    return path


def _all(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("old", ["file", "folder", "nothing"])
@pytest.mark.parametrize("new", ["file", "folder"])
def test_a_file_or_folder_takes_the_place_of_either(tmp_path: Path, old: str, new: str) -> None:
    place = _make(tmp_path / "best", old, "before")
    put_in_place(_make(tmp_path / ".best.part", new, "after"), place)
    assert _all(tmp_path) == (["best"] if new == "file" else ["best", "best/after"])
    assert new == "folder" or place.read_text() == "after"


@pytest.mark.parametrize("kind", ["file", "folder", "nothing"])
def test_whatever_there_is_can_be_discarded(tmp_path: Path, kind: str) -> None:
    discard(_make(tmp_path / "old", kind, "before"))
    assert _all(tmp_path) == []


def test_a_folder_is_discarded_beside_what_was_left_of_another(tmp_path: Path) -> None:
    _make(tmp_path / ".old.part", "folder", "left")
    discard(_make(tmp_path / "old", "folder", "before"))
    assert _all(tmp_path) == []


def test_half_of_a_folder_that_was_to_be_removed_has_not_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.rmtree", lambda path, **_: (path / "first").unlink())
    folder = _make(tmp_path / "old", "folder", "first")
    (folder / "second").touch()
    discard(folder)
    assert _all(tmp_path) == [".old.part", ".old.part/second"]
