"""The masks that a generator found on one crop, before they are drawn: what is known of them, and coarse logits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from anymask.geometry import Frame
from anymask.inference.windows import AtImageSize
from anymask.structures import Rle

__all__ = ["Candidates", "Measured", "picked"]

ARRAYS = ("ious", "stability", "boxes", "points", "origins")


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """What is known of N masks on one crop of one photograph, without the masks."""

    frame: Frame  # of the crop
    ious: Float[np.ndarray, " n"]  # the decoder's own estimate
    stability: Float[np.ndarray, " n"]  # IoU of the masks at a higher and a lower threshold
    boxes: Int[np.ndarray, "n 4"]  # XYXY, image frame, of the outermost pixels, both edges included
    points: Float[np.ndarray, "n 2"]  # the prompt of each, image frame
    origins: Int[np.ndarray, "n 2"]  # the number of the prompt on the crop's grid, and of the decoder's output

    def __len__(self) -> int:
        return len(self.ious)

    def rows(self, rows: Int[np.ndarray, " m"]) -> Measured:
        """Some of the masks, in the order of ``rows``."""
        return Measured(frame=self.frame, **self._at(rows))

    def _at(self, rows: Int[np.ndarray, " m"]) -> dict[str, Any]:
        return {name: getattr(self, name)[rows] for name in ARRAYS}

    def write(self, part: Measured, first: int) -> None:
        """Put what is known of other masks in the place of some, from the row ``first`` on."""
        for name in ARRAYS:
            getattr(self, name)[first : first + len(part)] = getattr(part, name)

    @classmethod
    def room_for(cls, number: int, frame: Frame) -> Measured:
        """Zeros, to be written to.

        Arrays that grew between the large ones of each step would keep the memory of these from being used again.
        """
        return Measured(
            frame=frame,
            ious=np.zeros(number, dtype=np.float32),
            stability=np.zeros(number, dtype=np.float32),
            boxes=np.zeros((number, 4), dtype=np.int64),
            points=np.zeros((number, 2)),
            origins=np.zeros((number, 2), dtype=np.int64),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidates(Measured):
    """N masks on one crop of one photograph."""

    logits: Float[Tensor, "n q q"]  # model frame, on the model's device

    @classmethod
    def of(cls, measured: Measured, logits: Float[Tensor, "n q q"]) -> Candidates:
        """The masks of which ``measured`` is known."""
        return cls(frame=measured.frame, logits=logits, **{name: getattr(measured, name) for name in ARRAYS})

    def rows(self, rows: Int[np.ndarray, " m"]) -> Candidates:
        """Some of the masks, in the order of ``rows``."""
        logits = self.logits[torch.from_numpy(rows).to(self.logits.device)]
        return Candidates(frame=self.frame, logits=logits, **self._at(rows))

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


def picked(parts: Sequence[Float[Tensor, "_ q q"]], rows: Int[np.ndarray, " m"]) -> Float[Tensor, "m q q"]:
    """Some of the masks of all parts, numbered through, in the order of ``rows``; the others are not copied.

    There is at least one part.
    """
    ends = np.cumsum([len(part) for part in parts])
    of_part = np.searchsorted(ends, rows, side="right")
    chosen = parts[0].new_empty(len(rows), *parts[0].shape[1:])
    for number in np.unique(of_part).tolist():
        places = np.flatnonzero(of_part == number)
        own = rows[places] - (ends[number] - len(parts[number]))
        there, here = (torch.from_numpy(index).to(chosen.device) for index in (places, own))
        chosen[there] = parts[number][here]
    return chosen
