"""From records to numbers: average recall with its errors, curves over the proposals and the IoU, the verdict."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import reduce
from operator import add

import numpy as np

from anymask.errors import UserError
from anymask.evaluation.proposals.protocol import Proposals
from anymask.evaluation.proposals.records import Found, Record
from anymask.evaluation.results import Numbers, Verdict
from anymask.metrics.recall import (
    CUTOFFS,
    GROUPS,
    IOU_THRESHOLDS,
    FoundObjects,
    Group,
    average_recall,
    standard_error,
)

__all__ = ["metric_names", "numbers", "recall_of_image"]

PREFIXES: dict[Group, str] = {
    "all": "ar",
    "small": "ars",
    "medium": "arm",
    "large": "arl",
    "rare": "arr",
    "common": "arc",
    "frequent": "arf",
}

Of = Callable[[Record], Found]
"""The model's counts, or a floor's."""


def numbers(records: Sequence[Record], settings: Proposals) -> Numbers:
    """All that is computed from the records alone. Raises UserError where there is no object."""
    objects = {group: sum(record["objects"].get(group, 0) for record in records) for group in GROUPS}
    if not objects["all"]:
        raise UserError(f"there is no object to be found on {len(records)} images")
    names = metric_names(settings.proposals, has_frequencies=any(objects[g] for g in ("rare", "common", "frequent")))
    sides: dict[str, Of] = {"model": lambda record: record["model"]}
    sides |= {floor: _of_floor(floor) for floor in settings.floors}
    counts = {side: [_as_counts(record, of(record)) for record in records] for side, of in sides.items()}
    metrics = {side: _metrics(images, names) for side, images in counts.items()}
    errors = {side: _errors(images, names) for side, images in counts.items()}
    return {
        "metrics": metrics["model"],
        "standard_errors": errors["model"],
        "errors_are": "over the images, as if these were independent: the first-order error of a ratio of two sums",
        "floors": {floor: metrics[floor] for floor in settings.floors},
        "floor_standard_errors": {floor: errors[floor] for floor in settings.floors},
        "verdict": _verdict(metrics, settings),
        "counts": {
            "objects": objects["all"],
            "proposals_per_image": round(sum(record["model"]["proposals"] for record in records) / len(records)),
            "masks_per_image": round(sum(record["masks"] for record in records) / len(records)),
        },
        "details": {
            "objects": {group: number for group, number in objects.items() if number},
            "cutoffs": list(settings.cutoffs),
            "recall_by_cutoff": {side: _by_cutoff(images, settings) for side, images in counts.items()},
            "iou_thresholds": [round(float(threshold), 2) for threshold in IOU_THRESHOLDS],
            "recall_by_iou": {side: _by_iou(records, of, objects["all"]) for side, of in sides.items()},
            "proposals_per_image": {
                side: sum(image.proposals for image in images) / len(images) for side, images in counts.items()
            },
            "images_with_masks_kept": sum(bool(record["best"]) for record in records),
        },
    }


def metric_names(proposals: int, *, has_frequencies: bool) -> dict[str, tuple[Group, int]]:
    """What each metric is of: ``ar@100`` of all objects, ``ars@1000`` of small ones, …"""
    cutoffs = [proposals, *(cutoff for cutoff in (100, 10) if cutoff < proposals)]
    groups = [group for group in GROUPS[1:] if has_frequencies or group in ("small", "medium", "large")]
    return {f"ar@{cutoff}": ("all", cutoff) for cutoff in cutoffs} | {
        f"{PREFIXES[group]}@{proposals}": (group, proposals) for group in groups
    }


def recall_of_image(record: Record) -> float | None:
    """AR of the model on one image, among all proposals; None where there is no object."""
    if "all" not in record["objects"]:
        return None
    return sum(record["model"]["by_iou"]) / (len(IOU_THRESHOLDS) * record["objects"]["all"])


def _of_floor(floor: str) -> Of:
    return lambda record: record["floors"][floor]


def _as_counts(record: Record, found: Found) -> FoundObjects:
    """The image's counts with those of the thresholds evened out: records hold their sums, on which AR depends."""
    table = np.zeros((len(GROUPS), len(CUTOFFS), len(IOU_THRESHOLDS)), dtype=np.int64)
    for group, sums in found["by_cutoff"].items():
        whole, rest = np.divmod(np.array(sums), len(IOU_THRESHOLDS))
        even = whole[:, None] + (np.arange(len(IOU_THRESHOLDS)) < rest[:, None])
        table[list[str](GROUPS).index(group), : len(sums)] = even
    objects = np.array([record["objects"].get(group, 0) for group in GROUPS], dtype=np.int64)
    return FoundObjects(table, objects, found["proposals"])


def _metrics(images: Sequence[FoundObjects], names: dict[str, tuple[Group, int]]) -> dict[str, float | None]:
    total = reduce(add, images)
    return {name: _known(average_recall(total, *of)) for name, of in names.items()}


def _errors(images: Sequence[FoundObjects], names: dict[str, tuple[Group, int]]) -> dict[str, float | None]:
    return {name: _known(standard_error(images, *of)) for name, of in names.items()}


def _by_cutoff(images: Sequence[FoundObjects], settings: Proposals) -> list[list[float | None]]:
    """AR of all objects with its error, after each cutoff."""
    total = reduce(add, images)
    return [
        [average_recall(total, "all", cutoff), _known(standard_error(images, "all", cutoff))]
        for cutoff in settings.cutoffs
    ]


def _by_iou(records: Sequence[Record], of: Of, objects: int) -> list[float]:
    """Recall of all objects at each threshold, among all proposals."""
    found = np.sum([of(record)["by_iou"] for record in records], axis=0)
    return [float(number / objects) for number in found]


def _verdict(metrics: dict[str, dict[str, float | None]], settings: Proposals) -> Verdict:
    """Whether the model finds more than every floor, among all proposals and among the first hundred."""
    if not settings.floors:
        return {"beats_every_floor": None, "sentence": "No floor was run: whether the model has learned is not known."}
    names = [f"ar@{cutoff}" for cutoff in dict.fromkeys([settings.proposals, min(settings.proposals, 100)])]
    model = metrics["model"]
    pairs = [(floor, name) for floor in settings.floors for name in names]
    leads = {(floor, name): (model[name] or 0) - (metrics[floor][name] or 0) for floor, name in pairs}
    unbeaten = [
        f"{floor} in {name.upper()} ({model[name]:.3f} against {metrics[floor][name]:.3f})"
        for (floor, name), lead in leads.items()
        if lead <= 0
    ]
    if unbeaten:
        return {"beats_every_floor": False, "sentence": f"The model does not beat {'; '.join(unbeaten)}."}
    what = " and ".join(name.upper() for name in names)
    sentence = f"The model beats every floor in {what}, by at least {min(leads.values()):.3f}."
    return {"beats_every_floor": True, "sentence": sentence}


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
