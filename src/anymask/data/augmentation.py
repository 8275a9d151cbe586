"""What is varied of a photograph, its masks following: size and place, left and right, colours."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import UInt8
from msgspec import Meta
from torch import Tensor

from anymask.errors import UserError
from anymask.geometry import Frame

__all__ = ["Augmentation"]

Box = tuple[int, int, int, int]
Share = Annotated[float, Meta(ge=0, le=1)]

LUMA = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)  # ITU-R BT.601


@dataclass(frozen=True, kw_only=True, slots=True)
class Augmentation:
    """Drawn anew each time a photograph is met; the defaults vary nothing, as the paper does on SA-1B.

    ``scale`` is large-scale jitter (Ghiasi et al. 2021): the photograph's longest side becomes that many times the
    model frame's; what is larger than the frame is cropped at a random place, what is smaller is padded. SAM takes
    .1 to 2 where it trains on human masks alone (appendix B). ``flip`` is the chance of a mirror image, ``colour`` the
    most by which brightness, contrast and saturation are raised or lowered, as a share.
    """

    scale: tuple[float, float] = (1.0, 1.0)
    flip: Share = 0.0
    colour: Share = 0.0

    def __post_init__(self) -> None:
        """Raises UserError for a range of scales that is empty or not positive."""
        if not 0 < self.scale[0] <= self.scale[1]:
            raise UserError(f"scale must be a smallest and a largest factor above 0, not {self.scale}")

    def frame(self, crop: Box, side: int, chance: random.Random) -> Frame:
        """A part of the crop, or all of it made smaller, in a square of ``side`` pixels, perhaps mirrored."""
        scale = chance.uniform(*self.scale) if self.scale != (1.0, 1.0) else 1.0
        part = _random_part(crop, scale, chance) if scale > 1 else crop
        mirrored = self.flip > 0 and chance.random() < self.flip
        return Frame(part, side, fill=min(1.0, scale), mirrored=mirrored)

    def recolour(self, image: UInt8[Tensor, "3 h w"], chance: random.Random) -> UInt8[Tensor, "3 h w"]:
        """Brightness, then contrast about the mean grey, then saturation."""
        if not self.colour:
            return image
        brightness, contrast, saturation = (1 + self.colour * chance.uniform(-1, 1) for _ in range(3))
        pixels = image.float() * brightness
        mean = (pixels * LUMA).sum(0).mean()
        pixels = mean + (pixels - mean) * contrast
        grey = (pixels * LUMA).sum(0, keepdim=True)
        return (grey + (pixels - grey) * saturation).round().clamp(0, 255).to(torch.uint8)


def _random_part(crop: Box, scale: float, chance: random.Random) -> Box:
    """What a square window sees of the crop when its longest side is ``scale`` times the window's."""
    left, top, right, bottom = crop
    window = max(1, round(max(right - left, bottom - top) / scale))
    width, height = min(window, right - left), min(window, bottom - top)
    x0 = left + chance.randint(0, right - left - width)
    y0 = top + chance.randint(0, bottom - top - height)
    return x0, y0, x0 + width, y0 + height
