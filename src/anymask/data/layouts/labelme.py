"""labelme's files: a JSON for each photograph, beside it or with the photograph inside.

    {"imagePath": "a.jpg", "imageData": null or base64, "imageHeight": …, "imageWidth": …,
     "shapes": [{"shape_type": "polygon", "points": [[x, y], …], "label": …, "group_id": null or a number}]}

A polygon, rectangle, circle or mask is an object; shapes of one ``label`` and ``group_id`` are parts of one. Points and
lines are left out and counted. Shapes may reach beyond the photograph, as labelme lets its users draw them, and are cut
off there. A file that EXIF turns is turned, as labelme shows it, and becomes a PNG.
"""

from __future__ import annotations

import base64
import binascii
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

import msgspec
import numpy as np
from PIL import ExifTags, ImageOps

from anymask.data.folders import files_by_stem
from anymask.data.layouts.pictures import open_picture
from anymask.data.layouts.polygons import check_corners, mask_of_polygons, union
from anymask.data.packing import Photograph, annotation, key_of, keyed
from anymask.errors import UserError
from anymask.masks import area, encode, runs
from anymask.structures import Rle

__all__ = ["LabelmeLayout"]

FARTHEST_OUT = 100.0
"""Of the photograph's side: an object may be far larger than what the camera saw of it."""


class _Shape(msgspec.Struct):
    points: list[list[float]]
    shape_type: str | None = "polygon"
    label: str = ""
    group_id: int | None = None
    mask: str | None = None


class _File(msgspec.Struct, rename="camel"):
    shapes: list[_Shape]
    image_height: int | None = None
    image_width: int | None = None
    image_path: str = ""
    image_data: str | None = None


_FILE = msgspec.json.Decoder(_File)


@dataclass(frozen=True, slots=True)
class LabelmeLayout:
    """A folder of labelme's JSON files, and the one with their photographs, by default the same."""

    annotations: Path
    images: Path

    def items(self) -> Mapping[str, Path]:
        return keyed((key_of(name), file) for name, file in files_by_stem(self.annotations, ".json").items())

    def read(self, item: Path) -> Photograph:
        try:
            content = _FILE.decode(item.read_bytes())
        except (OSError, ValueError, RecursionError) as error:
            raise UserError(f"{item} is not a file of labelme: {error}") from None
        photograph = self._photograph(item, content)
        size = _size(photograph, content, item)
        objects: dict[Any, list[Rle]] = {}
        lines = 0
        for number, shape in enumerate(content.shapes):
            mask = _mask(shape, size, f"shape {number} of {item}")
            lines += mask is None
            whole = number if shape.group_id is None else (shape.label, shape.group_id)
            objects.setdefault(whole, []).extend([] if mask is None else [mask])
        masks = [union(parts) for parts in objects.values() if parts]
        entries = [annotation(number, mask) for number, mask in enumerate(masks) if area(runs(mask))]
        about = {"height": size[0], "width": size[1], "file_name": PureWindowsPath(content.image_path).name}
        left_out = {"points and lines": lines, "empty masks": len(masks) - len(entries)}
        return Photograph(photograph, about, entries, left_out)

    def _photograph(self, item: Path, content: _File) -> bytes:
        """What labelme shows: what is in the JSON, else the file of that name, whatever the folders before it."""
        if content.image_data is not None:
            return _from_base64(content.image_data, f"the imageData of {item}")
        name = PureWindowsPath(content.image_path).name
        if not name or not (self.images / name).is_file():
            raise UserError(f"{item} has no imageData, and there is no photograph {self.images / name}")
        return _upright((self.images / name).read_bytes(), str(self.images / name))


def _upright(photograph: bytes, name: str) -> bytes:
    """The same bytes but where EXIF says that the photograph is to be turned."""
    with open_picture(io.BytesIO(photograph), name) as picture:
        if picture.getexif().get(ExifTags.Base.Orientation, 1) == 1:
            return photograph
        turned = io.BytesIO()
        ImageOps.exif_transpose(picture).convert("RGB").save(turned, "png")
        return turned.getvalue()


def _size(photograph: bytes, content: _File, item: Path) -> tuple[int, int]:
    """Height and width. Raises UserError where the file says others, as it does of another photograph."""
    with open_picture(io.BytesIO(photograph), f"the photograph of {item}") as picture:
        size = (picture.height, picture.width)
    for stated, found in zip((content.image_height, content.image_width), size, strict=True):
        if stated not in (None, found):
            said = (content.image_height, content.image_width)
            raise UserError(f"{item} says that its photograph has {said} pixels (height, width); it has {size}")
    return size


def _mask(shape: _Shape, size: tuple[int, int], name: str) -> Rle | None:
    """None for a shape without an inside. Raises UserError for one that cannot be."""
    kind, points = shape.shape_type or "polygon", shape.points
    if kind in ("polygon", "oriented_rectangle"):
        return mask_of_polygons([points], size, name, farthest_out=FARTHEST_OUT)
    if kind not in ("rectangle", "circle", "mask"):
        return None
    if len(points) != 2:
        raise UserError(f"{name} is a {kind} of {len(points)} points; it has two")
    check_corners(points, size, name, FARTHEST_OUT)
    (x0, y0), (x1, y1) = points
    if kind == "rectangle":
        corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
        return mask_of_polygons([corners], size, name, farthest_out=FARTHEST_OUT)
    if kind == "circle":
        y, x = np.ogrid[0.5 : size[0], 0.5 : size[1]]  # the pixels' centres
        return encode(np.hypot(x - x0, y - y0) <= math.hypot(x1 - x0, y1 - y0))
    return _pasted(shape.mask or "", (round(x0), round(y0)), size, name)


def _pasted(data: str, corner: tuple[int, int], size: tuple[int, int], name: str) -> Rle:
    """A mask drawn by a brush: a PNG whose first pixel lies at ``corner``."""
    with open_picture(io.BytesIO(_from_base64(data, f"the mask of {name}")), f"the mask of {name}") as picture:
        part = np.asarray(picture.convert("L")) > 0
    (x, y), (height, width) = corner, part.shape
    if min(x, y) < 0 or x + width > size[1] or y + height > size[0]:
        raise UserError(f"{name} has a mask of {part.shape} at {corner}, outside the photograph of {size}")
    whole = np.zeros(size, dtype=bool)
    whole[y : y + height, x : x + width] = part
    return encode(whole)


def _from_base64(data: str, name: str) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise UserError(f"{name} is not base64") from None
