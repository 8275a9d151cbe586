"""Files that are there whole or not at all, whenever the process or the machine stops."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["discard", "put_in_place", "write_atomically"]


def write_atomically(path: Path, write: Callable[[Path], Any]) -> None:
    """Let ``write`` make a file beside ``path`` and put it there at once when it is whole and on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        write(part)
        with part.open("rb") as file:
            os.fsync(file.fileno())
        put_in_place(part, path)
    finally:
        part.unlink(missing_ok=True)


def put_in_place(part: Path, path: Path) -> None:
    """Give a file or folder that is whole its name, in the place of whatever file or folder has it."""
    if not part.is_dir() and not path.is_dir():
        os.replace(part, path)
        return
    aside = path.with_name(f".{path.name}.aside.part")  # a folder can only take the place of an empty one
    discard(aside)
    if path.exists():
        path.replace(aside)
    part.replace(path)
    discard(aside)


def discard(path: Path) -> None:
    """Remove a file, or a folder, which gets the name of a part first: half of it must not be taken for the whole."""
    if not path.is_dir():
        path.unlink(missing_ok=True)
        return
    if not path.name.endswith(".part"):
        part = path.with_name(f".{path.name}.part")
        discard(part)  # what was left of another, a folder cannot take its place
        path = path.replace(part)
    shutil.rmtree(path, ignore_errors=True)
