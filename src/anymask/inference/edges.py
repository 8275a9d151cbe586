"""From masks to an edge map, as SAM detects edges without being taught (SAM, section 7.2 and appendix D.2).

Probabilities of each mask ─Sobel─> kept just outside the mask ─maximum over masks─> scaled to [0, 1] ─> thinned

The paper leaves details open: which Sobel magnitude, what an outer boundary pixel is, how the maximum is scaled, which
non-maximum suppression. They are settings here, and a result says which were taken.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Literal

import cv2
import numpy as np
from jaxtyping import Bool, Float
from msgspec import Meta

__all__ = ["EdgeMaps", "gradient_outside", "scaled", "strongest", "thinned"]

Map = Float[np.ndarray, "h w"]
Part = tuple[Float[np.ndarray, "a b"], Bool[np.ndarray, "a b"], tuple[int, int]]


@dataclass(frozen=True, kw_only=True, slots=True)
class EdgeMaps:
    """How masks become edges. The defaults are our reading of the paper.

    ``magnitude``   of the two Sobel responses: their Euclidean norm, or the sum of their absolute values
    ``neighbours``  a pixel is just outside a mask if one of its 4 or 8 neighbours is inside
    ``thickness``   rings of such pixels
    ``scale``       ``min_max``: the map's least value becomes 0, its largest 1; ``max``: only the latter
    ``suppression`` ``canny``: across the gradient of the map (Canny 1986); ``oriented``: across the direction in which
                    the smoothed map is most curved, as is customary on BSDS500 (Dollar and Zitnick 2015); ``none``
    ``radius``, ``slack``, ``fade``
                    of ``oriented``: a pixel must not be below its neighbours up to so many pixels away, by more than
                    this factor; the map fades to 0 over so many pixels at the border of the image
    """

    magnitude: Literal["l2", "l1"] = "l2"
    neighbours: Literal[4, 8] = 8
    thickness: Annotated[int, Meta(ge=1)] = 1
    scale: Literal["min_max", "max"] = "min_max"
    suppression: Literal["canny", "oriented", "none"] = "oriented"
    radius: Annotated[int, Meta(ge=1)] = 1
    slack: Annotated[float, Meta(ge=1)] = 1.01
    fade: Annotated[int, Meta(ge=0)] = 5

    def of(self, masks: Iterable[Part], size: tuple[int, int]) -> Map:
        """The edge map of an image of ``size`` (height, width), in [0, 1].

        Each mask comes as a part of the image that holds it with a margin of ``thickness`` + 1 pixels, cut off at the
        image's border: its probabilities, the mask itself, and the part's first row and column.
        """
        edges = np.zeros(size, dtype=np.float32)
        for probabilities, mask, (row, column) in masks:
            part = edges[row : row + mask.shape[0], column : column + mask.shape[1]]
            np.maximum(part, gradient_outside(probabilities, mask, self), out=part)
        return thinned(scaled(edges, self), self)


def gradient_outside(probabilities: Map, mask: Bool[np.ndarray, "h w"], settings: EdgeMaps) -> Map:
    """Sobel's magnitude of the probabilities on the outer boundary pixels of the mask, 0 elsewhere."""
    across = cv2.Sobel(probabilities, cv2.CV_32F, 1, 0, borderType=cv2.BORDER_REPLICATE)
    down = cv2.Sobel(probabilities, cv2.CV_32F, 0, 1, borderType=cv2.BORDER_REPLICATE)
    strength = np.hypot(across, down) if settings.magnitude == "l2" else np.abs(across) + np.abs(down)
    shape = cv2.MORPH_RECT if settings.neighbours == 8 else cv2.MORPH_CROSS
    neighbourhood = cv2.getStructuringElement(shape, (3, 3))
    inside = mask.astype(np.uint8)
    return np.where(cv2.dilate(inside, neighbourhood, iterations=settings.thickness) > inside, strength, 0)


def scaled(edges: Map, settings: EdgeMaps) -> Map:
    """Linearly to [0, 1]; a map without an edge stays 0."""
    low = edges.min() if settings.scale == "min_max" else np.float32(0)
    spread = edges.max() - low
    return (edges - low) / spread if spread > 0 else np.zeros_like(edges)


def thinned(edges: Map, settings: EdgeMaps) -> Map:
    """Only the ridges of the map; everything else becomes 0."""
    if settings.suppression == "none":
        return edges
    if settings.suppression == "canny":
        across, down = cv2.Sobel(edges, cv2.CV_32F, 1, 0), cv2.Sobel(edges, cv2.CV_32F, 0, 1)
        return np.where(strongest(edges, np.arctan2(down, across), radius=1, slack=1.0), edges, 0)
    kept = strongest(edges, _normal_of_ridges(edges), radius=settings.radius, slack=settings.slack)
    return np.where(kept, edges, 0) * _faded(edges.shape, settings.fade)


def strongest(edges: Map, direction: Map, *, radius: int, slack: float) -> Bool[np.ndarray, "h w"]:
    """Pixels that no neighbour along ``direction`` exceeds by more than a factor ``slack``, up to ``radius`` pixels.

    ``direction`` in radians from the x axis towards y; neighbours between pixels are interpolated linearly, and
    outside the image the border's value is taken.
    """
    y, x = np.indices(edges.shape, dtype=np.float32)
    kept = np.ones(edges.shape, dtype=bool)
    for distance in (*range(-radius, 0), *range(1, radius + 1)):
        there = x + distance * np.cos(direction), y + distance * np.sin(direction)
        neighbour = cv2.remap(edges, *there, interpolation=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        kept &= edges * slack >= neighbour
    return kept


def _normal_of_ridges(edges: Map) -> Map:
    """The direction of strongest curvature of the map smoothed by a triangle of radius 4, in radians."""
    ramp = np.array([1, 2, 3, 4, 5, 4, 3, 2, 1], dtype=np.float32) / 25
    smooth = cv2.sepFilter2D(edges, cv2.CV_32F, ramp, ramp, borderType=cv2.BORDER_REFLECT)
    down, across = np.gradient(smooth)
    _, xx = np.gradient(across)
    yy, xy = np.gradient(down)
    turn = np.where(xy > 0, -1, 1)  # also where there is no mixed curvature, as on a level ridge
    return np.mod(np.arctan(yy * turn / (xx + 1e-5)), np.pi).astype(np.float32)


def _faded(size: tuple[int, int], width: int) -> Map:
    """1, falling linearly to 0 over the ``width`` pixels next to the border."""
    down, across = (np.minimum(np.arange(side), np.arange(side)[::-1]) for side in size)
    from_border = np.minimum(down[:, None], across[None, :]).astype(np.float32)
    return np.minimum(from_border / width, 1) if width else np.ones(size, dtype=np.float32)
