"""Thinning of a binary map to lines one pixel wide: Guo and Hall 1989, "Parallel thinning with two-subiteration
algorithms", as the boundary benchmark of BSDS500 wants it (MATLAB's ``bwmorph(map, 'thin', Inf)``).

A pass has two sub-iterations, which take pixels off from opposite sides. Each looks at the eight neighbours of every
pixel and takes off at once all that its rule lets go. Passes are repeated until a whole one takes off nothing; to stop
as soon as a single sub-iteration takes off nothing would leave some lines thicker.

Zhang and Suen's rule, usually called skeletonisation, leaves other lines.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Int, UInt8

__all__ = ["thin"]

NEIGHBOURS = ((0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1), (1, 0), (1, 1))
"""(row, column) from a pixel to its neighbours x1 … x8 in the paper's order: from the east, against the clock.

A pixel's *surroundings* are a number of eight bits, x1 the lowest."""


def thin(binary: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """The lines that remain; what lies beyond the map is empty.

    >>> thin(np.ones((3, 5), dtype=bool)).astype(int)
    array([[0, 0, 0, 0, 0],
           [0, 1, 1, 1, 0],
           [0, 0, 0, 0, 0]])
    """
    frame = np.pad(binary, 1)
    steps = np.array([row * frame.shape[1] + column for row, column in NEIGHBOURS])
    kept = frame.ravel()
    pixels = np.flatnonzero(kept)
    surroundings = _surroundings(kept, pixels, steps)
    removals: list[Int[np.ndarray, " n"]] = []
    asked = pixels
    while asked.size:
        removed = _removable(asked, kept, surroundings, RULES[len(removals) % 2])
        kept[removed] = False
        for direction, step in enumerate(steps):  # the neighbour sees the pixel in the opposite direction
            surroundings[removed + step] &= 255 - (1 << (direction + 4) % 8)
        removals.append(removed)
        # an answer stays what it was until a neighbour goes: after the first pass, only those are asked that lost one
        asked = pixels if len(removals) < 2 else (np.concatenate(removals[-2:])[:, None] + steps).ravel()
    return kept.reshape(frame.shape)[1:-1, 1:-1]


def _removable(
    asked: Int[np.ndarray, " n"],
    kept: Bool[np.ndarray, " p"],
    surroundings: UInt8[np.ndarray, " p"],
    rule: Bool[np.ndarray, " codes"],
) -> Int[np.ndarray, " r"]:
    return np.unique(asked[kept[asked] & rule[surroundings[asked]]])


def _surroundings(
    kept: Bool[np.ndarray, " p"], pixels: Int[np.ndarray, " n"], steps: Int[np.ndarray, " directions"]
) -> UInt8[np.ndarray, " p"]:
    """Of the pixels that are named; 0 elsewhere."""
    seen = [kept[pixels + step].view(np.uint8) << bit for bit, step in enumerate(steps)]
    surroundings = np.zeros(kept.shape, dtype=np.uint8)
    surroundings[pixels] = np.bitwise_or.reduce(seen)
    return surroundings


def _rules() -> tuple[Bool[np.ndarray, " codes"], Bool[np.ndarray, " codes"]]:
    """Whether each of the two sub-iterations takes off a pixel with these surroundings (conditions G1, G2 and G3)."""
    x1, x2, x3, x4, x5, x6, x7, x8 = (np.arange(256) >> bit & 1 > 0 for bit in range(8))
    ring = [x1, x2, x3, x4, x5, x6, x7, x8, x1]
    crossings = sum((~ring[i] & (ring[i + 1] | ring[i + 2])).astype(int) for i in (0, 2, 4, 6))
    pairs = [sum((ring[i] | ring[i + 1]).astype(int) for i in range(first, 8, 2)) for first in (0, 1)]
    fewer = np.minimum(pairs[0], pairs[1])
    common = (crossings == 1) & (fewer >= 2) & (fewer <= 3)
    return common & ~((x2 | x3 | ~x8) & x1), common & ~((x6 | x7 | ~x4) & x5)


RULES = _rules()
