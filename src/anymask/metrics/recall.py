"""How many of the annotated objects are among the first K proposals: average recall, whatever the category (SAM,
section 7.3 and appendix D.3; the matching is COCOeval's with ``useCats=0``).

One image gives a small table of counts; tables are added up and divided at the end, so that nothing is kept of the
hundreds of proposals of an image. Recall is pooled over objects, not averaged over categories or images.

Proposals are taken by falling score, equal ones in the order given. Each finds the object that it overlaps most, of
those not found yet and with at least the threshold's IoU; of equals, the last. A group's recall is measured as if its
objects were the only ones: a proposal on a medium object can still find a small one. COCOeval calls the rest "ignored"
and lets proposals match it, but only those that would find nothing else, so that the rest can as well be left out.
Crowd regions are in no group. Sizes are by the area that is annotated, and go by COCO's bounds, which belong to both
sides: an object of 32 x 32 pixels is small and medium.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Bool, Float, Int
from pycocotools import mask as coco_mask

from anymask.structures import Rle

__all__ = [
    "CUTOFFS",
    "GROUPS",
    "IOU_THRESHOLDS",
    "FoundObjects",
    "Group",
    "average_recall",
    "count_found",
    "recalls",
    "standard_error",
]

Group = Literal["all", "small", "medium", "large", "rare", "common", "frequent"]
"""Objects that are counted together: by size, and by how frequent LVIS's category is."""
GROUPS: tuple[Group, ...] = get_args(Group)
AREAS = {"small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e5**2)}

CUTOFFS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
"""Numbers of proposals after which the found objects are counted."""
IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)  # as pycocotools computes them, to the bit


@dataclass(frozen=True, slots=True)
class FoundObjects:
    """Counts of one image or of many, by group, cutoff and threshold: P ``GROUPS``, K ``CUTOFFS``, T thresholds."""

    found: Int[np.ndarray, "p k t"]
    objects: Int[np.ndarray, " p"]
    proposals: int  # all that were given, also beyond the last cutoff

    def __add__(self, other: FoundObjects) -> FoundObjects:
        return FoundObjects(self.found + other.found, self.objects + other.objects, self.proposals + other.proposals)


def count_found(
    proposals: Sequence[Rle],
    scores: Float[np.ndarray, " d"],
    objects: Sequence[Rle],
    *,
    areas: Float[np.ndarray, " g"],
    crowd: Bool[np.ndarray, " g"],
    frequencies: Sequence[Literal["r", "c", "f"] | None] | None = None,
) -> FoundObjects:
    """One image: D proposals and the G objects that are annotated on it; ``frequencies`` are those of LVIS.

    Raises ValueError for a score that is not finite (it has no place in the ranking) and for masks of unequal sizes.
    """
    if not np.isfinite(scores).all():
        raise ValueError(f"the score of a proposal is {scores[~np.isfinite(scores)][0]}")
    counted = _members(areas, crowd, frequencies or [None] * len(objects))
    best_first = np.argsort(-scores, kind="stable")[: CUTOFFS[-1]]
    ious = _ious([proposals[number] for number in best_first], objects)
    ranks = _ranks(ious, counted)
    found = (ranks[:, None] < np.array(CUTOFFS)[:, None, None]).sum(axis=-1)
    return FoundObjects(found, counted.sum(axis=1), len(proposals))


def recalls(counts: FoundObjects) -> Float[np.ndarray, "p k t"]:
    """The share of objects found, NaN where a group has none.

    A row along K is the curve over the number of proposals, one along T that over the IoU.
    """
    with np.errstate(invalid="ignore"):
        return counts.found / counts.objects[:, None, None]


def average_recall(counts: FoundObjects, group: Group, cutoff: int) -> float:
    """AR@K, K one of ``CUTOFFS``: the mean over the IoU thresholds of the recall of a group's objects."""
    return float(recalls(counts)[GROUPS.index(group), CUTOFFS.index(cutoff)].mean())


def standard_error(images: Sequence[FoundObjects], group: Group, cutoff: int) -> float:
    """Of ``average_recall`` of the images' sum, images taken as independent, their objects not; NaN for one image.

    The recall is a ratio of two sums over images; its error is the first-order one (Cochran 1977, section 2.11).
    """
    p, k = GROUPS.index(group), CUTOFFS.index(cutoff)
    found = np.array([image.found[p, k].mean() for image in images])
    objects = np.array([image.objects[p] for image in images])
    if len(images) < 2 or not objects.any():
        return math.nan
    residuals = found - objects * (found.sum() / objects.sum())
    return float(math.sqrt(len(images) / (len(images) - 1) * (residuals**2).sum()) / objects.sum())


def _members(
    areas: Float[np.ndarray, " g"], crowd: Bool[np.ndarray, " g"], frequencies: Sequence[str | None]
) -> Bool[np.ndarray, "p g"]:
    letters = np.array([letter or "" for letter in frequencies], dtype="U1")
    inside = {
        "all": np.ones(len(areas), dtype=bool),
        **{size: (areas >= low) & (areas <= high) for size, (low, high) in AREAS.items()},
        **{name: letters == name[0] for name in ("rare", "common", "frequent")},
    }
    return np.stack([inside[group] & ~crowd for group in GROUPS])


def _ious(proposals: Sequence[Rle], objects: Sequence[Rle]) -> Float[np.ndarray, "d g"]:
    sizes = {rle.size for rle in (*proposals, *objects)}
    if len(sizes) > 1:
        raise ValueError(f"masks of one image have the sizes {sorted(sizes)}")
    if not proposals or not objects:
        return np.zeros((len(proposals), len(objects)))
    coded = [[{"size": rle.size, "counts": rle.counts} for rle in some] for some in (proposals, objects)]
    return coco_mask.iou(*coded, [0] * len(objects))


def _ranks(ious: Float[np.ndarray, "d g"], counted: Bool[np.ndarray, "p g"]) -> Int[np.ndarray, "p t n"]:
    """The place from 0 of the proposal that finds each object, in each group and at each threshold.

    Only of the N objects that some proposal could find, in any order: the others are found by none.
    """
    possible = ious >= IOU_THRESHOLDS[0]
    near = np.flatnonzero(possible.any(axis=0))[::-1]  # argmax takes the first of equals; the last is wanted
    never = np.iinfo(np.int64).max
    ranks = np.full((len(counted), len(IOU_THRESHOLDS), len(near)), never)
    for rank in np.flatnonzero(possible.any(axis=1)):
        row = ious[rank, near]
        free = (ranks == never) & counted[:, None, near] & (row >= IOU_THRESHOLDS[:, None])
        best = np.where(free, row, -1).argmax(axis=-1, keepdims=True)
        found = np.where(np.take_along_axis(free, best, axis=-1), rank, np.take_along_axis(ranks, best, axis=-1))
        np.put_along_axis(ranks, best, found, axis=-1)
    return ranks
