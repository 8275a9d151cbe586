"""The masks that a report shows: the best, the middle and the worst, drawn over their photographs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int, UInt8

from anymask import masks
from anymask.drawing import PREDICTED, TRUE, View, draw_clicks, draw_error, jpeg, overlay, tile
from anymask.evaluation.point_to_mask.records import Record
from anymask.metrics.overlap import iou_after
from anymask.structures import Rle, Sample

__all__ = ["Find", "Shown", "draw_extremes"]

EACH = 3  # best, median and worst masks
PANEL = 280  # longest side of each of the four panels, in pixels
MARGIN = 0.35  # of photograph around what is shown, as a share of its longest side
SMALLEST_VIEW = 48  # image pixels


Find = Callable[[set[tuple[str, str]]], Mapping[tuple[str, str], Sample]]
"""Samples by the file's name of their shard and their key."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One mask in four panels: the truth, the masks after the first and after later clicks, the error that is left."""

    record: Record
    jpeg: bytes


@dataclass(frozen=True, slots=True)
class Shown:
    """The pictures, the best masks by IoU after ``clicks[1]`` first."""

    clicks: tuple[int, int]
    best: list[Picture]
    median: list[Picture]
    worst: list[Picture]


def draw_extremes(records: Sequence[Record], find: Find, clicks: tuple[int, int]) -> Shown:
    """Read the photographs of the chosen records again and draw them; no model is needed."""
    ranked = sorted(records, key=lambda record: -iou_after(record["model"]["ious"], clicks[1]))
    each = min(EACH, len(ranked))
    middle = (len(ranked) - each) // 2
    chosen = [ranked[:each], ranked[middle : middle + each], ranked[::-1][:each]]
    samples = find({_image(record) for group in chosen for record in group})
    drawn = [
        [Picture(record, jpeg(draw(record, samples[_image(record)], clicks))) for record in group] for group in chosen
    ]
    return Shown(clicks, *drawn)


def draw(record: Record, sample: Sample, clicks: tuple[int, int]) -> UInt8[np.ndarray, "h w 3"]:
    """The four panels, cut out around the mask."""
    true = masks.decode(sample.masks[record["mask"]])
    first, later = (_mask_after(record, number) for number in clicks)
    points = np.array(record["model"]["clicks"])
    places, labels = points[: clicks[1], :2], points[: clicks[1], 2]
    view = _view_around(true | first | later, places)
    image = view.cut(sample.image)
    true, first, later = (view.cut_mask(mask) for mask in (true, first, later))
    places = view.move(places)
    number = clicks[0]
    return tile(
        [
            [
                draw_clicks(overlay(image, true, TRUE), places[:1], labels[:1]),
                draw_clicks(overlay(image, first, PREDICTED), places[:number], labels[:number]),
            ],
            [draw_clicks(overlay(image, later, PREDICTED), places, labels), draw_error(image, later, true)],
        ]
    )


def _view_around(shown: Bool[np.ndarray, "h w"], places: Int[np.ndarray, "k 2"]) -> View:
    """With some of the photograph around what is shown, at the size of a panel."""
    rows, columns = np.nonzero(shown)
    low = np.minimum(places.min(axis=0), (columns.min(initial=2**30), rows.min(initial=2**30)))
    high = np.maximum(places.max(axis=0), (columns.max(initial=0), rows.max(initial=0))) + 1
    margin = max(MARGIN * (high - low).max(), (SMALLEST_VIEW - (high - low).min()) / 2)
    x0, y0 = np.maximum(low - margin, 0).astype(int).tolist()
    x1, y1 = np.minimum(high + margin, shown.shape[::-1]).astype(int).tolist()
    scale = PANEL / max(x1 - x0, y1 - y0)
    return View(x0, y0, x1, y1, (max(1, round((y1 - y0) * scale)), max(1, round((x1 - x0) * scale))))


def _mask_after(record: Record, click: int) -> Bool[np.ndarray, "h w"]:
    """The mask after a click that was kept, or the last kept before it, where the mask was left alone."""
    kept = record["model"]["masks"]
    last = max(int(number) for number in kept if int(number) <= click)
    height, width = record["image_size"]
    return masks.decode(Rle((height, width), kept[str(last)].encode("ascii")))


def _image(record: Record) -> tuple[str, str]:
    return record["shard"], record["image"]
