"""Edge maps that need no learning: Sobel's and Canny's, on the grey photograph.

A detector of edges that does not beat them sees no more than changes of brightness. Both have what is customary: a blur
before, and for Canny a map of many pairs of thresholds in the place of one.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from anymask.inference.edges import EdgeMaps, scaled, thinned

__all__ = ["FLOORS", "Floor", "canny", "sobel"]

Image = UInt8[np.ndarray, "h w 3"]
Map = Float[np.ndarray, "h w"]
Floor = Callable[[Image, EdgeMaps], Map]

BLUR = 2.0  # standard deviation in pixels, before either
CANNY_LEVELS = 32
CANNY_LOW = 0.4  # of the higher threshold
STEEPEST = 4 * 255 * np.sqrt(2)  # of Sobel's operator on 8 bits: Canny's thresholds are shares of it


def sobel(image: Image, maps: EdgeMaps) -> Map:
    """The magnitude of the gradient, scaled and thinned as the model's maps are."""
    grey = _smooth_grey(image)
    across, down = cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)
    return thinned(scaled(np.hypot(across, down), maps), maps)


def canny(image: Image, _: EdgeMaps) -> Map:
    """The share of Canny's thresholds (1986) at which a pixel is an edge; it thins by itself."""
    grey = _smooth_grey(image)
    across, down = (cv2.Sobel(grey, cv2.CV_16S, x, y) for x, y in ((1, 0), (0, 1)))
    votes = np.zeros(grey.shape, dtype=np.float32)
    for level in range(1, CANNY_LEVELS + 1):
        high = STEEPEST * (level / CANNY_LEVELS) ** 2 / 4
        votes += cv2.Canny(across, down, CANNY_LOW * high, high, L2gradient=True) > 0
    return votes / CANNY_LEVELS


def _smooth_grey(image: Image) -> UInt8[np.ndarray, "h w"]:
    return np.asarray(cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (0, 0), BLUR))


FLOORS: dict[str, Floor] = {"sobel": sobel, "canny": canny}
