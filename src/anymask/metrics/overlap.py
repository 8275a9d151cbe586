"""Numbers from overlaps: IoU of two bitmaps, means with their standard errors, number of clicks, size classes.

A *course* here is the list of IoUs after click 1, 2, …; where it ends early the mask was left alone, and its last value
holds for every later click.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from jaxtyping import Bool

__all__ = ["SIZE_CLASSES", "SizeClass", "clicks_to_reach", "iou", "iou_after", "mean_and_error", "size_class"]

SizeClass = Literal["small", "medium", "large"]
SIZE_CLASSES: tuple[SizeClass, ...] = get_args(SizeClass)


def iou(predicted: Bool[np.ndarray, "h w"], true: Bool[np.ndarray, "h w"]) -> float:
    """Intersection over union; two empty masks agree: 1."""
    union = int(np.count_nonzero(predicted | true))
    return int(np.count_nonzero(predicted & true)) / union if union else 1.0


def iou_after(course: Sequence[float], click: int) -> float:
    """The IoU after click 1, 2, …

    >>> iou_after([0.5, 1.0], 9)
    1.0
    """
    return course[min(click, len(course)) - 1]


def clicks_to_reach(course: Sequence[float], threshold: float, limit: int) -> int | None:
    """The first click, counted from 1 and up to ``limit``, after which the IoU is at the threshold; None if none is.

    The number of clicks of the literature (NoC) counts ``limit`` where this is None (RITM, section 5).

    >>> clicks_to_reach([0.4, 0.85, 0.8], 0.85, limit=20)
    2
    """
    reached = (click for click, value in enumerate(course[:limit], start=1) if value >= threshold)
    return next(reached, None)


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Mean and its standard error, as if the values were independent; the error of a single value is NaN.

    >>> mean_and_error([1.0, 3.0])
    (2.0, 1.0)
    """
    mean = math.fsum(values) / len(values)
    if len(values) == 1:
        return mean, math.nan
    variance = math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return mean, math.sqrt(variance / len(values))


def size_class(area: int) -> SizeClass:
    """COCO's classes by the mask's area in image pixels: medium from 32 x 32, large from 96 x 96."""
    return "small" if area < 32**2 else "medium" if area < 96**2 else "large"
