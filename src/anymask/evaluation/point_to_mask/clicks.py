"""The simulated user: where it clicks (SAM, appendix D.1), and its conversation with whatever draws the masks.

The first click is the pixel farthest from the object's boundary, or a random one of the object. Each later click is the
pixel farthest from the boundary of the error, foreground where the mask misses it, background where it is too much. As
in the interactive-segmentation benchmarks (RITM, Sofiiuk et al. 2021) the image's border is a boundary, a tie between
the two errors gives a background click, and of equal pixels the first in reading order is taken.

Two rules are ours. A pixel is never clicked twice, and where the error has no other pixel left, as where there is no
error, the object is left alone and its IoU stays. Distances are compared as squared whole numbers, so that the result
does not depend on the rounding of square roots.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int

from anymask import masks
from anymask.metrics.overlap import iou
from anymask.structures import Rle

__all__ = ["Answer", "Click", "Course", "Target", "interact", "next_click", "random_click"]

Bitmap = Bool[np.ndarray, "h w"]


class Click(NamedTuple):
    """One click on a pixel of the image; label 1 is foreground, 0 background."""

    x: int
    y: int
    label: int


@dataclass(frozen=True, slots=True)
class Target:
    """What the user has in mind."""

    true: Bitmap  # within `counted`
    counted: Bitmap | None  # None: every pixel counts
    first: Click


@dataclass(frozen=True, slots=True)
class Answer:
    """M masks for each of N objects, and how good each is believed to be."""

    masks: Bool[np.ndarray, "n m h w"]
    scores: Float[np.ndarray, "n m"]


Ask = Callable[[Int[np.ndarray, " n"], Int[np.ndarray, "n k 2"], Int[np.ndarray, "n k"]], Answer]
"""Objects by number, and all clicks (x, y) and labels that each has got so far, to masks."""


@dataclass(slots=True)
class Course:
    """What happened to one object, click by click."""

    clicks: list[Click]
    ious: list[float] = field(default_factory=list)  # of the mask believed best
    oracle_ious: list[float] = field(default_factory=list)  # of the mask that is best
    scores: list[float] = field(default_factory=list)  # of the mask believed best
    masks: dict[int, Rle] = field(default_factory=dict)  # after the clicks that are to be kept, and the last before


def interact(
    ask: Ask, targets: Sequence[Target], wants_more: Callable[[list[float]], bool], keep: Sequence[int] = ()
) -> list[Course]:
    """Click on all objects of one image, round by round and together.

    ``wants_more`` says from an object's IoUs so far whether it gets another click; a perfect one gets none. ``keep``
    are the clicks, in rising order, after which the mask is remembered; one that ends early keeps its last.
    """
    courses = [Course([target.first]) for target in targets]
    active = list(range(len(targets)))
    while active:
        answer = ask(np.array(active), *_clicks_of([courses[i] for i in active]))
        active = [
            i
            for row, i in enumerate(active)
            if _go_on(courses[i], targets[i], answer.masks[row], answer.scores[row], wants_more, keep)
        ]
    return courses


def next_click(
    true: Bitmap, predicted: Bitmap, counted: Bitmap | None = None, clicked: Sequence[Click] = ()
) -> Click | None:
    """The centre of the largest error; None where no pixel of an error is left to click on."""
    missed, too_much = true & ~predicted, predicted & ~true
    if counted is not None:
        missed, too_much = missed & counted, too_much & counted
    (miss_depth, miss_x, miss_y), (much_depth, much_x, much_y) = _deepest(missed, clicked), _deepest(too_much, clicked)
    if miss_depth > much_depth:
        return Click(miss_x, miss_y, 1)
    return Click(much_x, much_y, 0) if much_depth > 0 else None


def random_click(true: Bitmap, generator: np.random.Generator) -> Click:
    """A pixel of the object, all equally likely."""
    pixels = np.flatnonzero(true)
    row, column = divmod(int(generator.choice(pixels)), true.shape[1])
    return Click(column, row, 1)


def _clicks_of(courses: list[Course]) -> tuple[Int[np.ndarray, "n k 2"], Int[np.ndarray, "n k"]]:
    clicks = np.array([course.clicks for course in courses])
    return clicks[:, :, :2], clicks[:, :, 2]


def _go_on(
    course: Course,
    target: Target,
    candidates: Bool[np.ndarray, "m h w"],
    scores: Float[np.ndarray, " m"],
    wants_more: Callable[[list[float]], bool],
    keep: Sequence[int],
) -> bool:
    """Judge the answer to the latest click and add the next one, if there is to be one."""
    counted = candidates if target.counted is None else candidates & target.counted
    ious = [iou(candidate, target.true) for candidate in counted]
    believed = int(scores.argmax())
    course.ious.append(ious[believed])
    course.oracle_ious.append(max(ious))
    course.scores.append(float(scores[believed]))
    click = None
    if wants_more(course.ious):
        click = next_click(target.true, candidates[believed], target.counted, course.clicks)
    number = len(course.ious)
    if number in keep or (click is None and any(number < later for later in keep)):
        course.masks[number] = masks.encode(candidates[believed])
    if click is not None:
        course.clicks.append(click)
    return click is not None


def _deepest(error: Bitmap, clicked: Sequence[Click]) -> tuple[int, int, int]:
    """Squared depth, x and y of the pixel farthest from the outside of the error; the depth is 0 if there is none.

    Beyond the error's bounding box nothing is nearer than its rim, so the transform is taken on the box alone.
    """
    x0, y0, width, height = cv2.boundingRect(error.view(np.uint8))
    if width == 0:
        return 0, 0, 0
    inside = np.pad(error[y0 : y0 + height, x0 : x0 + width].view(np.uint8), 1)
    depth = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    squared = np.rint(depth.astype(np.float64) ** 2).astype(np.int64)
    for x, y, _ in clicked:
        if x0 <= x < x0 + width and y0 <= y < y0 + height:
            squared[y - y0, x - x0] = 0
    row, column = divmod(int(squared.argmax()), width)
    return int(squared[row, column]), column + x0, row + y0
