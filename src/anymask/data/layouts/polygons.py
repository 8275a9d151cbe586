"""Objects drawn as polygons, to run lengths; and several shapes to one mask."""

from __future__ import annotations

from collections.abc import Sequence

from pycocotools import mask as coco_mask

from anymask.data.coco import rle_from_segmentation
from anymask.errors import UserError
from anymask.structures import Rle

__all__ = ["Points", "check_corners", "mask_of_polygons", "union"]

Points = Sequence[Sequence[float]]
"""(x, y) of each corner, in pixels of the photograph."""
FARTHEST_OUT = 0.1
"""Of the photograph's side, by which a corner may lie beyond its edge; one farther belongs to another photograph."""


def mask_of_polygons(
    polygons: Sequence[Points], size: tuple[int, int], name: str, *, farthest_out: float = FARTHEST_OUT
) -> Rle:
    """All polygons together, cut off at the photograph's edge; empty where none has three corners.

    Raises UserError, which tells ``name``, for a corner that is no pair of numbers or lies too far outside.
    """
    for polygon in polygons:
        check_corners(polygon, size, name, farthest_out)
    try:
        return rle_from_segmentation([[float(at) for corner in polygon for at in corner] for polygon in polygons], size)
    except ValueError as error:
        raise UserError(f"{name}: {error}") from None


def check_corners(corners: Points, size: tuple[int, int], name: str, farthest_out: float = FARTHEST_OUT) -> None:
    """Raises UserError for a corner that is no pair of numbers or lies too far outside a photograph of ``size``."""
    for corner in corners:
        if len(corner) != 2 or not all(
            -farthest_out * side <= at <= (1 + farthest_out) * side for at, side in zip(corner, size[::-1], strict=True)
        ):
            raise UserError(
                f"{name} has the corner {list(corner)}, far outside the photograph of {size} (height, width)"
            )


def union(masks: Sequence[Rle]) -> Rle:
    """What any of them covers; all have one size."""
    if len(masks) == 1:
        return masks[0]
    merged = coco_mask.merge([{"size": list(mask.size), "counts": mask.counts} for mask in masks])
    return Rle(masks[0].size, merged["counts"])
