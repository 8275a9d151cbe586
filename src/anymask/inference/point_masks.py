"""Masks for many points on one image, as few of them as will be looked at.

What the decoder makes of the image alone is worked out once for all points, and the masks of a point only where the
estimate of their IoU, which is there first, lets one of them through: upscaling is 40% of the decoder's work.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from anymask.models.sam import AMBIGUOUS, Sam
from anymask.structures import Label

__all__ = ["PointMasks", "point_masks"]

CACHE_BYTES = 2**23
"""What the image tokens of the prompts of one step may take on a CPU: beyond its cache a step costs more, not less."""


@dataclass(frozen=True, slots=True)
class PointMasks:
    """K masks of one step, in the order of their points."""

    point: Int[Tensor, " k"]  # the number of the point of each mask
    output: Int[Tensor, " k"]  # which of the point's masks, from 0
    logits: Float[Tensor, "k q q"]  # model frame, above 0 is inside
    ious: Float[Tensor, " k"]  # the decoder's own estimate


def point_masks(
    sam: Sam,
    embedding: Float[Tensor, "1 c g g"],
    points: Float[Tensor, "n 2"],
    *,
    outputs: slice = AMBIGUOUS,
    min_iou: float = 0.0,
    step: int = 64,
) -> Iterator[PointMasks]:
    """The masks of each foreground point with an estimated IoU of more than ``min_iou``; all where that is 0 or less.

    ``points`` are (x, y) in the model frame. The decoder takes ``step`` of them at a time, fewer where that would
    overflow a CPU's cache.
    """
    positions = sam.prompt_encoder.grid_positions().to(embedding.dtype)
    image = sam.mask_decoder.share(
        embedding.flatten(2).transpose(1, 2), positions, sam.prompt_encoder.no_mask_embed.weight[None]
    )
    if embedding.device.type == "cpu":
        step = max(1, min(step, CACHE_BYTES // (embedding.numel() * embedding.element_size())))
    for first in range(0, len(points), step):
        some = points[first : first + step]
        sparse = _embedded(sam, some).to(embedding.dtype)
        image_index = torch.zeros(len(some), dtype=torch.int64, device=some.device)
        tokens, seen = sam.mask_decoder.attend(image, positions, sparse, image_index, None)
        ious = sam.mask_decoder.ious(tokens, outputs).float()
        passes = ious > min_iou if min_iou > 0 else torch.ones_like(ious, dtype=torch.bool)
        if not passes.any():
            continue
        point, output = passes.nonzero().unbind(dim=1)
        decoded, row = point.unique_consecutive(return_inverse=True)
        if len(decoded) < len(tokens):  # indexing copies, and a step's image tokens are large
            tokens, seen = tokens[decoded], seen[decoded]
        logits = sam.mask_decoder.logits(tokens, seen, outputs).float()
        chosen = logits.flatten(0, 1) if len(point) == ious.numel() else logits[row, output]
        yield PointMasks(first + point, output, chosen, ious[point, output])


def _embedded(sam: Sam, points: Float[Tensor, "n 2"]) -> Float[Tensor, "n 2 c"]:
    """Each point with a padding point beside it, as ever in SAM where there is no box."""
    places = torch.stack([points, torch.zeros_like(points)], dim=1)
    labels = torch.tensor([[Label.FOREGROUND, Label.PADDING]], device=points.device).expand(len(points), 2)
    return sam.prompt_encoder.points(places, labels)
