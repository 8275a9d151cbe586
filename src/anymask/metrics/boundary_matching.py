"""Which pixels of a thin map correspond to which pixels of one annotator's boundaries, exactly, while the map changes.

The boundary benchmark of BSDS500 (Martin, Fowlkes and Malik 2004; Arbelaez et al. 2011) pairs pixels one to one within
a distance. A pair costs 100 times its distance in pixels, rounded; a pixel left alone costs 100 x 100 times the largest
distance, so a pair is worth more than any distance. The official solver lets a pixel stay alone in a few random ways
only, and misses about 0.06% of the pairs; here the sum of all costs is the smallest there is.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Bool, Int

from anymask.metrics.dual_prices import FAR, FREE, Network, advance, compiled

__all__ = ["NOISE", "Correspondence", "largest_distance", "network"]

NOISE = 2**16
"""Noise below one unit of cost, in so many steps, decides between equal costs."""


class Correspondence:
    """Pairs of map pixels and boundary pixels. ``net`` has the map's pixels first, in their order, then the others."""

    def __init__(self, net: Network, *, machine_code: bool) -> None:
        self.net = net if machine_code else Network(*(np.asarray(column).tolist() for column in net))
        self._advance = compiled() if machine_code else advance

    def advance(self, leaving: Int[np.ndarray, " l"], entering: Int[np.ndarray, " e"]) -> None:
        """Take map pixels off and put others on, by their places in the order."""
        lists = isinstance(self.net.price, list)
        self._advance(self.net, *(nodes.tolist() if lists else nodes for nodes in (leaving, entering)))

    def is_paired(self, nodes: Int[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
        """Which of these map pixels correspond to a boundary pixel."""
        partner = self.net.partner
        if isinstance(partner, list):
            return np.array([partner[node] != FREE for node in nodes.tolist()], dtype=bool)
        return partner[nodes] != FREE


def largest_distance(size: tuple[int, int], part_of_diagonal: float = 0.0075) -> float:
    """Within which two pixels can correspond, in pixels of an image of this (height, width).

    >>> round(largest_distance((321, 481)), 5)
    4.33706
    """
    return part_of_diagonal * math.hypot(*size)


def network(pixels: Int[np.ndarray, " n"], boundary: Bool[np.ndarray, "h w"], reach: float, salt: int) -> Network:
    """Edges between the pixels that will ever be on the map (row x width + column) and the boundary pixels in reach.

    ``reach`` is in pixels. ``salt`` must be another one for every annotator: were the same pixel chosen from equally
    good ones each time, fewer would be found by any of them.
    """
    margin = math.ceil(reach)
    number = np.full([side + 2 * margin for side in boundary.shape], FREE)
    number[margin:-margin, margin:-margin].flat[pixels] = np.arange(len(pixels))
    boundary_pixels = np.flatnonzero(np.pad(boundary, margin))
    edges = []
    for row, column, cost in _steps(reach):
        there = number.ravel()[boundary_pixels + (row * number.shape[1] + column)]
        (found,) = np.nonzero(there != FREE)
        edges.append(np.stack([there[found], found + len(pixels), np.full(len(found), cost)]))
    pixel, other, cost = np.concatenate(edges, axis=1)
    worth = (math.ceil(100 * 100 * reach) - cost) * NOISE - _noise(pixels, salt)[pixel]
    return _with_edges(len(pixels), len(boundary_pixels), pixel, other, worth)


def _steps(reach: float) -> list[tuple[int, int, int]]:
    """(row, column, cost) of every step within reach, the short ones first."""
    span = range(-math.ceil(reach), math.ceil(reach) + 1)
    steps = [(row, column) for row in span for column in span if row**2 + column**2 <= reach**2]
    return sorted(((*step, round(100 * math.hypot(*step))) for step in steps), key=lambda step: step[2])


def _noise(pixels: Int[np.ndarray, " n"], salt: int) -> Int[np.ndarray, " n"]:
    """Uniform in [0, NOISE), always the same for a pixel and a salt: the mixer of SplitMix64 (Steele et al. 2014)."""
    mixed = (pixels.astype(np.uint64) << 16 | np.uint64(salt)) * 0x9E3779B97F4A7C15
    mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB
    return ((mixed ^ (mixed >> 31)) % NOISE).astype(np.int64)


def _with_edges(
    pixels: int,
    boundary_pixels: int,
    pixel: Int[np.ndarray, " e"],
    other: Int[np.ndarray, " e"],
    worth: Int[np.ndarray, " e"],
) -> Network:
    """Nothing is paired and no pixel is on the map yet."""
    ends, nodes = np.concatenate([pixel, other]), pixels + boundary_pixels
    order = np.argsort(ends, kind="stable")
    return Network(
        first=np.concatenate([[0], np.cumsum(np.bincount(ends, minlength=nodes))]),
        neighbour=np.concatenate([other, pixel])[order],
        worth=np.concatenate([worth, worth])[order],
        price=np.where(np.arange(nodes) < pixels, FAR, 0),
        partner=np.full(nodes, FREE),
        distance=np.full(nodes, FAR),
        via=np.full(nodes, FREE),
    )
