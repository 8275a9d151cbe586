"""Work on many bitmaps at once, on their device and without a loop over them: overlap, distance, drawing a pixel."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from anymask.draws import Draws

__all__ = [
    "content_mask",
    "deepest_pixel",
    "mask_iou",
    "outermost_pixels",
    "resize_logits",
    "run_bounds",
    "squared_depth",
    "uniform_pixel",
]

Pixels = tuple[Int[Tensor, "n 2"], Bool[Tensor, " n"]]
"""(column, row) of one pixel of each bitmap, and whether the bitmap has any."""

Bounds = tuple[Int[np.ndarray, "k 2"], Int[np.ndarray, "k 2"]]
"""(column, row) where each run of inside pixels down a column starts, and of the place below its last pixel."""


def mask_iou(predicted: Bool[Tensor, "*#n h w"], true: Bool[Tensor, "*#n h w"]) -> Float[Tensor, "*#n"]:
    """Intersection over union of masks paired by position, leading axes broadcast; two empty masks agree: 1.

    >>> mask_iou(torch.ones(1, 2, 2, dtype=torch.bool), torch.eye(2, dtype=torch.bool)[None])
    tensor([0.5000])
    """
    intersection = (predicted & true).sum(dim=(-2, -1))
    union = (predicted | true).sum(dim=(-2, -1))
    return torch.where(union > 0, intersection / union.clamp(min=1), 1.0)


def squared_depth(masks: Bool[Tensor, "n h w"]) -> Int[Tensor, "n h w"]:
    """Squared distance of each pixel to the nearest one outside the mask; what lies beyond the bitmap is outside.

    Exact, in whole numbers: along each column by running maxima, then over the columns one shift at a time.
    """
    height, width = masks.shape[-2:]
    rows = torch.arange(height, device=masks.device).view(-1, 1)
    above = torch.where(masks, -1, rows).cummax(dim=1).values
    below = torch.where(masks, height, rows).flip(1).cummin(dim=1).values.flip(1)
    along_column = torch.minimum(rows - above, below - rows).square().int()
    columns = torch.arange(width, device=masks.device)
    depth = torch.minimum(along_column, torch.minimum(columns + 1, width - columns).square().int())
    for shift in range(1, width):
        near = along_column + shift * shift
        depth[:, :, shift:] = torch.minimum(depth[:, :, shift:], near[:, :, :-shift])
        depth[:, :, :-shift] = torch.minimum(depth[:, :, :-shift], near[:, :, shift:])
    return depth


def deepest_pixel(masks: Bool[Tensor, "n h w"]) -> tuple[Int[Tensor, "n 2"], Int[Tensor, " n"]]:
    """(column, row) of the pixel farthest from the outside, the first in reading order, and its squared depth."""
    depth = squared_depth(masks).flatten(1)
    best, place = depth.max(dim=1)  # of equal ones the first
    return _column_and_row(place, masks.shape[-1]), best


def uniform_pixel(masks: Bool[Tensor, "n h w"], draws: Draws) -> Pixels:
    """One pixel of each mask, all equally likely: its row by the rows' counts, then its column within the row."""
    per_row = masks.sum(dim=2)
    up_to_row = per_row.cumsum(dim=1)
    total = up_to_row[:, -1:]
    index = (draws.uniform() * total).long()
    row = torch.searchsorted(up_to_row, index, right=True).clamp(max=masks.shape[1] - 1)
    within = index - (up_to_row - per_row).gather(1, row)
    chosen = masks.gather(1, row[:, :, None].expand(-1, -1, masks.shape[2]))[:, 0]
    column = torch.searchsorted(chosen.cumsum(dim=1), within, right=True).clamp(max=masks.shape[2] - 1)
    return torch.cat([column, row], dim=1), total[:, 0] > 0


def outermost_pixels(masks: Bool[Tensor, "n h w"]) -> Int[Tensor, "n 4"]:
    """Least and greatest column and row of each mask, as (left, top, right, bottom); zeros for an empty one."""
    sides = []
    for along in (masks.any(dim=1), masks.any(dim=2)):
        first = along.byte().argmax(dim=1)  # of equal ones the first
        last = along.shape[1] - 1 - along.flip(1).byte().argmax(dim=1)
        sides.append(torch.stack([first, last], dim=1) * along.any(dim=1, keepdim=True))
    return torch.stack(sides, dim=2).flatten(1)


def run_bounds(masks: Bool[Tensor, "n h w"]) -> list[Bounds]:
    """Where the runs of each mask start and end, column by column, as run-length codes count; in host memory."""
    height = masks.shape[1]
    columns = F.pad(masks.transpose(1, 2), (0, 1))  # n w h+1: every column ends outside
    line = F.pad(columns.flatten(1), (1, 0))
    number, place = (line[:, 1:] != line[:, :-1]).nonzero().T.cpu().numpy()
    bounds = np.stack(np.divmod(place, height + 1), axis=1)
    each = np.split(bounds, np.searchsorted(number, np.arange(1, len(masks))))
    return [(some[::2], some[1::2]) for some in each[: len(masks)]]


def content_mask(sizes: Int[Tensor, "b 2"], image_size: int, side: int) -> Bool[Tensor, "b r r"]:
    """Where a lattice of ``side`` x ``side`` cells over the model frame lies on the photograph, not on its padding."""
    centres = (torch.arange(side, device=sizes.device) + 0.5) * (image_size / side)
    rows, columns = centres < sizes[:, :1], centres < sizes[:, 1:]
    return rows[:, :, None] & columns[:, None, :]


def resize_logits(logits: Float[Tensor, "n m h w"], side: int) -> Float[Tensor, "n m r r"]:
    """Bilinear, as the official code brings logits to the image; unchanged where the size is right."""
    if logits.shape[-1] == side:
        return logits
    return F.interpolate(logits, (side, side), mode="bilinear", align_corners=False)


def _column_and_row(index: Int[Tensor, " n"], width: int) -> Int[Tensor, "n 2"]:
    return torch.stack([index % width, index // width], dim=1)
