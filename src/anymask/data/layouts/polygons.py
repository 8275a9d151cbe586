"""Objects drawn as polygons, to run lengths; and several shapes to one mask."""

from __future__ import annotations

from collections.abc import Sequence

from pycocotools import mask as coco_mask

from anymask.data.coco import rle_from_segmentation
from anymask.errors import UserError
from anymask.structures import Rle

__all__ = ["Points", "mask_of_polygons", "union"]

Points = Sequence[Sequence[float]]
"""(x, y) of each corner."""
OUTSIDE = 2.0
"""Pixels by which a corner may lie beyond the photograph's edge; one that is farther belongs to another photograph."""


def mask_of_polygons(polygons: Sequence[Points], size: tuple[int, int], name: str) -> Rle:
    """All polygons together; empty where none has three corners. ``name`` is told where something is wrong.

    Raises UserError for a corner that is no pair of numbers or lies outside the photograph.
    """
    for corner in (corner for polygon in polygons for corner in polygon):
        if len(corner) != 2 or not _is_inside(corner, size):
            raise UserError(f"{name} has the corner {list(corner)}, outside the photograph of {size} (height, width)")
    try:
        return rle_from_segmentation([[float(at) for corner in polygon for at in corner] for polygon in polygons], size)
    except ValueError as error:
        raise UserError(f"{name}: {error}") from None


def _is_inside(corner: Sequence[float], size: tuple[int, int]) -> bool:
    return -OUTSIDE <= corner[0] <= size[1] + OUTSIDE and -OUTSIDE <= corner[1] <= size[0] + OUTSIDE


def union(masks: Sequence[Rle]) -> Rle:
    """What any of them covers; all have one size."""
    if len(masks) == 1:
        return masks[0]
    merged = coco_mask.merge([{"size": list(mask.size), "counts": mask.counts} for mask in masks])
    return Rle(masks[0].size, merged["counts"])
