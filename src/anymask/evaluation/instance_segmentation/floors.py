"""What needs no learning: the box itself, and the ellipse in it. A pixel is inside where its centre is.

As in COCO's files the first pixel reaches from 0 to 1.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from anymask.masks import encode_runs
from anymask.structures import Rle

__all__ = ["FLOORS", "Floor", "filled_box", "filled_ellipse"]

Xywh = tuple[float, float, float, float]
Floor = Callable[[Xywh, tuple[int, int]], Rle]


def filled_box(xywh: Xywh, size: tuple[int, int]) -> Rle:
    """All of the box that is inside the image of ``size`` (height, width)."""
    return _filled(xywh, size, lambda offset: np.ones_like(offset))


def filled_ellipse(xywh: Xywh, size: tuple[int, int]) -> Rle:
    """The largest ellipse in the box, as far as it is inside the image: 79% of the box."""
    return _filled(xywh, size, lambda offset: np.sqrt(1 - offset**2))


def _filled(
    xywh: Xywh, size: tuple[int, int], reach: Callable[[Float[np.ndarray, " k"]], Float[np.ndarray, " k"]]
) -> Rle:
    """``reach`` is how far up and down a column goes, by its place from -1 to 1 in the box; 1 is to the edge."""
    (x, y, width, height), (rows, columns) = xywh, size
    column = np.arange(max(0, _first(x)), min(columns, _first(x + width)))
    half = height / 2 * reach((column + 0.5 - x - width / 2) / (width / 2))
    middle = y + height / 2 - 0.5
    top = np.clip(np.ceil(middle - half), 0, rows).astype(np.int64)
    end = np.clip(np.ceil(middle + half), 0, rows).astype(np.int64)
    some = end > top
    return encode_runs((column * rows + top)[some], (column * rows + end)[some], size)


def _first(place: float) -> int:
    """The first pixel whose centre is not before this place."""
    return int(np.ceil(place - 0.5))


FLOORS: dict[str, Floor] = {"box": filled_box, "ellipse": filled_ellipse}
