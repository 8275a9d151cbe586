"""Each process has a file for what it says; the first one is also heard."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

__all__ = ["logged"]


@contextmanager
def logged(folder: Path, rank: int) -> Iterator[None]:
    """While the block runs: the first process's warnings and errors, and all that the others print, go to their files.

    The files ``logs/process_00000.log`` are added to. What another process fails by is still heard.
    """
    path = folder / "logs" / f"process_{rank:05d}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", buffering=1) as file:
        out, err = sys.stdout, sys.stderr
        if rank:
            sys.stdout = sys.stderr = file
        else:
            sys.stderr = _Both(err, file)
        try:
            yield
        finally:
            sys.stdout, sys.stderr = out, err


class _Both:
    """Writes to a terminal and to a file."""

    def __init__(self, terminal: IO[str], file: IO[str]) -> None:
        self._terminal, self._file = terminal, file

    def write(self, text: str) -> int:
        self._file.write(text)
        return self._terminal.write(text)

    def __getattr__(self, name: str) -> object:
        return getattr(self._terminal, name)
