"""Proposals that need no learning: boxes that look at nothing, and segments of even colour.

Each is a function of an RGB photograph to masks, the best first; all are deterministic. Their constants were chosen to
serve them well on the training split of `sa_mini`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8
from pycocotools import mask as coco_mask
from skimage import segmentation

from anymask.masks import encode_runs
from anymask.structures import Rle

__all__ = ["FLOORS", "Floor", "boxes", "felzenszwalb", "segments"]

Image = UInt8[np.ndarray, "h w 3"]
Floor = Callable[[Image], list[Rle]]

SIZES = (0.9, 0.6, 0.4, 0.25, 0.15, 0.1)  # geometric means of a box's sides, as shares of the photograph's
RATIOS = (1.0, 0.5, 2.0)  # height to width, beside the photograph's own
STEP = 0.5  # from one box to the next, as a share of its side
MOST = 1000

SCALES = (1000.0, 500.0, 250.0, 125.0, 60.0, 30.0)  # of Felzenszwalb's observation scale, coarse segments first
SIGMA = 0.5
SMALLEST = 30  # pixels of the reduced photograph
SIDE = 256  # to which its longest side is reduced


def boxes(image: Image) -> list[Rle]:
    """Up to 1000 filled boxes in several sizes and shapes on a lattice: large ones first, central before others."""
    return list(_boxes_on(image.shape[0], image.shape[1]))


def felzenszwalb(image: Image) -> list[Rle]:
    """Segments of Felzenszwalb and Huttenlocher (2004) at several scales on a reduced photograph: large ones first."""
    height, width = image.shape[:2]
    scale = min(1.0, SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    found: dict[bytes, Rle] = {}
    for observed in SCALES:
        labels = segmentation.felzenszwalb(small, scale=observed, sigma=SIGMA, min_size=SMALLEST)
        whole = cv2.resize(labels.astype(np.int32), (width, height), interpolation=cv2.INTER_NEAREST)
        for rle in segments(whole):
            found.setdefault(rle.counts, rle)  # a segment that stays the same at several scales is one
    return list(found.values())[:MOST]


def segments(labels: Int[np.ndarray, "h w"]) -> list[Rle]:
    """The pixels of each label as a mask, the largest first; worked out from the runs down all columns at once."""
    line = labels.T.ravel()
    starts = np.flatnonzero(np.diff(line, prepend=line[0] - 1))
    ends = np.append(starts[1:], len(line))
    of_run = line[starts]
    by_label = np.argsort(of_run, kind="stable")
    each = np.split(by_label, np.flatnonzero(np.diff(of_run[by_label])) + 1)
    areas = [int((ends[runs] - starts[runs]).sum()) for runs in each]
    largest_first = np.argsort(-np.array(areas), kind="stable")
    return [encode_runs(starts[each[row]], ends[each[row]], labels.shape) for row in largest_first]


@lru_cache(maxsize=16)  # photographs of a set have few sizes
def _boxes_on(height: int, width: int) -> tuple[Rle, ...]:
    placed = np.concatenate(
        [
            _lattice(size * ratio**0.5, size * ratio**-0.5)
            for size in SIZES
            for ratio in RATIOS
            if size * max(ratio, 1 / ratio) ** 0.5 <= 1
        ]
    )[:MOST]
    corners = np.rint(placed * (width, height, width, height))
    first = np.minimum(corners[:, :2], (width - 1, height - 1))
    xywh = np.concatenate([first, np.maximum(corners[:, 2:] - first, 1)], axis=1)
    return tuple(Rle((height, width), each["counts"]) for each in coco_mask.frPyObjects(xywh, height, width))


def _lattice(height: float, width: float) -> Float[np.ndarray, "n 4"]:
    """Boxes of one size over the unit square, evenly spread, those nearest to its centre first; XYXY."""
    tops, lefts = (np.linspace(0, 1 - side, 1 + int(np.ceil((1 - side) / (STEP * side)))) for side in (height, width))
    y, x = (grid.ravel() for grid in np.meshgrid(tops, lefts, indexing="ij"))
    nearest = np.argsort(np.hypot(x + width / 2 - 0.5, y + height / 2 - 0.5).round(6), kind="stable")
    return np.stack([x, y, x + width, y + height], axis=1)[nearest]


FLOORS: dict[str, Floor] = {"boxes": boxes, "felzenszwalb": felzenszwalb}
