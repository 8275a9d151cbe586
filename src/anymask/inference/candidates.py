"""The masks that a generator found on one crop, before they are drawn: coarse logits and what is known of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from anymask.geometry import Frame
from anymask.inference.windows import AtImageSize
from anymask.structures import Rle

__all__ = ["Candidates"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidates:
    """N masks on one crop of one photograph."""

    frame: Frame  # of the crop
    logits: Float[Tensor, "n q q"]  # model frame, on the model's device
    ious: Float[np.ndarray, " n"]  # the decoder's own estimate
    stability: Float[np.ndarray, " n"]  # IoU of the masks at a higher and a lower threshold
    boxes: Int[np.ndarray, "n 4"]  # XYXY, image frame, of the outermost pixels, both edges included
    points: Float[np.ndarray, "n 2"]  # the prompt of each, image frame

    def __len__(self) -> int:
        return len(self.ious)

    def rows(self, rows: Int[np.ndarray, " m"]) -> Candidates:
        """Some of the masks, in the order of ``rows``."""
        return Candidates(
            frame=self.frame,
            logits=self.logits[torch.from_numpy(rows).to(self.logits.device)],
            ious=self.ious[rows],
            stability=self.stability[rows],
            boxes=self.boxes[rows],
            points=self.points[rows],
        )

    def image_logits(self, margin: int) -> Iterator[tuple[Float[np.ndarray, "h w"], tuple[int, int]]]:
        """One mask after the other at the photograph's resolution: its logits, and their first row and column there.

        They cover the mask's box and up to ``margin`` pixels around it, as far as the crop goes.
        """
        at_image_size = AtImageSize(self.frame, self.logits.shape[-1])
        left, top = self.frame.crop[:2]
        height, width = self.frame.cropped
        for coarse, (x0, y0, x1, y1) in zip(self.logits, self.boxes.tolist(), strict=True):
            rows = slice(max(y0 - top - margin, 0), min(y1 - top + 1 + margin, height))
            columns = slice(max(x0 - left - margin, 0), min(x1 - left + 1 + margin, width))
            yield at_image_size.logits(coarse, (rows, columns)), (top + rows.start, left + columns.start)

    def encode(self, image_size: tuple[int, int]) -> list[Rle]:
        """The run-length codes of all masks over the whole photograph."""
        return AtImageSize(self.frame, self.logits.shape[-1]).encode(self.logits, image_size)

    @classmethod
    def none(cls, frame: Frame, mask_size: int, device: torch.device) -> Candidates:
        """No mask, on a crop where none was found."""
        return cls(
            frame=frame,
            logits=torch.zeros(0, mask_size, mask_size, device=device),
            ious=np.zeros(0, dtype=np.float32),
            stability=np.zeros(0, dtype=np.float32),
            boxes=np.zeros((0, 4), dtype=np.int64),
            points=np.zeros((0, 2)),
        )

    @classmethod
    def chosen(cls, parts: Sequence[Candidates], rows: Int[np.ndarray, " m"]) -> Candidates:
        """Some of the masks of all parts, numbered through, in the order of ``rows``; the others are not copied.

        The parts, at least one, are of the same frame.
        """
        in_order = np.sort(rows)
        ends = np.cumsum([len(part) for part in parts])
        each = np.split(in_order, np.searchsorted(in_order, ends[:-1]))
        some = [part.rows(own - (end - len(part))) for part, own, end in zip(parts, each, ends, strict=True)]
        joined = cls(
            frame=parts[0].frame,
            logits=torch.cat([part.logits for part in some]),
            ious=np.concatenate([part.ious for part in some]),
            stability=np.concatenate([part.stability for part in some]),
            boxes=np.concatenate([part.boxes for part in some]),
            points=np.concatenate([part.points for part in some]),
        )
        return joined.rows(np.searchsorted(in_order, rows))
