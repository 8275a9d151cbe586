"""Which masks are left out: doubles, those cut off by a crop, and the specks and pinholes of those that stay.

Boxes here are XYXY of the outermost pixels, *both* edges included, as the official generator has them.
"""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int

from anymask.inference.crops import Box

__all__ = ["is_cut_off", "non_maximum_suppression", "remove_small_regions"]

EDGE_TOLERANCE = 20
"""Pixels from a crop's edge within which a mask may have been cut off; the official code's."""


def non_maximum_suppression(
    boxes: Int[np.ndarray, "n 4"], scores: Float[np.ndarray, " n"], threshold: float
) -> Int[np.ndarray, " k"]:
    """Which boxes stay, best first: those that overlap no better one that stays by an IoU of more than ``threshold``.

    As torchvision's ``nms``, down to single precision, ties (the first is the better) and boxes without area, which
    overlap nothing.
    """
    order = np.argsort(-scores, kind="stable")
    x0, y0, x1, y1 = np.ascontiguousarray(boxes[order].T, dtype=np.float32)
    areas = (x1 - x0) * (y1 - y0)
    stays = np.ones(len(order), dtype=bool)
    for best in range(len(order)):
        if not stays[best]:
            continue
        worse = slice(best + 1, None)
        width = np.minimum(x1[best], x1[worse]) - np.maximum(x0[best], x0[worse])
        height = np.minimum(y1[best], y1[worse]) - np.maximum(y0[best], y0[worse])
        shared = width.clip(min=0) * height.clip(min=0)
        with np.errstate(invalid="ignore"):  # nothing shared of nothing
            ious = shared / (areas[best] + areas[worse] - shared)
        stays[worse] &= ~(ious.astype(np.float64) > threshold)
    return order[stays]


def is_cut_off(boxes: Int[np.ndarray, "n 4"], crop: Box, image_size: tuple[int, int]) -> Bool[np.ndarray, " n"]:
    """Whether a box comes near an edge of the crop that is no edge of the photograph; all in the image frame."""
    whole = (0, 0, image_size[1], image_size[0])
    near_crop, near_image = (np.abs(boxes - np.array(edges)) <= EDGE_TOLERANCE for edges in (crop, whole))
    return (near_crop & ~near_image).any(axis=1)


def remove_small_regions(mask: Bool[np.ndarray, "h w"], min_area: int) -> Bool[np.ndarray, "h w"] | None:
    """The mask with holes of fewer than ``min_area`` pixels filled, then islands of fewer taken away.

    Regions hang together by corners too. Where all islands are small, the largest stays. None where there is neither a
    small hole nor a small island.
    """
    holes, areas = _regions(~mask)
    small_holes = areas < min_area
    small_holes[0] = False
    filled = mask | small_holes[holes] if small_holes.any() else mask
    islands, areas = _regions(filled)
    large = areas >= min_area
    large[0] = False
    if not small_holes.any() and large[1:].all():
        return None
    if len(areas) > 1 and not large.any():
        large[1 + np.argmax(areas[1:])] = True
    return large[islands]


def _regions(mask: Bool[np.ndarray, "h w"]) -> tuple[Int[np.ndarray, "h w"], Int[np.ndarray, " regions"]]:
    """The number of each pixel's region, 0 outside of the mask, and the regions' areas."""
    number, regions, table, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    assert number == len(table)
    return regions, table[:, cv2.CC_STAT_AREA]
