"""The folder of a run: its name, its configuration, and for each start what was started, by which code and where."""

from __future__ import annotations

import json
import os
import platform
import shlex
import socket
import sys
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import distributions
from itertools import chain, count
from pathlib import Path
from typing import Any

from anymask.atomic import write_atomically
from anymask.evaluation.provenance import code_commit

__all__ = ["link_latest", "new_folder", "record_start"]


def new_folder(outputs: Path, name: str) -> Path:
    """Of its own, also where two runs of one name begin in the same second."""
    stem = f"{datetime.now():%Y-%m-%d_%H-%M-%S}_{name}"
    outputs.mkdir(parents=True, exist_ok=True)
    for ending in chain([""], (f"_{number}" for number in count(2))):
        with suppress(FileExistsError):
            (outputs / f"{stem}{ending}").mkdir()
            return outputs / f"{stem}{ending}"
    raise AssertionError("numbers do not end")


def link_latest(folder: Path) -> None:
    """Let ``latest`` beside the folder point to it."""
    link = folder.parent / f".latest.{os.getpid()}"
    link.symlink_to(folder.name)
    link.replace(folder.parent / "latest")


def record_start(folder: Path, *, step: int, processes: int) -> None:
    """Add a line to ``starts.jsonl``, and write ``environment.txt``: every package with its version, as pip has it."""
    told: dict[str, Any] = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join([Path(sys.executable).name, *sys.argv]),
        "resume": f"python train.py resume={shlex.quote(str(folder))}",
        "step": step,
        "processes": processes,
        "host": socket.gethostname(),
        "python": platform.python_version(),
        "commit": code_commit(),
        "slurm_job": os.environ.get("SLURM_JOB_ID"),
    }
    with (folder / "starts.jsonl").open("a") as file:
        file.write(json.dumps(told) + "\n")
    versions = sorted({f"{package.name}=={package.version}" for package in distributions()})
    write_atomically(folder / "environment.txt", lambda part: part.write_text("\n".join(versions) + "\n"))
