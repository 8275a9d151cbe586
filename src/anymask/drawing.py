"""Pictures of masks and prompts, as RGB arrays: what the training logs and the reports show.

Every function returns a new picture. What differs in meaning differs in shape or in line as well as in colour, and the
colours are apart for colour-blind eyes too (Okabe and Ito's palette).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import simplejpeg
from jaxtyping import Bool, Float, Int, Real, UInt8

__all__ = [
    "MISSED",
    "PREDICTED",
    "TOO_MUCH",
    "TRUE",
    "View",
    "draw_box",
    "draw_clicks",
    "draw_error",
    "jpeg",
    "overlay",
    "tile",
]

Picture = UInt8[np.ndarray, "h w 3"]  # RGB
AnySize = UInt8[np.ndarray, "_ _ 3"]
Mask = Bool[np.ndarray, "h w"]
Colour = tuple[int, int, int]

TRUE: Colour = (0, 158, 115)
PREDICTED: Colour = (0, 114, 178)
MISSED: Colour = (86, 180, 233)
TOO_MUCH: Colour = (213, 94, 0)
BOX: Colour = (240, 228, 66)
WHITE: Colour = (255, 255, 255)
BLACK: Colour = (0, 0, 0)
GAP = 4


@dataclass(frozen=True, slots=True)
class View:
    """A rectangle of an image, in whole pixels, that is shown in another size."""

    x0: int
    y0: int
    x1: int  # excluded, as is y1
    y1: int
    size: tuple[int, int]  # (height, width) of what is shown

    def cut(self, image: Picture) -> UInt8[np.ndarray, "a b 3"]:
        """The rectangle of the image."""
        way = cv2.INTER_AREA if self.size[0] < self.y1 - self.y0 else cv2.INTER_LINEAR
        return np.asarray(cv2.resize(image[self.y0 : self.y1, self.x0 : self.x1], self.size[::-1], interpolation=way))

    def cut_mask(self, mask: Mask) -> Bool[np.ndarray, "a b"]:
        """The rectangle of a mask of the image."""
        inside = np.ascontiguousarray(mask[self.y0 : self.y1, self.x0 : self.x1]).view(np.uint8)
        return np.asarray(cv2.resize(inside, self.size[::-1], interpolation=cv2.INTER_NEAREST)).astype(bool)

    def move(self, points: Real[np.ndarray, "k 2"]) -> Float[np.ndarray, "k 2"]:
        """Where points (x, y) of the image are shown; the centre of the first pixel is (0, 0) here and there."""
        corner, scale = (self.x0, self.y0), np.divide(self.size[::-1], (self.x1 - self.x0, self.y1 - self.y0))
        return np.asarray((points - corner + 0.5) * scale - 0.5)


def overlay(image: Picture, mask: Mask, colour: Colour = PREDICTED) -> Picture:
    """The mask as a translucent tint with its contour in the full colour."""
    picture = _tint(image, mask, colour)
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(picture, contours, -1, colour, _line(image))


def draw_error(image: Picture, predicted: Mask, true: Mask) -> Picture:
    """What the prediction misses and what it has too much, in two tints; what is right stays as it is."""
    return _tint(_tint(image, true & ~predicted, MISSED, 0.65), predicted & ~true, TOO_MUCH, 0.65)


def draw_clicks(image: Picture, points: Real[np.ndarray, "k 2"], labels: Int[np.ndarray, " k"]) -> Picture:
    """Points (x, y) of the picture: a green disc with a plus is foreground, an orange square with a minus background.

    Points with another label than 0 or 1 are no clicks and are left out.
    """
    picture = image.copy()
    radius = max(4, round(max(image.shape[:2]) / 60))
    for (x, y), label in zip(np.rint(points).astype(int).tolist(), labels.tolist(), strict=True):
        if label in (0, 1):
            _draw_click(picture, x, y, radius, is_foreground=label == 1)
    return picture


def draw_box(image: Picture, box: Real[np.ndarray, " 4"]) -> Picture:
    """A box, XYXY in pixels of the picture."""
    x0, y0, x1, y1 = np.rint(box).astype(int).tolist()
    return cv2.rectangle(image.copy(), (x0, y0), (x1, y1), BOX, _line(image))


def tile(rows: Sequence[Sequence[AnySize]]) -> AnySize:
    """Rows of pictures in one, on white: each row as high as its highest, each picture at its own size."""
    return _stack([_stack(list(row), axis=1) for row in rows], axis=0)


def jpeg(image: Picture, quality: int = 85) -> bytes:
    """The picture as a JPEG file."""
    return simplejpeg.encode_jpeg(np.ascontiguousarray(image), quality=quality, colorspace="RGB")


def _tint(image: Picture, mask: Mask, colour: Colour, strength: float = 0.45) -> Picture:
    picture = image.copy()
    picture[mask] = np.rint((1 - strength) * image[mask] + strength * np.array(colour)).astype(np.uint8)
    return picture


def _line(image: Picture) -> int:
    return max(1, round(max(image.shape[:2]) / 400))


def _draw_click(picture: Picture, x: int, y: int, radius: int, *, is_foreground: bool) -> None:
    if is_foreground:
        cv2.circle(picture, (x, y), radius + 2, WHITE, -1, cv2.LINE_AA)
        cv2.circle(picture, (x, y), radius, TRUE, -1, cv2.LINE_AA)
    else:
        for reach, colour in ((radius + 1, BLACK), (radius - 1, TOO_MUCH)):
            cv2.rectangle(picture, (x - reach, y - reach), (x + reach, y + reach), colour, -1)
    arm, width = radius - 2, max(1, radius // 3)
    cv2.line(picture, (x - arm, y), (x + arm, y), WHITE, width)
    if is_foreground:
        cv2.line(picture, (x, y - arm), (x, y + arm), WHITE, width)


def _stack(pictures: list[AnySize], axis: int) -> AnySize:
    """Side by side (axis 1) or one below the other (axis 0), with a gap between."""
    across = 1 - axis
    longest = max(picture.shape[across] for picture in pictures)
    padded = []
    for number, picture in enumerate(pictures):
        margin = [(0, 0), (0, 0), (0, 0)]
        margin[across] = (0, longest - picture.shape[across])
        margin[axis] = (GAP if number else 0, 0)
        padded.append(np.pad(picture, margin, constant_values=255))
    return np.concatenate(padded, axis=axis)
