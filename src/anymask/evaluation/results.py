"""What an evaluation leaves on disk: ``records.jsonl``, one line per image, and ``results.json``, made from it.

The fields of ``results.json`` are the same for every task but for ``details``; docs/results.md explains them to those
who read the file with programs of their own. Shares (IoU, recall, precision, …) are 0 to 1.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypedDict

from anymask.atomic import write_atomically

__all__ = ["SCHEMA", "Circumstances", "Identity", "Numbers", "Results", "Verdict", "write_results"]

SCHEMA = 3  # 1: a line of records.jsonl was a mask; 2: point-to-mask alone, its details beside the metrics


class Verdict(TypedDict):
    """Whether the model is worth anything."""

    beats_every_floor: bool | None  # in every metric that both have; None: no floor was run
    sentence: str


class Identity(TypedDict):
    """What must be the same for two runs to be one: also the first line of ``records.jsonl``."""

    schema: int  # version of this layout
    task: str
    protocol: str  # how it was measured; numbers of different protocols are not comparable
    settings: dict[str, Any]  # of the task, as it was configured
    data: dict[str, str]  # name, and fingerprint of the data set
    limit: int | None  # only so many images were taken
    checkpoint: dict[str, str | None] | None  # path, sha256 of the file's bytes (None: there is no such file)
    image_size: int | None  # side of the model frame in pixels


class Numbers(TypedDict):
    """All that is computed from the records alone."""

    metrics: dict[str, float | None]  # of the model, by name; None: there is nothing of the kind in the data
    standard_errors: dict[str, float | None]  # of each metric; None where it cannot be told
    errors_are: str  # how the standard errors came about
    floors: dict[str, dict[str, float | None]]  # floor -> the metrics that it was measured by
    floor_standard_errors: dict[str, dict[str, float | None]]
    verdict: Verdict
    counts: dict[str, int]  # what was measured, and what was left out
    details: dict[str, Any]  # of the task alone: curves, groups


class Circumstances(TypedDict):
    """What a result also depends on, or might."""

    commit: str | None  # of the code; "-dirty" if it was changed since
    date: str  # ISO 8601, UTC, of the end
    hardware: str
    torch: str
    processes: int


class Results(Identity, Numbers, Circumstances):
    """``results.json``."""

    skipped: list[dict[str, str]]  # shard, key and reason of every image that could not be used
    latency_ms: dict[str, float]  # medians, with pre- and post-processing, of the first process


def write_results(path: Path, results: Results) -> None:
    """Write the file whole or not at all."""
    text = json.dumps(results, indent=1, allow_nan=False) + "\n"
    write_atomically(path, lambda part: part.write_text(text))
