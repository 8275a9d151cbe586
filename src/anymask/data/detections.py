"""A detector's boxes on the images of a ground truth, in COCO's result form.

A file is believed or refused as a whole: what is not in the form is a UserError that names the entry. Two things are
passed over and counted, since a good file has them: detections on images and of categories that the ground truth does
not list (it is a part of the set, say), and boxes without a pixel of their image, which no model can be prompted with.
A score or a box that is not finite is refused, as is a box beyond ``FARTHEST``; so is a file of which no detection is
left.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from anymask import masks
from anymask.data.coco import FARTHEST, GroundTruth, Xywh, box_around, parse, rle_of_entry
from anymask.errors import UserError
from anymask.structures import Rle

__all__ = ["Detection", "Detections", "read_detections"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Detection:
    """A box, with a mask if the detector made one."""

    category_id: int
    score: float
    xywh: Xywh
    mask: Rle | None

    @property
    def xyxy(self) -> tuple[float, float, float, float]:
        """The corners, as a prompt wants them."""
        x, y, width, height = self.xywh
        return x, y, x + width, y + height

    def as_json(self) -> dict[str, Any]:
        """COCO's form without the image's id, for the metrics of ``average_precision``."""
        entry = {"category_id": self.category_id, "score": self.score, "bbox": list(self.xywh)}
        return entry if self.mask is None else {**entry, "segmentation": masks.rle_to_json(self.mask)}


@dataclass(frozen=True, slots=True)
class Detections:
    """By the id of the image, in the order of the file; images without any are absent."""

    by_image: dict[int, tuple[Detection, ...]]
    left_out: Counter[str]  # by the reason: "unknown image", "unknown category", "box without a pixel of the image"


class _Detection(msgspec.Struct):
    image_id: int
    category_id: int
    score: float
    bbox: Xywh | None = None
    segmentation: msgspec.Raw = msgspec.Raw()


_DETECTIONS = msgspec.json.Decoder(list[_Detection])


def read_detections(path: Path, truth: GroundTruth) -> Detections:
    """A list of ``{"image_id", "category_id", "score", "bbox" and/or "segmentation"}``; a box is x, y, width, height.

    Without a box, it is the one around the mask. Raises UserError for what is not in this form (so for a number that
    is not finite, which JSON does not know), for a box with a coordinate or side beyond ``FARTHEST`` pixels, for a
    damaged mask, and where no detection is left.
    """
    entries = parse(path, _DETECTIONS, "a list of COCO detections")
    by_image: dict[int, list[Detection]] = defaultdict(list)
    left_out = Counter[str]()
    for number, entry in enumerate(entries):
        if entry.image_id not in truth.images:
            left_out["unknown image"] += 1
        elif entry.category_id not in truth.categories:
            left_out["unknown category"] += 1
        else:
            size = truth.images[entry.image_id].size
            detection = _detection(entry, size, f"{path}, detection {number}")
            if _has_pixel(detection.xywh, size):
                by_image[entry.image_id].append(detection)
            else:
                left_out["box without a pixel of the image"] += 1
    if not by_image:
        reasons = ", ".join(f"{count} of {reason}" for reason, count in left_out.items())
        raise UserError(f"{path} has no detection for this ground truth{f': {reasons}' if reasons else ''}")
    return Detections({number: tuple(some) for number, some in by_image.items()}, left_out)


def _detection(entry: _Detection, size: tuple[int, int], name: str) -> Detection:
    is_absent = bytes(entry.segmentation) in (b"", b"null")
    rle = None if is_absent else rle_of_entry(entry.segmentation, size, name)
    if entry.bbox is not None:
        xywh = entry.bbox
    elif rle is not None:
        xywh = box_around(rle)
    else:
        raise UserError(f"{name} has neither bbox nor segmentation")
    if max(map(abs, xywh)) > FARTHEST:
        raise UserError(f"{name} has a box with a coordinate or side beyond {FARTHEST} pixels: {list(xywh)}")
    return Detection(category_id=entry.category_id, score=entry.score, xywh=xywh, mask=rle)


def _has_pixel(xywh: Xywh, size: tuple[int, int]) -> bool:
    x, y, width, height = xywh
    return width > 0 and height > 0 and x < size[1] and y < size[0] and x + width > 0 and y + height > 0
