"""What the filters ask about masks at the photograph's resolution, and the masks themselves as run lengths.

Bilinear interpolation is a weighted mean, so no pixel can exceed the coarse logits around it. On a CPU each mask is
therefore brought to the photograph only within a window of its own, the pixels that coarse logits above the lowest
threshold have a part in; all others are known to be below. On an accelerator, where many small pieces cost more than
one large one, whole masks are worked on in slices of bounded size. Both are exact to rounding.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from anymask.geometry import Frame, crop_to_content
from anymask.inference.postprocess import image_logits, image_logits_in_steps
from anymask.masks import encode_runs
from anymask.regions import outermost_pixels, run_bounds
from anymask.structures import Rle

__all__ = ["AtImageSize", "Window"]

MARGIN = 1e-3
"""How far rounding might lift a pixel above the coarse logits around it; far more than it does."""
STRIP = 96
"""Image rows and columns worked on at a time: what they need stays in the cache."""

Window = tuple[slice, slice]
"""Rows and columns of the crop."""


class AtImageSize:
    """Masks of one frame, given by coarse logits, at the photograph's resolution."""

    def __init__(self, frame: Frame, mask_size: int) -> None:
        """``mask_size`` is the side of the decoder's masks."""
        self.frame = frame
        self.rows = _Axis(mask_size, frame.side, frame.content[0], frame.cropped[0])
        self.columns = _Axis(mask_size, frame.side, frame.content[1], frame.cropped[1])

    def measure(
        self, logits: Float[Tensor, "n q q"], offset: float
    ) -> tuple[Float[np.ndarray, " n"], Int[np.ndarray, "n 4"]]:
        """Stability and box of each mask.

        Stability is the IoU of the mask cut at ``offset`` above and below the threshold, 0 where both are empty. A box
        is XYXY in the image frame of the outermost pixels, both edges included; an empty mask's lies in the crop's
        first pixel.
        """
        counted = self._measure_windows(logits, offset) if _is_on_cpu(logits) else self._measure_all(logits, offset)
        high, low, boxes = counted[:, 0], counted[:, 1], counted[:, 2:]
        stability = high.astype(np.float32) / np.maximum(low, 1).astype(np.float32)
        return stability, boxes + np.array(self.frame.crop[:2] * 2)

    def encode(self, logits: Float[Tensor, "n q q"], image_size: tuple[int, int]) -> list[Rle]:
        """The run-length code of each mask, over a photograph of ``image_size`` (height, width)."""
        left, top = self.frame.crop[:2]
        codes = []
        for x, y, masks in self._windows_of_masks(logits) if _is_on_cpu(logits) else self._all_masks(logits):
            for bounds in run_bounds(masks):
                starts, ends = ((left + x + at[:, 0]) * image_size[0] + top + y + at[:, 1] for at in bounds)
                codes.append(encode_runs(starts, ends, image_size))
        return codes

    def logits(self, coarse: Float[Tensor, "q q"], window: Window) -> Float[np.ndarray, "h w"]:
        """The logits of one mask on some rows and columns of the crop."""
        if _is_on_cpu(coarse):
            return self._evaluate(coarse, window)
        return image_logits(coarse[None, None], self.frame)[0, 0][window].cpu().numpy()

    def _measure_windows(self, logits: Float[Tensor, "n q q"], offset: float) -> Int[np.ndarray, "n 6"]:
        counted = np.zeros((len(logits), 6), dtype=np.int64)
        for row, coarse in enumerate(logits):
            window = self._window(coarse, -offset)
            if window is None:
                continue
            values = self._evaluate(coarse, window)
            counted[row, :2] = np.count_nonzero(values > offset), np.count_nonzero(values > -offset)
            x, y, width, height = cv2.boundingRect((values > 0).view(np.uint8))
            if width > 0:
                x, y = x + window[1].start, y + window[0].start
                counted[row, 2:] = x, y, x + width - 1, y + height - 1
        return counted

    def _measure_all(self, logits: Float[Tensor, "n q q"], offset: float) -> Int[np.ndarray, "n 6"]:
        counted = [torch.zeros(0, 6, dtype=torch.int64)]
        for values in image_logits_in_steps(logits[:, None], self.frame):
            high, low = (values > offset).sum(dim=(2, 3)), (values > -offset).sum(dim=(2, 3))
            counted.append(torch.cat([high, low, outermost_pixels(values[:, 0] > 0)], dim=1))
        return torch.cat([part.cpu() for part in counted]).numpy()

    def _windows_of_masks(self, logits: Float[Tensor, "n q q"]) -> Iterator[tuple[int, int, Tensor]]:
        for coarse in logits:
            window = self._window(coarse, 0.0) or (slice(0, 0), slice(0, 0))
            inside = self._evaluate(coarse, window) > 0
            yield window[1].start, window[0].start, torch.from_numpy(inside)[None]

    def _all_masks(self, logits: Float[Tensor, "n q q"]) -> Iterator[tuple[int, int, Tensor]]:
        for values in image_logits_in_steps(logits[:, None], self.frame):
            yield 0, 0, values[:, 0] > 0

    def _window(self, coarse: Float[Tensor, "q q"], above: float) -> Window | None:
        """The pixels that may be above; None if none can."""
        may_be = (coarse.numpy() > above - MARGIN).view(np.uint8)
        x, y, width, height = cv2.boundingRect(may_be)
        if width == 0:
            return None
        rows, columns = self.rows.pixels(y, y + height - 1), self.columns.pixels(x, x + width - 1)
        return None if rows.start >= rows.stop or columns.start >= columns.stop else (rows, columns)

    def _evaluate(self, coarse: Float[Tensor, "q q"], window: Window) -> Float[np.ndarray, "h w"]:
        """The logits of a window: along the rows, then along the columns, a strip of pixels at a time."""
        rows, columns = window
        samples = self.rows.samples(rows)
        wide = torch.empty(samples.stop - samples.start, columns.stop - columns.start)
        for strip, used, weights in self.columns.strips(columns):
            torch.mm(coarse[samples, used], weights.T, out=wide[:, strip])
        values = torch.empty(rows.stop - rows.start, wide.shape[1])
        for strip, used, weights in self.rows.strips(rows):
            torch.mm(weights, wide[used.start - samples.start : used.stop - samples.start], out=values[strip])
        return values.numpy()


class _Axis:
    """One axis of a frame: every pixel of the photograph as a weighted mean of a few neighbouring coarse logits."""

    def __init__(self, samples: int, side: int, content: int, size: int) -> None:
        alone = torch.eye(samples)[None, :, :, None]  # as many signals as samples, each of one sample
        model = F.interpolate(alone, (side, 1), mode="bilinear", align_corners=False)
        image = F.interpolate(crop_to_content(model, (content, 1)), (size, 1), mode="bilinear", align_corners=False)
        self.weights: Float[Tensor, "size samples"] = image[0, :, :, 0].T.contiguous()
        used = self.weights.numpy() != 0
        self.first = used.argmax(axis=1)
        self.last = samples - 1 - used[:, ::-1].argmax(axis=1)

    def pixels(self, lowest: int, highest: int) -> slice:
        """The pixels that any of these samples, the highest included, has a part in."""
        return slice(int(np.searchsorted(self.last, lowest)), int(np.searchsorted(self.first, highest, side="right")))

    def strips(self, pixels: slice) -> Iterator[tuple[slice, slice, Float[Tensor, "pixels samples"]]]:
        """Some pixels, a few at a time: which they are, counted from the first, their samples and those's weights.

        Of all samples, a strip needs those next to it.
        """
        for start in range(pixels.start, pixels.stop, STRIP):
            strip = slice(start, min(start + STRIP, pixels.stop))
            used = self.samples(strip)
            yield slice(start - pixels.start, strip.stop - pixels.start), used, self.weights[strip, used]

    def samples(self, pixels: slice) -> slice:
        """The samples that have a part in any of these pixels."""
        if pixels.start >= pixels.stop:
            return slice(0, 0)
        return slice(int(self.first[pixels.start]), int(self.last[pixels.stop - 1]) + 1)


def _is_on_cpu(logits: Tensor) -> bool:
    return logits.device.type == "cpu"
