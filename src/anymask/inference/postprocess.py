"""From the decoder's coarse logits to masks of the photograph, as the official code does it.

Bilinear to the model frame, the padding cut off, bilinear to the photograph, and inside is what lies above 0.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from anymask.geometry import Frame, crop_to_content
from anymask.regions import resize_logits

__all__ = ["image_logits", "image_logits_in_steps", "image_masks"]

WORK_BYTES = 2**28
"""What the resized logits of one step may take; the masks themselves are an eighth of it or less."""


def image_logits(logits: Float[Tensor, "n m a a"], frame: Frame) -> Float[Tensor, "n m h w"]:
    """Logits in the image frame, all at once; ``a`` is a quarter of the model frame's side."""
    inner = crop_to_content(resize_logits(logits.float(), frame.side), frame.content)
    return F.interpolate(inner, frame.cropped, mode="bilinear", align_corners=False)


def image_masks(logits: Float[Tensor, "n m a a"], frame: Frame) -> Bool[Tensor, "n m h w"]:
    """Masks in the image frame; their logits never stand there all at full size."""
    return torch.cat([some > 0 for some in image_logits_in_steps(logits, frame)])


def image_logits_in_steps(logits: Float[Tensor, "n m a a"], frame: Frame) -> Iterator[Float[Tensor, "s m h w"]]:
    """Logits in the image frame, of a few prompts at a time, in order."""
    height, width = frame.cropped
    pixels = max(frame.side**2, height * width) * logits.shape[1]
    step = max(1, WORK_BYTES // (pixels * 4))
    for some in logits.split(step):
        yield image_logits(some, frame)
