"""The images that a report shows: the model's masks in the detector's boxes, beside the objects of the ground truth."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Bool, UInt8

from anymask import masks
from anymask.drawing import PREDICTED, TRUE, View, draw_box, jpeg, overlay, tile
from anymask.evaluation.instance_segmentation.records import Record
from anymask.structures import Rle, Sample

__all__ = ["Find", "Named", "draw", "draw_images"]

PANEL = 420  # longest side of each of the two panels, in pixels

Named = tuple[str, str]
"""Shard and key."""

Find = Callable[[set[Named]], Mapping[Named, Sample]]


def draw_images(names: Sequence[Named], records: Sequence[Record], find: Find) -> dict[Named, bytes]:
    """A JPEG of each, the photographs read again; no model is needed."""
    of_name = {(record["shard"], record["image"]): record for record in records}
    found = find({name for name in names if name in of_name})
    return {name: jpeg(draw(of_name[name], sample)) for name, sample in found.items()}


def draw(record: Record, sample: Sample) -> UInt8[np.ndarray, "h w 3"]:
    """The objects on the left; on the right as many detections, the best by score, the best one uppermost."""
    height, width = record["image_size"]
    scale = PANEL / max(height, width)
    view = View(0, 0, width, height, (max(1, round(height * scale)), max(1, round(width * scale))))
    true = found = view.cut(sample.image)
    for rle in sample.masks:
        true = overlay(true, view.cut_mask(masks.decode(rle)), TRUE)
    for number in shown(record, len(sample.masks))[::-1]:
        x, y, across, down = record["boxes"][number]
        corners = view.move(np.array([[x - 0.5, y - 0.5], [x + across - 0.5, y + down - 0.5]]))  # edges, not centres
        found = draw_box(overlay(found, view.cut_mask(_mask(record, number)), PREDICTED), corners.ravel())
    return tile([[true, found]])


def shown(record: Record, number: int) -> list[int]:
    """Which detections: so many, best first, at least one."""
    ranked = np.argsort(-np.array(record["scores"]), kind="stable")
    return [int(place) for place in ranked[: max(1, number)]]


def _mask(record: Record, number: int) -> Bool[np.ndarray, "h w"]:
    height, width = record["image_size"]
    return masks.decode(Rle((height, width), record["masks"][number].encode("ascii")))
