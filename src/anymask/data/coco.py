"""COCO's and LVIS's files: ground truth with its masks as run lengths, and a detector's boxes by image.

A file is believed or refused as a whole: what is not in the form is a UserError that names the entry. Two things are
passed over and counted, since a good file has them: detections on images and of categories that the ground truth does
not list (it is a part of the set, say), and boxes without a pixel of their image, which no model can be prompted with.
A score or a box that is not finite is refused; so is a file of which no detection is left.

LVIS adds to each image the categories that were looked for in vain (*negative*) and those of which not every object
was annotated (*not exhaustive*), and to each category how frequent it is (Gupta, Dollár and Girshick 2019).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal, TypeVar

import msgspec
import numpy as np
from pycocotools import mask as coco_mask

from anymask import masks
from anymask.errors import UserError
from anymask.structures import Rle

__all__ = [
    "Annotation",
    "Category",
    "Detection",
    "Detections",
    "Frequency",
    "GroundTruth",
    "Image",
    "photograph",
    "read_detections",
    "read_ground_truth",
    "rle_from_segmentation",
]

Frequency = Literal["r", "c", "f"]
"""Of an LVIS category: rare, in 1 to 10 images of the training set; common, in up to 100; or frequent."""

Xywh = tuple[float, float, float, float]
"""Left and upper edge, width and height in the image frame: how these files store a box."""

FARTHEST = 10**6
"""A polygon's largest coordinate in pixels; somewhere above, pycocotools crashes."""


@dataclass(frozen=True, slots=True)
class Category:
    """A kind of object."""

    id: int
    name: str
    frequency: Frequency | None  # LVIS only


@dataclass(frozen=True, kw_only=True, slots=True)
class Image:
    """What the file says of a photograph."""

    id: int
    size: tuple[int, int]  # height, width
    file_name: str
    folder: str  # LVIS: the folder that its address names, "train2017" or "val2017"; empty elsewhere
    negative: tuple[int, ...] | None  # categories; LVIS only
    not_exhaustive: tuple[int, ...] | None  # categories; LVIS only


@dataclass(frozen=True, kw_only=True, slots=True)
class Annotation:
    """An object of the ground truth, or where ``crowd`` is set a region of many."""

    id: int
    category_id: int
    mask: Rle  # empty where no polygon has three corners
    area: float  # as the file has it, else of the mask: what decides over small, medium and large
    xywh: Xywh
    crowd: bool


@dataclass(frozen=True, slots=True)
class GroundTruth:
    """All that a file says, by id; every image has its annotations in the order of the file, or none."""

    images: dict[int, Image]
    categories: dict[int, Category]
    annotations: dict[int, tuple[Annotation, ...]]

    def as_json(self) -> dict[str, Any]:
        """COCO's form, for the metrics of ``average_precision``: run lengths compressed, every field filled in."""
        return {
            "images": [_image_json(image) for image in self.images.values()],
            "categories": [
                {"id": c.id, "name": c.name} | ({"frequency": c.frequency} if c.frequency else {})
                for c in self.categories.values()
            ],
            "annotations": [_annotation_json(a, image) for image, some in self.annotations.items() for a in some],
        }


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


class _Image(msgspec.Struct):
    id: int
    height: int
    width: int
    file_name: str = ""
    coco_url: str | None = None
    neg_category_ids: tuple[int, ...] | None = None
    not_exhaustive_category_ids: tuple[int, ...] | None = None


class _Category(msgspec.Struct):
    id: int
    name: str = ""
    frequency: Frequency | None = None


class _Annotation(msgspec.Struct):
    id: int
    image_id: int
    segmentation: msgspec.Raw  # one is parsed at a time: the numbers of all polygons would take gigabytes
    category_id: int = 0
    area: float | None = None
    bbox: Xywh | None = None
    iscrowd: int | bool = 0


class _GroundTruth(msgspec.Struct):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category] = []


class _Detection(msgspec.Struct):
    image_id: int
    category_id: int
    score: float
    bbox: Xywh | None = None
    segmentation: msgspec.Raw = msgspec.Raw()


_GROUND_TRUTH = msgspec.json.Decoder(_GroundTruth)
_DETECTIONS = msgspec.json.Decoder(list[_Detection])
_SEGMENTATION = msgspec.json.Decoder(list[list[float]] | dict[str, Any])
_Parsed = TypeVar("_Parsed")


def read_ground_truth(path: Path) -> GroundTruth:
    """Every image, category and annotation; where no categories are listed, those that the annotations have.

    Raises UserError for what is not COCO's form, ids that occur twice, annotations of images or categories that are
    not listed, and masks that are damaged or not of their image's size.
    """
    content = _parse(path, _GROUND_TRUTH, "a COCO instances file")
    for what, entries in (("image", content.images), ("category", content.categories)):
        _check_ids(path, what, [entry.id for entry in entries])
    _check_ids(path, "annotation", [entry.id for entry in content.annotations])
    listed = content.categories or [
        _Category(number) for number in sorted({a.category_id for a in content.annotations})
    ]
    images = {image.id: _image(image) for image in content.images}
    categories = {c.id: Category(c.id, c.name or str(c.id), c.frequency) for c in listed}
    annotations: dict[int, list[Annotation]] = {number: [] for number in images}
    for entry in content.annotations:
        if entry.image_id not in images:
            raise UserError(f"{path} annotates the image {entry.image_id}, which it does not list")
        if entry.category_id not in categories:
            raise UserError(f"{path} has the category {entry.category_id}, which it does not list")
        annotations[entry.image_id].append(_annotation(entry, images[entry.image_id].size))
    return GroundTruth(images, categories, {number: tuple(some) for number, some in annotations.items()})


def read_detections(path: Path, truth: GroundTruth) -> Detections:
    """A list of ``{"image_id", "category_id", "score", "bbox" and/or "segmentation"}``; a box is x, y, width, height.

    Without a box, it is the one around the mask. Raises UserError for what is not in this form (so for a number that
    is not finite, which JSON does not know), for a damaged mask, and where no detection is left.
    """
    entries = _parse(path, _DETECTIONS, "a list of COCO detections")
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


def photograph(folder: Path, image: Image) -> Path:
    """The file of an image, in the folder itself or in the one that LVIS names. Raises UserError if there is none."""
    for file in (folder / image.file_name, folder / image.folder / image.file_name):
        if file.is_file():
            return file
    raise UserError(f"there is no photograph {folder / image.file_name}")


def rle_from_segmentation(segmentation: Sequence[Sequence[float | int]] | dict[str, Any], size: tuple[int, int]) -> Rle:
    """Run lengths, or polygons (x, y, x, y, …), one for each part; empty where no polygon has three corners.

    Polygons are rasterised by pycocotools. Raises ValueError for run lengths and polygons that are damaged.
    """
    if isinstance(segmentation, dict):
        rle = masks.rle_from_json(segmentation, size)
        masks.runs(rle)  # damaged ones are found here: pycocotools believes everything
        return rle
    if any(len(polygon) % 2 for polygon in segmentation):
        raise ValueError("a polygon has an odd number of coordinates")
    polygons = [polygon for polygon in segmentation if len(polygon) >= 6]  # of four, pycocotools would make a box
    if not polygons:
        return masks.encode(np.zeros(size, dtype=bool))
    if not all(np.abs(polygon).max() <= FARTHEST for polygon in polygons):
        raise ValueError(f"a polygon has a coordinate beyond {FARTHEST} pixels")
    return Rle(size, coco_mask.merge(coco_mask.frPyObjects(polygons, *size))["counts"])


def _parse(path: Path, form: msgspec.json.Decoder[_Parsed], what: str) -> _Parsed:
    try:
        return form.decode(path.read_bytes())
    except (OSError, msgspec.MsgspecError, RecursionError) as error:
        raise UserError(f"{path} is not {what}: {error}") from None


def _check_ids(path: Path, what: str, numbers: Sequence[int]) -> None:
    """Metrics that go by ids would count one of the two twice and the other never."""
    if len(set(numbers)) < len(numbers):
        double = next(number for number, times in Counter(numbers).items() if times > 1)
        raise UserError(f"{path} has more than one {what} with the id {double}")


def _image(image: _Image) -> Image:
    """LVIS has COCO's photographs of 2017; its version 0.5 still gives them their names of 2014, beside the address."""
    name, folder = image.file_name, ""
    if image.neg_category_ids is not None and image.coco_url:
        address = PurePosixPath(image.coco_url)
        name, folder = address.name, address.parent.name
    if not name:
        raise UserError(f"image {image.id} has neither file_name nor LVIS's coco_url")
    if min(image.height, image.width) < 1:
        raise UserError(f"image {image.id} has the size {image.height} x {image.width} (height x width)")
    return Image(
        id=image.id,
        size=(image.height, image.width),
        file_name=name,
        folder=folder,
        negative=image.neg_category_ids,
        not_exhaustive=image.not_exhaustive_category_ids,
    )


def _annotation(entry: _Annotation, size: tuple[int, int]) -> Annotation:
    rle = _rle(entry.segmentation, size, f"annotation {entry.id}")
    return Annotation(
        id=entry.id,
        category_id=entry.category_id,
        mask=rle,
        area=_area(rle) if entry.area is None else entry.area,
        xywh=_box_around(rle) if entry.bbox is None else entry.bbox,
        crowd=bool(entry.iscrowd),
    )


def _detection(entry: _Detection, size: tuple[int, int], name: str) -> Detection:
    is_absent = bytes(entry.segmentation) in (b"", b"null")
    rle = None if is_absent else _rle(entry.segmentation, size, name)
    if entry.bbox is not None:
        xywh = entry.bbox
    elif rle is not None:
        xywh = _box_around(rle)
    else:
        raise UserError(f"{name} has neither bbox nor segmentation")
    return Detection(category_id=entry.category_id, score=entry.score, xywh=xywh, mask=rle)


def _rle(raw: msgspec.Raw, size: tuple[int, int], name: str) -> Rle:
    try:
        return rle_from_segmentation(_SEGMENTATION.decode(raw), size)
    except (ValueError, msgspec.MsgspecError) as error:
        raise UserError(f"{name}: {error}") from None


def _area(rle: Rle) -> float:
    return float(masks.area(masks.runs(rle)))


def _box_around(rle: Rle) -> Xywh:
    x0, y0, x1, y1 = masks.box(masks.runs(rle), rle.size[0])
    return float(x0), float(y0), float(x1 - x0), float(y1 - y0)


def _has_pixel(xywh: Xywh, size: tuple[int, int]) -> bool:
    x, y, width, height = xywh
    return width > 0 and height > 0 and x < size[1] and y < size[0] and x + width > 0 and y + height > 0


def _image_json(image: Image) -> dict[str, Any]:
    entry = {"id": image.id, "height": image.size[0], "width": image.size[1], "file_name": image.file_name}
    if image.negative is None:
        return entry
    not_exhaustive = list(image.not_exhaustive or ())
    return {**entry, "neg_category_ids": list(image.negative), "not_exhaustive_category_ids": not_exhaustive}


def _annotation_json(annotation: Annotation, image: int) -> dict[str, Any]:
    return {
        "id": annotation.id,
        "image_id": image,
        "category_id": annotation.category_id,
        "segmentation": masks.rle_to_json(annotation.mask),
        "area": annotation.area,
        "bbox": list(annotation.xywh),
        "iscrowd": int(annotation.crowd),
    }
