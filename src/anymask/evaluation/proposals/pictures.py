"""The images that a report shows: those with the best, the middle and the worst recall, of those with masks kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, UInt8

from anymask import masks
from anymask.drawing import TRUE, View, jpeg, overlay, tile
from anymask.evaluation.proposals.records import Record
from anymask.evaluation.proposals.summary import recall_of_image
from anymask.structures import Rle, Sample

__all__ = ["Find", "Picture", "Shown", "draw", "draw_extremes", "ramp"]

Find = Callable[[set[tuple[str, str]]], Mapping[tuple[str, str], Sample]]
"""Samples by the file name of their shard and their key."""

EACH = 3  # best, median and worst images
PANEL = 420  # longest side of either panel, in pixels


@dataclass(frozen=True, slots=True)
class Picture:
    """One image in two panels: its objects, and the model's first masks coloured by their estimate."""

    record: Record
    recall: float
    estimates: tuple[float, float]  # where the ramp begins and ends
    jpeg: bytes


@dataclass(frozen=True, slots=True)
class Shown:
    """The pictures, those of the best recall first."""

    best: list[Picture]
    median: list[Picture]
    worst: list[Picture]


def draw_extremes(records: Sequence[Record], find: Find) -> Shown:
    """Read the photographs of the chosen records again and draw them; no model is needed."""
    known = [(recall_of_image(record), record) for record in records if record["best"]]
    ranked = sorted(((r, record) for r, record in known if r is not None), key=lambda pair: -pair[0])
    each = min(EACH, len(ranked))
    middle = (len(ranked) - each) // 2
    chosen = [ranked[:each], ranked[middle : middle + each], ranked[::-1][:each]]
    samples = find({_name(record) for group in chosen for _, record in group})
    return Shown(
        *(
            [_picture(record, recall, samples[_name(record)]) for recall, record in group if _name(record) in samples]
            for group in chosen
        )
    )


def draw(record: Record, sample: Sample) -> UInt8[np.ndarray, "h w 3"]:
    """The two panels; small masks lie on large ones."""
    height, width = sample.image.shape[:2]
    scale = PANEL / max(height, width)
    view = View(0, 0, width, height, (max(1, round(height * scale)), max(1, round(width * scale))))
    true = found = view.cut(sample.image)
    for mask in _large_first([view.cut_mask(masks.decode(rle)) for rle in sample.masks])[1]:
        true = overlay(true, mask, TRUE)
    rles = [Rle((height, width), counts.encode("ascii")) for counts, _ in record["best"]]
    order, shapes = _large_first([view.cut_mask(masks.decode(rle)) for rle in rles])
    low, high = _estimates(record)
    for place, mask in zip(order, shapes, strict=True):
        found = overlay(found, mask, ramp((record["best"][place][1] - low) / max(high - low, 1e-6)))
    return tile([[true, found]])


def ramp(share: float) -> tuple[int, int, int]:
    """From dark blue at 0 to yellow at 1, by even steps for the eye, colour-blind or not (cividis).

    >>> ramp(0.0), ramp(1.0)
    ((0, 34, 78), (254, 232, 56))
    """
    level = np.array([[round(255 * share)]], dtype=np.uint8)
    blue, green, red = cv2.applyColorMap(level, cv2.COLORMAP_CIVIDIS)[0, 0].tolist()
    return red, green, blue


def _picture(record: Record, recall: float, sample: Sample) -> Picture:
    return Picture(record, recall, _estimates(record), jpeg(draw(record, sample)))


def _estimates(record: Record) -> tuple[float, float]:
    estimates = [estimate for _, estimate in record["best"]]
    return min(estimates), max(estimates)


def _large_first(shapes: Sequence[Bool[np.ndarray, "h w"]]) -> tuple[list[int], list[Bool[np.ndarray, "h w"]]]:
    order = sorted(range(len(shapes)), key=lambda place: -int(shapes[place].sum()))
    return order, [shapes[place] for place in order]


def _name(record: Record) -> tuple[str, str]:
    return record["shard"], record["image"]
