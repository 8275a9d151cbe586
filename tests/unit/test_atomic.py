from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from anymask.atomic import write_atomically

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
