"""Drawn masks of a photograph, as records with the official generator's names, and their cleaning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool

from anymask.inference.candidates import Candidates
from anymask.inference.crops import Box
from anymask.inference.mask_filters import non_maximum_suppression, remove_small_regions
from anymask.masks import area, box, decode, encode, rle_to_json, runs
from anymask.structures import Rle

__all__ = ["MaskRecord", "drawn", "without_small_regions"]


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskRecord:
    """One mask of a photograph, under the names of the official generator; everything in the image frame."""

    segmentation: Rle
    area: int
    bbox: Box  # XYWH; from the outermost pixel to the outermost, so that a single pixel has a width of 0
    predicted_iou: float
    point_coords: tuple[tuple[float, float], ...]  # (x, y) of the prompt
    stability_score: float
    crop_box: Box  # XYWH of the crop that the mask was found on

    def bitmap(self) -> Bool[np.ndarray, "h w"]:
        """The mask, pixel by pixel."""
        return decode(self.segmentation)

    def to_json(self) -> dict[str, Any]:
        """What the official generator gives for ``output_mode="coco_rle"``."""
        return {
            "segmentation": rle_to_json(self.segmentation),
            "area": self.area,
            "bbox": list(self.bbox),
            "predicted_iou": self.predicted_iou,
            "point_coords": [list(point) for point in self.point_coords],
            "stability_score": self.stability_score,
            "crop_box": list(self.crop_box),
        }


def drawn(crops: Sequence[Candidates], size: tuple[int, int]) -> list[MaskRecord]:
    """All masks of a photograph of ``size`` (height, width), crop by crop."""
    return [
        MaskRecord(
            segmentation=rle,
            area=area(runs(rle)),
            bbox=_corner_and_size(*candidates.boxes[row].tolist()),
            predicted_iou=float(candidates.ious[row]),
            point_coords=((float(candidates.points[row, 0]), float(candidates.points[row, 1])),),
            stability_score=float(candidates.stability[row]),
            crop_box=_corner_and_size(*candidates.frame.crop),
        )
        for candidates in crops
        for row, rle in enumerate(candidates.encode(size))
    ]


def without_small_regions(records: list[MaskRecord], min_area: int, threshold: float) -> list[MaskRecord]:
    """Masks without specks and pinholes; where two have become doubles, one that was clean before stays."""
    if min_area == 0:
        return records
    cleaned = [_cleaned(record, min_area) for record in records]
    boxes = np.array([_outermost(record.segmentation) for record in cleaned], dtype=np.int64).reshape(-1, 4)
    was_clean = np.array([new is old for new, old in zip(cleaned, records, strict=True)], dtype=np.float32)
    return [cleaned[row] for row in non_maximum_suppression(boxes, was_clean, threshold)]


def _cleaned(record: MaskRecord, min_area: int) -> MaskRecord:
    bitmap = remove_small_regions(np.ascontiguousarray(record.bitmap()), min_area)
    if bitmap is None:
        return record
    rle = encode(bitmap)
    return replace(record, segmentation=rle, area=area(runs(rle)), bbox=_corner_and_size(*_outermost(rle)))


def _outermost(rle: Rle) -> Box:
    """XYXY with both edges included; zeros for an empty mask."""
    x0, y0, x1, y1 = box(runs(rle), rle.size[0])
    return x0, y0, max(x1 - 1, 0), max(y1 - 1, 0)


def _corner_and_size(x0: int, y0: int, x1: int, y1: int) -> Box:
    return x0, y0, x1 - x0, y1 - y0
