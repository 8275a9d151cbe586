"""Average precision of instance segmentation and of boxes on COCO and on LVIS (SAM, section 7.4 and appendix D.4).

The numbers are those of the two official evaluations, pycocotools' and lvis-api's. They are taken from ``verdicts``
once these are there, as often as one likes: with each image counted as often as a draw with repetitions has it, say.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Real

from anymask.metrics.verdicts import LIMITS, SIZES, Detections, Entry, Kind, Verdict, Verdicts, judge

__all__ = [
    "AT_50",
    "AT_75",
    "THRESHOLDS",
    "coco_average_precision",
    "lvis_average_precision",
    "precision_over_recall",
    "summary",
]

THRESHOLDS = tuple(0.5 + 0.05 * number for number in range(10))
"""Of IoU."""

LEVELS = np.linspace(0, 1, 101)
"""Of recall, at which precision is taken."""

AT_50, AT_75 = 0, 5
"""Places among the thresholds."""

FEWER = (1, 10)
"""Detections of a category on an image, of which COCO reports the recall too."""

Weights = Real[np.ndarray, " images"]


def coco_average_precision(truth: Entry, detections: Detections, kind: Kind = "segm") -> dict[str, float]:
    """COCO's twelve numbers, 0 to 1, with up to 100 detections of a category on an image; NaN where no object counts.

    Raises as ``judge``.
    """
    return summary(judge(truth, detections, kind, benchmark="coco"))


def lvis_average_precision(truth: Entry, detections: Detections, kind: Kind = "segm") -> dict[str, float]:
    """LVIS's thirteen numbers, 0 to 1, by size and by frequency of the category; NaN where no object counts.

    Raises as ``judge``.
    """
    return summary(judge(truth, detections, kind, benchmark="lvis"))


@dataclass(frozen=True, slots=True)
class _Row:
    """One category in one size class, at each threshold."""

    precision: Float[np.ndarray, " ten"]  # averaged over the levels of recall
    recall: Float[np.ndarray, " ten"]


def summary(verdicts: Verdicts, weights: Weights | None = None) -> dict[str, float]:
    """The numbers of the benchmark, by their names there; NaN where no object counts.

    ``weights`` says how often each image counts: the numbers are those of a data set in which it is there so often, if
    no two scores of a category on an image are equal; else they differ by the order of these.
    """
    weights = np.ones(len(verdicts.images)) if weights is None else weights
    tables = {size: _rows(verdicts, size, weights) for size in SIZES}
    every = tables[""].values()
    numbers = {"AP": _mean(row.precision.mean() for row in every)}
    numbers |= {f"AP{name}": _mean(row.precision[at] for row in every) for name, at in ((50, AT_50), (75, AT_75))}
    numbers |= {f"AP{size}": _mean(row.precision.mean() for row in tables[size].values()) for size in SIZES[1:]}
    if verdicts.benchmark == "lvis":
        letters = {category["id"]: category["frequency"] for category in verdicts.categories}
        for letter in "rcf":
            some = (row for category, row in tables[""].items() if letters[category] == letter)
            numbers[f"AP{letter}"] = _mean(row.precision.mean() for row in some)
    else:
        numbers |= {f"AR@{few}": _recall_of_few(verdicts, weights, few) for few in FEWER}
    limit = LIMITS[verdicts.benchmark]
    return numbers | {f"AR{size}@{limit}": _mean(row.recall.mean() for row in tables[size].values()) for size in SIZES}


def precision_over_recall(verdicts: Verdicts, place: int) -> Float[np.ndarray, " levels"]:
    """The mean over the categories at each of 101 levels of recall, 0 to 1; NaN where no object counts.

    ``place`` is that of the IoU among ``THRESHOLDS``.
    """
    weights = np.ones(len(verdicts.images))
    found = [one for (_, size), one in verdicts.of.items() if size == ""]
    curves = [_at_levels(*(running[place] for running in _running(one, weights))) for one in found]
    return np.asarray(np.mean(curves, axis=0)) if curves else np.full(len(LEVELS), np.nan)


def _rows(verdicts: Verdicts, size: str, weights: Weights) -> dict[int, _Row]:
    """By category, of those with an object that counts."""
    ones = {category: one for (category, its), one in verdicts.of.items() if its == size}
    return {category: _row(one, weights) for category, one in sorted(ones.items()) if weights @ one.objects > 0}


def _row(verdict: Verdict, weights: Weights) -> _Row:
    recall, precision = _running(verdict, weights)
    over_levels = [_at_levels(*of_threshold).mean() for of_threshold in zip(recall, precision, strict=True)]
    return _Row(np.array(over_levels), recall[:, -1] if recall.shape[1] else np.zeros(len(THRESHOLDS)))


def _running(verdict: Verdict, weights: Weights) -> tuple[Float[np.ndarray, "t d"], Float[np.ndarray, "t d"]]:
    """Recall, and the best precision at this or a higher recall, after each detection."""
    often = weights[verdict.image].astype(np.float64)
    right, wrong = np.cumsum(verdict.right * often, axis=1), np.cumsum(verdict.wrong * often, axis=1)
    precision = right / (right + wrong + np.spacing(1))
    return right / (weights @ verdict.objects), np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]


def _at_levels(recall: Float[np.ndarray, " d"], precision: Float[np.ndarray, " d"]) -> Float[np.ndarray, " levels"]:
    """0 where the level is not reached."""
    first = np.searchsorted(recall, LEVELS, side="left")
    return np.append(precision, 0.0)[first]


def _recall_of_few(verdicts: Verdicts, weights: Weights, few: int) -> float:
    """With the best detections alone of each category on an image."""
    recalls = []
    for (_, size), one in verdicts.of.items():
        if size == "" and weights @ one.objects > 0:
            hits = one.right @ (weights[one.image] * (one.place < few))
            recalls.append(hits.mean() / (weights @ one.objects))
    return _mean(recalls)


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return float(np.mean(listed)) if listed else math.nan
