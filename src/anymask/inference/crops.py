"""Where automatic mask generation looks: overlapping crops of the photograph, and a grid of points on each.

SAM, appendix B: beside the whole photograph, layer i of the crops has 2^i x 2^i of them; the numbers are rounded as in
the official code, so that crops and points are its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from anymask.errors import UserError

__all__ = ["Box", "crop_boxes", "point_grid"]

Box = tuple[int, int, int, int]


def point_grid(per_side: int) -> Float[np.ndarray, "n 2"]:
    """(x, y) as shares of width and height: the centres of ``per_side`` x ``per_side`` equal cells, row by row.

    >>> point_grid(2).tolist()
    [[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]]
    """
    if per_side < 1:
        return np.zeros((0, 2))
    centres = np.linspace(1 / (2 * per_side), 1 - 1 / (2 * per_side), per_side)
    return np.stack([np.tile(centres, per_side), np.repeat(centres, per_side)], axis=1)


def crop_boxes(size: tuple[int, int], layers: int, overlap: float) -> Iterator[tuple[int, Box]]:
    """(layer, XYXY) of the whole photograph, layer 0, and then of all crops; right and lower edge excluded.

    ``size`` is the photograph's (height, width), ``overlap`` a share of its shorter side: how much crops of the first
    layer overlap; those of further layers do so in proportion. Raises UserError where a crop would have no pixel.
    """
    height, width = size
    yield 0, (0, 0, width, height)
    for layer in range(1, layers + 1):
        number = 2**layer
        shared = int(overlap * min(size) * (2 / number))
        lefts, crop_width = _spread(width, number, shared)
        tops, crop_height = _spread(height, number, shared)
        if lefts[-1] >= width or tops[-1] >= height:
            raise UserError(f"an image of {width} x {height} pixels is too small for {layer} layers of crops")
        for x in lefts:
            for y in tops:
                yield layer, (x, y, min(x + crop_width, width), min(y + crop_height, height))


def _spread(length: int, number: int, shared: int) -> tuple[list[int], int]:
    """Where ``number`` crops of one length begin that cover ``length`` and overlap by ``shared``; and their length."""
    crop = math.ceil((shared * (number - 1) + length) / number)
    return [(crop - shared) * i for i in range(number)], crop
