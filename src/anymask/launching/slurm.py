"""What a user may ask of SLURM, and what the program inside needs of it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from anymask.errors import UserError

__all__ = ["ARRAY_INDEX", "EvaluationSlurm", "Job", "Slurm", "TrainingSlurm", "as_text", "indices"]

ARRAY_INDEX = "\0"  # in a job's command and folder: where a task of an array writes its number

Number = Annotated[int, Meta(ge=1)]
MOST_INDICES = 10_000  # SLURM's own MaxArraySize is 1,001 unless a site says otherwise


@dataclass(frozen=True, kw_only=True, slots=True)
class Slurm:
    """What both programs ask for, mostly in sbatch's own words."""

    time: str  # [days-]hours:minutes:seconds; no number, for which YAML would take 24:00:00 without quotes
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    mem: str | Number | None = None
    gpu_type: str | None = None
    cpus_per_task: Number | None = None
    extra: list[str] = field(default_factory=list)  # options of sbatch, each a line
    setup: list[str] = field(default_factory=list)  # lines of the script before srun
    interface: str | None = None  # of the network between the nodes
    submit: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingSlurm(Slurm):
    """conf/launcher/slurm.yaml; nodes and tasks are the trainer's."""

    array: str | int | list[int] | None = None
    signal_seconds: Annotated[int, Meta(ge=1, le=65535)] = 180


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationSlurm(Slurm):
    """conf/evaluate/launcher/slurm.yaml."""

    nodes: Number = 1
    tasks_per_node: Number = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What runs, with the numbers that the program inside and SLURM must agree on; one task is one process."""

    name: str
    folder: Path  # of what it prints; may hold ARRAY_INDEX, as may the command
    work: Path  # where relative paths begin
    command: list[str]  # of each task
    nodes: int
    tasks_per_node: int
    cpus_per_task: int
    uses_gpus: bool  # one for each task
    signal_seconds: int | None = None  # before its end the tasks are told
    array: str | None = None  # as --array wants it


def indices(array: str | int | list[int]) -> list[int]:
    """The numbers of SLURM's ranges, in order: ``0-3``, ``1,5,7``, ``0-6:2``, each also with ``%2``, two at a time.

    Raises UserError for anything else.

    >>> indices("0-6:3,9%2")
    [0, 3, 6, 9]
    """
    text = as_text(array)
    ranges, _, at_once = text.partition("%")
    found: set[int] = set()
    for part in ranges.split(","):
        match = re.fullmatch(r"([0-9]+)(?:-([0-9]+)(?::([0-9]+))?)?", part)
        if match is None or match[3] == "0" or (at_once or "1").strip("0123456789") or text.endswith("%"):
            raise UserError(f"launcher.array={text!r} is no range of SLURM's: say 0-3, 1,5,7 or 0-6:2, or 0-9%2")
        first, last = int(match[1]), int(match[2] or match[1])
        if not 0 <= last - first < MOST_INDICES:
            raise UserError(f"launcher.array={text!r} counts down, or further than {MOST_INDICES} jobs")
        found.update(range(first, last + 1, int(match[3] or 1)))
    return sorted(found)


def as_text(array: str | int | list[int]) -> str:
    """As ``--array`` wants it."""
    return ",".join(map(str, array)) if isinstance(array, list) else str(array)
