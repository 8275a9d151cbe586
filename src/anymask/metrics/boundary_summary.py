"""Precision and recall of boundaries, and the benchmark's four numbers: ODS, OIS, AP and R50.

Definitions of the BSDS500 benchmark (Arbelaez et al. 2011, section 3) to its last detail; R50 is of Dollar and Zitnick
2015. Three details that are easily taken for mistakes, and without which no published number can be compared:

* ODS looks for the best F also between neighbouring thresholds, where recall and precision are interpolated.
* OIS is the F of pooled counts, each image's at its own best threshold; it is no mean over images.
* AP adds up 101 values and multiplies by 1/100; nothing is added where the curve was not measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from anymask.metrics.boundaries import BoundaryCounts, pool

__all__ = ["BoundarySummary", "Curve", "OperatingPoint", "best_point", "curve", "summarise"]

BETWEEN = np.linspace(0, 1, 100)
"""Where the best F is looked for between two thresholds."""

Values = Float[np.ndarray, " t"]


@dataclass(frozen=True, kw_only=True, slots=True)
class OperatingPoint:
    """A place on a curve; without a threshold if every image has its own."""

    threshold: float | None
    recall: float
    precision: float

    @property
    def f(self) -> float:
        """The harmonic mean of precision and recall."""
        return float(_f(np.array(self.recall), np.array(self.precision)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """Recall and precision at each threshold."""

    thresholds: Float[np.ndarray, " t"]
    recall: Float[np.ndarray, " t"]
    precision: Float[np.ndarray, " t"]


@dataclass(frozen=True, kw_only=True, slots=True)
class BoundarySummary:
    """What is reported of a set of images."""

    curve: Curve
    ods: OperatingPoint  # the best with one threshold for the whole set
    ois: OperatingPoint  # with the best threshold of each image
    ap: float  # mean precision over recalls from 0 to 1
    r50: float  # recall at a precision of one half


def summarise(images: Sequence[BoundaryCounts]) -> BoundarySummary:
    """Of images counted at the same thresholds."""
    pooled = curve(pool(images))
    return BoundarySummary(
        curve=pooled,
        ods=best_point(pooled),
        ois=_optimal_image_scale(images),
        ap=average_precision(pooled),
        r50=recall_at_half(pooled),
    )


def curve(counts: BoundaryCounts) -> Curve:
    """Recall and precision are 0 where there is nothing to be found or nothing drawn."""
    return Curve(
        thresholds=counts.thresholds,
        recall=_ratio(counts.found, counts.boundary),
        precision=_ratio(counts.right, counts.drawn),
    )


def best_point(curve: Curve) -> OperatingPoint:
    """The first place with the highest F, on the thresholds and between them."""
    dense = np.stack([_interpolated(values) for values in (curve.thresholds, curve.recall, curve.precision)])
    threshold, recall, precision = dense[:, _f(dense[1], dense[2]).argmax()].tolist()
    return OperatingPoint(threshold=threshold, recall=recall, precision=precision)


def average_precision(curve: Curve) -> float:
    """The sum of the precisions at the recalls 0, .01, … 1 over 100; 0 beyond the recalls that were measured.

    Of thresholds with the same recall the lowest counts.
    """
    recall, first = np.unique(curve.recall, return_index=True)
    return float(np.interp(np.arange(101) / 100, recall, curve.precision[first], left=0, right=0).sum() / 100)


def recall_at_half(curve: Curve) -> float:
    """The recall at a precision of .5, or at the lowest precision if that is higher; 0 if the highest is lower.

    Of thresholds with the same recall the lowest counts, of those with the same precision the one with more recall.
    """
    recall, first = np.unique(curve.recall, return_index=True)
    precision, highest = np.unique(curve.precision[first][::-1], return_index=True)
    return float(np.interp(0.5, precision, recall[::-1][highest], right=0))


def _optimal_image_scale(images: Sequence[BoundaryCounts]) -> OperatingPoint:
    """Each image's counts are taken at the first of its thresholds with the highest F."""
    best = [int(_f(one.recall, one.precision).argmax()) for one in map(curve, images)]
    found, boundary, right, drawn = (
        sum(int(getattr(one, name)[place]) for one, place in zip(images, best, strict=True))
        for name in ("found", "boundary", "right", "drawn")
    )
    recall, precision = _ratio(np.array([found, right]), np.array([boundary, drawn])).tolist()
    return OperatingPoint(threshold=None, recall=recall, precision=precision)


def _interpolated(values: Values) -> Float[np.ndarray, " d"]:
    between = values[:-1, None] * (1 - BETWEEN) + values[1:, None] * BETWEEN
    return np.concatenate([values[:1], between.ravel()])


def _ratio(part: Int[np.ndarray, " t"], whole: Int[np.ndarray, " t"]) -> Values:
    return part / np.maximum(whole, 1)


def _f(recall: Float[np.ndarray, "*t"], precision: Float[np.ndarray, "*t"]) -> Float[np.ndarray, "*t"]:
    total = recall + precision
    return np.divide(2 * recall * precision, total, out=np.zeros_like(total), where=total > 0)
