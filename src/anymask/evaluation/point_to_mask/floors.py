"""What needs no learning: a disc around the click, flood fill, and GrabCut, given the same clicks as the model.

A model that does not beat them has learned nothing of use. Each is a function of an RGB photograph and its clicks to a
mask; all are deterministic. Their constants were chosen to serve them well on the training split of `sa_mini`.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from jaxtyping import Bool, Int, UInt8

__all__ = ["FLOORS", "Floor", "disc", "flood_fill", "grabcut"]

Image = UInt8[np.ndarray, "h w 3"]
Clicks = Int[np.ndarray, "k 2"]  # (x, y), image frame
Labels = Int[np.ndarray, " k"]  # 1 foreground, 0 background
Mask = Bool[np.ndarray, "h w"]
Floor = Callable[[Image, Clicks, Labels], Mask]

DISC_RADIUS = 0.1  # of the photograph's longest side
FLOOD_TOLERANCE = 12  # grey levels per channel from the clicked pixel, after a slight blur
GRABCUT_ROUNDS = 3
GRABCUT_SIDE = 128  # pixels of the longest side: it is better there than at full size, and thirty times as fast


def disc(image: Image, clicks: Clicks, labels: Labels) -> Mask:
    """The pixels near a foreground click that lie nearer to it than to any background click."""
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width]
    distances = [np.hypot(x - cx, y - cy) for cx, cy in clicks]
    reach = np.full((height, width), DISC_RADIUS * max(height, width))
    foreground = np.minimum.reduce([d for d, label in zip(distances, labels, strict=True) if label], initial=np.inf)
    background = np.minimum.reduce([d for d, label in zip(distances, labels, strict=True) if not label], initial=np.inf)
    return np.asarray((foreground <= reach) & (foreground <= background))


def flood_fill(image: Image, clicks: Clicks, labels: Labels) -> Mask:
    """The connected pixels of a foreground click's colour, without those of a background click's."""
    smooth = cv2.GaussianBlur(image, (5, 5), 0)
    filled = np.zeros((2, *image.shape[:2]), dtype=bool)
    for (x, y), label in zip(clicks, labels, strict=True):
        seen = np.zeros((image.shape[0] + 2, image.shape[1] + 2), np.uint8)
        flags = 4 | cv2.FLOODFILL_FIXED_RANGE | cv2.FLOODFILL_MASK_ONLY | (1 << 8)
        tolerance = (FLOOD_TOLERANCE,) * 3
        cv2.floodFill(smooth, seen, (int(x), int(y)), 0, tolerance, tolerance, flags)
        filled[int(label)] |= seen[1:-1, 1:-1] > 0
    return filled[1] & ~filled[0]


def grabcut(image: Image, clicks: Clicks, labels: Labels) -> Mask:
    """GrabCut (Rother et al. 2004) that starts from the disc and is held to the clicks, on a reduced photograph."""
    height, width = image.shape[:2]
    scale = min(1.0, GRABCUT_SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    places = np.minimum(((clicks + 0.5) * scale).astype(np.int64), np.array(size) - 1)
    mask = _grabcut(small, places, labels).astype(np.float32)
    return np.asarray(cv2.resize(mask, (width, height), interpolation=cv2.INTER_LINEAR) > 0.5)


def _grabcut(image: Image, clicks: Clicks, labels: Labels) -> Mask:
    start = disc(image, clicks, labels)
    state = np.where(start, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    for (x, y), label in zip(clicks, labels, strict=True):
        cv2.circle(state, (int(x), int(y)), 2, cv2.GC_FGD if label else cv2.GC_BGD, -1)
    if not (state % 2 == 1).any() or not (state % 2 == 0).any():  # nothing to tell apart
        return start
    cv2.setRNGSeed(0)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(np.ascontiguousarray(image[:, :, ::-1]), state, None, *models, GRABCUT_ROUNDS, cv2.GC_INIT_WITH_MASK)
    return (state == cv2.GC_FGD) | (state == cv2.GC_PR_FGD)


FLOORS: dict[str, Floor] = {"disc": disc, "flood_fill": flood_fill, "grabcut": grabcut}
