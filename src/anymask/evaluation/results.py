"""What an evaluation leaves on disk: ``records.jsonl``, one line per image, and ``results.json``, made from it.

A report needs these two and the shards; it never needs the model again. IoUs are 0 to 1, coordinates are (x, y) pixels
of the image frame.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypedDict

from anymask.atomic import write_atomically
from anymask.metrics.overlap import SizeClass

__all__ = [
    "SCHEMA",
    "Calibration",
    "Circumstances",
    "FloorCourse",
    "Identity",
    "ModelCourse",
    "Numbers",
    "Record",
    "Results",
    "Verdict",
    "write_results",
]

SCHEMA = 2  # 1: a line of records.jsonl was a mask


class FloorCourse(TypedDict):
    """The clicks on one mask and what came of them; both lists end where the mask was left alone."""

    clicks: list[tuple[int, int, int]]  # x, y, label: 1 foreground, 0 background
    ious: list[float]  # after each click, of the mask believed best


class ModelCourse(FloorCourse):
    """The same of the model, with what it offered and believed."""

    oracle_ious: list[float]  # after each click, of the best mask that was offered
    predicted_ious: list[float]  # after each click, the model's own estimate for the mask believed best
    masks: dict[str, str]  # click number -> run-length code of the mask believed best; only what a report shows


class Record(TypedDict):
    """One mask, in the line of its image in ``records.jsonl``."""

    shard: str  # file name of the shard
    image: str  # key of the sample
    image_size: tuple[int, int]  # height, width
    mask: int  # place of the mask in the sample, from 0
    mask_id: int  # the id that the data set gives it, -1 if none
    area: int  # pixels
    size_class: SizeClass
    model: ModelCourse
    floors: dict[str, FloorCourse]  # by the name of the floor


class Calibration(TypedDict):
    """Masks whose estimated IoU after the first click lies in one tenth."""

    low: float  # the tenth begins here; estimates beyond 0 and 1 are in the first and last tenth
    masks: int
    predicted: float  # mean estimate
    true: float  # mean IoU


class Verdict(TypedDict):
    """Whether the model is worth anything."""

    beats_every_floor: bool | None  # at every click that the floors were given; None: no floor was run
    sentence: str


class Identity(TypedDict):
    """What must be the same for two runs to be one: also the first line of ``records.jsonl``."""

    schema: int  # version of this layout
    protocol: str  # how it was measured; numbers of different protocols are not comparable
    settings: dict[str, Any]  # of the task, as it was configured
    data: dict[str, str]  # name, and fingerprint of the shards
    limit: int | None  # only so many samples were taken
    checkpoint: dict[str, str | None]  # path, sha256 of the file's bytes (None: there is no such file)


class Numbers(TypedDict):
    """All that is computed from the records alone."""

    metrics: dict[str, float]  # "miou@1", "oracle@1", "noc@90": means over the masks
    standard_errors: dict[str, float | None]  # of each metric, masks taken as independent; None for a single mask
    by_size: dict[str, dict[str, float]]  # size class -> "masks" and the metrics
    floors: dict[str, dict[str, float]]  # floor -> "miou@1", … for the clicks it was given
    floor_standard_errors: dict[str, dict[str, float | None]]
    calibration: list[Calibration]
    verdict: Verdict


class Circumstances(TypedDict):
    """What a result also depends on, or might."""

    commit: str | None  # of the code; "-dirty" if it was changed since
    date: str  # ISO 8601, UTC, of the end
    hardware: str
    torch: str


class Results(Identity, Numbers, Circumstances):
    """``results.json``."""

    task: str
    pictured: tuple[int, int]  # the clicks after which the records keep the mask
    counts: dict[str, int]  # images, masks, empty_masks (dropped), skipped_samples, not_reached@80, …
    skipped: list[dict[str, str]]  # shard, key and reason of every sample that could not be used
    latency_ms: dict[str, float | None]  # encode_image, answer_prompt: medians, with pre- and post-processing


def write_results(path: Path, results: Results) -> None:
    """Write the file whole or not at all."""
    text = json.dumps(results, indent=1, allow_nan=False) + "\n"
    write_atomically(path, lambda part: part.write_text(text))
