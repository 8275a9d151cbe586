"""From a stored sample to what a model trains on: the photograph in the model frame, masks on the loss's lattice."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Int, UInt8
from torch import Tensor

from anymask import masks
from anymask.data.augmentation import Augmentation
from anymask.data.records import BadSample
from anymask.geometry import Frame, crop_to_content, resize_image
from anymask.structures import Example, Rle, Sample

__all__ = ["ToExample"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ToExample:
    """``image_size`` and ``loss_size`` are the sides of the model frame and of the lattice of the targets.

    Masks are taken in random order, at most ``masks_per_image``; those that are empty on the lattice or cover more
    than ``max_area`` of the image are passed over (SAM, appendix A: 64 and .9). Only those that are tried are decoded.
    """

    image_size: int
    loss_size: int
    masks_per_image: int = 64
    max_area: float = 0.9
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __call__(self, sample: Sample, chance: random.Random) -> Example:
        """Raises BadSample where a mask is damaged or none is left."""
        frame = self.augmentation.frame(sample.crop, self.image_size, chance)
        targets, boxes = self._choose(sample, frame, chance)
        if not boxes:  # perhaps they lie outside the part that was drawn
            frame = Frame(sample.crop, self.image_size)
            targets, boxes = self._choose(sample, frame, chance)
        if not boxes:
            raise BadSample(f"no mask is left of {len(sample.masks)}: empty or over {self.max_area:.0%} of the image")
        corners = frame.points_to_model(torch.tensor(boxes, dtype=torch.float32).view(-1, 2, 2))
        return Example(
            key=sample.key,
            source=sample.source,
            image=self._image(sample, frame, chance),
            size=frame.content,
            targets=torch.from_numpy(targets),
            boxes=torch.cat([corners.amin(1), corners.amax(1)], dim=1),  # a mirror exchanges left and right
            seeds=torch.tensor([chance.getrandbits(63) for _ in boxes]),
        )

    def _image(self, sample: Sample, frame: Frame, chance: random.Random) -> UInt8[Tensor, "3 s s"]:
        image = resize_image(sample.image, frame)
        content = crop_to_content(image, frame.content)
        content[:] = self.augmentation.recolour(content, chance)
        return image

    def _choose(
        self, sample: Sample, frame: Frame, chance: random.Random
    ) -> tuple[Bool[np.ndarray, "n r r"], list[tuple[int, int, int, int]]]:
        rows, columns = frame.sampled_pixels(self.loss_size)
        lattice = masks.Lattice(sample.image.shape[:2], rows, columns)
        most = min(self.masks_per_image, len(sample.masks))
        targets = np.zeros((most, self.loss_size, self.loss_size), dtype=bool)
        boxes: list[tuple[int, int, int, int]] = []
        for rle in chance.sample(sample.masks, len(sample.masks)):
            counts = _runs(rle)
            inside = lattice.bitmap(counts)
            pixels = np.count_nonzero(inside)
            if pixels == 0 or pixels > self.max_area * inside.size:
                continue
            targets[len(boxes), : len(rows), : len(columns)] = inside
            boxes.append(_box(counts, sample.image.shape[0], frame))
            if len(boxes) == most:
                break
        return targets[: len(boxes)], boxes


def _runs(rle: Rle) -> Int[np.ndarray, " runs"]:
    try:
        return masks.runs(rle)
    except ValueError as error:
        raise BadSample(str(error)) from None


def _box(counts: Int[np.ndarray, " runs"], height: int, frame: Frame) -> tuple[int, int, int, int]:
    """XYXY of the first and last pixel that the crop leaves of a mask, of which it leaves some; image frame."""
    left, top, right, bottom = frame.crop
    x0, y0, x1, y1 = masks.box(counts, height)
    if x0 < left or y0 < top or x1 > right or y1 > bottom:
        corners = _rectangles(counts, height)
        low, high = np.maximum(corners[:2], [[left], [top]]), np.minimum(corners[2:], [[right], [bottom]])
        seen = (low < high).all(axis=0)
        (x0, y0), (x1, y1) = low[:, seen].min(axis=1).tolist(), high[:, seen].max(axis=1).tolist()
    return x0, y0, x1 - 1, y1 - 1


def _rectangles(counts: Int[np.ndarray, " runs"], height: int) -> Int[np.ndarray, "4 k"]:
    """XYXY of rectangles that are the mask: of each run its first column, its last column, and those between."""
    ends = np.cumsum(counts)
    first, last = ends[: len(counts) - 1 : 2], ends[1::2] - 1
    first, last = first[first <= last], last[first <= last]
    (x0, y0), (x1, y1) = np.divmod(first, height), np.divmod(last, height)
    goes_on = x0 < x1
    zero, whole = np.zeros_like(x0), np.full_like(x0, height)
    of_first = [x0, y0, x0 + 1, np.where(goes_on, height, y1 + 1)]
    of_last = [x1, np.where(goes_on, 0, y0), x1 + 1, y1 + 1]
    return np.concatenate([of_first, of_last, [x0 + 1, zero, x1, whole]], axis=1)
