"""Where a result comes from: the code, the weights and the machine."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import torch

from anymask.evaluation.results import SCHEMA, Circumstances, Identity
from anymask.evaluation.task import Task

__all__ = ["circumstances", "code_commit", "hardware", "identity_of", "sha256_of", "shown_path"]


def identity_of(task: Task[Any], checkpoint: Path | str | None, image_size: int | None, limit: int | None) -> Identity:
    """What must be the same for two runs to be one."""
    return {
        "schema": SCHEMA,
        "task": task.name,
        "protocol": task.protocol,
        "settings": task.settings,
        "data": task.data,
        "limit": limit,
        "checkpoint": _weights(Path(checkpoint)) if checkpoint else None,
        "image_size": image_size,
    }


def _weights(path: Path) -> dict[str, str | None]:
    return {"path": shown_path(path), "sha256": sha256_of(path)}


def circumstances(device: torch.device, processes: int) -> Circumstances:
    """Of now, here."""
    return {
        "commit": code_commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "hardware": hardware(device),
        "torch": torch.__version__,
        "processes": processes,
    }


def code_commit() -> str | None:
    """The commit that this code is at, with ``-dirty`` if it was changed since; None outside a repository."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def shown_path(path: Path) -> str:
    """Below the working folder as it is, else the name alone: a report is passed on, and tells nothing of the machine.

    >>> shown_path(Path("/somewhere/else/model.pth"))
    'model.pth'
    """
    here = Path.cwd()
    return str(path.absolute().relative_to(here)) if path.absolute().is_relative_to(here) else path.name


def sha256_of(path: Path) -> str | None:
    """Of a file, or of the weights in a folder of transformers; None where there is neither."""
    file = path / "model.safetensors" if path.is_dir() else path
    if not file.is_file():
        return None
    told = file.stat()
    return _sha256(file.absolute(), told.st_size, told.st_mtime_ns)


@cache
def _sha256(file: Path, size: int, changed_ns: int) -> str:
    """Read once for all data sets of an evaluation: large weights take seconds."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def hardware(device: torch.device) -> str:
    """The accelerator's name, or the processor's with the threads that torch uses."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{_processor()}, {torch.get_num_threads()} of {os.cpu_count()} threads"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())
