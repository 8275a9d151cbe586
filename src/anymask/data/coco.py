"""COCO's and LVIS's files: ground truth with its masks as run lengths.

A file is believed or refused as a whole: what is not in the form is a UserError that names the entry.

LVIS adds to each image the categories that were looked for in vain (*negative*) and those of which not every object
was annotated (*not exhaustive*), and to each category how frequent it is (Gupta, Dollár and Girshick 2019).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal, TypeVar

import msgspec
import numpy as np
from pycocotools import mask as coco_mask

from anymask import masks
from anymask.data.records import MAX_PIXELS
from anymask.errors import UserError
from anymask.structures import Rle

__all__ = [
    "FARTHEST",
    "Annotation",
    "Category",
    "Frequency",
    "GroundTruth",
    "Image",
    "Xywh",
    "box_around",
    "parse",
    "photograph",
    "read_ground_truth",
    "rle_from_segmentation",
    "rle_of_entry",
]

Frequency = Literal["r", "c", "f"]
"""Of an LVIS category: rare, in 1 to 10 images of the training set; common, in up to 100; or frequent."""

Xywh = tuple[float, float, float, float]
"""Left and upper edge, width and height in the image frame: how these files store a box."""

FARTHEST = 10**6
"""The largest coordinate in pixels, of a polygon or a detector's box; somewhere above, pycocotools and OpenCV crash."""
LONGEST_OUTLINE = 2 * 10**6
"""In pixels, of a mask's polygons: to rasterise them, pycocotools takes 100 bytes for each."""


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


_GROUND_TRUTH = msgspec.json.Decoder(_GroundTruth)
_SEGMENTATION = msgspec.json.Decoder(list[list[float]] | dict[str, Any])
Parsed = TypeVar("Parsed")


def read_ground_truth(path: Path) -> GroundTruth:
    """Every image, category and annotation; where no categories are listed, those that the annotations have.

    Raises UserError for what is not COCO's form, ids that occur twice, annotations of images or categories that are
    not listed, and masks that are damaged or not of their image's size.
    """
    content = parse(path, _GROUND_TRUTH, "a COCO instances file")
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


def photograph(folder: Path, image: Image) -> Path:
    """The file of an image, in the folder itself or in the one that LVIS names. Raises UserError if there is none."""
    for file in (folder / image.file_name, folder / image.folder / image.file_name):
        with suppress(OSError):  # such as for a name that is too long
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
    if sum(map(_outline, polygons)) > LONGEST_OUTLINE:
        raise ValueError(f"the outline of the polygons is longer than {LONGEST_OUTLINE} pixels")
    return Rle(size, coco_mask.merge(coco_mask.frPyObjects(polygons, *size))["counts"])


def _outline(polygon: Sequence[float | int]) -> float:
    """Pixels that its sides pass, each counted along the axis on which it is longer."""
    corners = np.array(polygon, dtype=np.float64).reshape(-1, 2)
    return float(np.abs(corners - np.roll(corners, 1, axis=0)).max(axis=1).sum())


def rle_of_entry(raw: msgspec.Raw, size: tuple[int, int], name: str) -> Rle:
    """What a file has as ``segmentation``. Raises UserError with the entry's name for what is damaged."""
    try:
        return rle_from_segmentation(_SEGMENTATION.decode(raw), size)
    except (ValueError, msgspec.MsgspecError) as error:
        raise UserError(f"{name}: {error}") from None


def box_around(rle: Rle) -> Xywh:
    """Of a mask without a pixel it is 0, 0, 0, 0."""
    x0, y0, x1, y1 = masks.box(masks.runs(rle), rle.size[0])
    return float(x0), float(y0), float(x1 - x0), float(y1 - y0)


def parse(path: Path, form: msgspec.json.Decoder[Parsed], what: str) -> Parsed:
    """A whole file. Raises UserError, which says that it is not ``what``, where it is not in this form."""
    try:
        return form.decode(path.read_bytes())
    except (OSError, ValueError, msgspec.MsgspecError, RecursionError) as error:  # ValueError: a text is no UTF-8
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
    if image.height * image.width > MAX_PIXELS:
        raise UserError(f"image {image.id} has {image.height * image.width} pixels, over the limit of {MAX_PIXELS}")
    return Image(
        id=image.id,
        size=(image.height, image.width),
        file_name=name,
        folder=folder,
        negative=image.neg_category_ids,
        not_exhaustive=image.not_exhaustive_category_ids,
    )


def _annotation(entry: _Annotation, size: tuple[int, int]) -> Annotation:
    rle = rle_of_entry(entry.segmentation, size, f"annotation {entry.id}")
    return Annotation(
        id=entry.id,
        category_id=entry.category_id,
        mask=rle,
        area=_area(rle) if entry.area is None else entry.area,
        xywh=box_around(rle) if entry.bbox is None else entry.bbox,
        crowd=bool(entry.iscrowd),
    )


def _area(rle: Rle) -> float:
    return float(masks.area(masks.runs(rle)))


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
