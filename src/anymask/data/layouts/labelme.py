"""labelme's files: a JSON for each photograph, beside it or with the photograph inside.

    {"imagePath": "a.jpg", "imageData": null or base64, "imageHeight": …, "imageWidth": …,
     "shapes": [{"shape_type": "polygon", "points": [[x, y], …], "label": …, "group_id": null or a number}]}

A polygon, rectangle, circle or mask is an object; shapes of one ``label`` and ``group_id`` are parts of one. Points and
lines are left out and counted.
"""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

import msgspec
import numpy as np

from anymask.data.folders import files_by_stem
from anymask.data.layouts.pictures import open_picture
from anymask.data.layouts.polygons import mask_of_polygons, union
from anymask.data.packing import Photograph, annotation, key_of, keyed
from anymask.data.records import MAX_PIXELS
from anymask.errors import UserError
from anymask.masks import area, encode, runs
from anymask.structures import Rle

__all__ = ["LabelmeLayout"]


class _Shape(msgspec.Struct):
    points: list[list[float]]
    shape_type: str | None = "polygon"
    label: str = ""
    group_id: int | None = None
    mask: str | None = None


class _File(msgspec.Struct, rename="camel"):
    shapes: list[_Shape]
    image_height: int
    image_width: int
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
        except (OSError, msgspec.MsgspecError, RecursionError) as error:
            raise UserError(f"{item} is not a file of labelme: {error}") from None
        size = (content.image_height, content.image_width)
        if min(size) < 1 or size[0] * size[1] > MAX_PIXELS:
            raise UserError(f"{item} says that its photograph has {size} pixels (height, width)")
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
        return Photograph(self._photograph(item, content), about, entries, left_out)

    def _photograph(self, item: Path, content: _File) -> bytes:
        """The file of that name, whatever the folders before it, else what is in the JSON."""
        name = PureWindowsPath(content.image_path).name
        file = self.images / name
        if name and file.is_file():
            return file.read_bytes()
        if content.image_data is None:
            raise UserError(f"{item} has no imageData, and there is no photograph {file}")
        return _from_base64(content.image_data, f"the imageData of {item}")


def _mask(shape: _Shape, size: tuple[int, int], name: str) -> Rle | None:
    """None for a shape without an inside. Raises UserError for one that cannot be."""
    kind, points = shape.shape_type or "polygon", shape.points
    if kind == "polygon":
        return mask_of_polygons([points], size, name)
    if kind not in ("rectangle", "circle", "mask"):
        return None
    if len(points) != 2 or any(len(point) != 2 for point in points):
        raise UserError(f"{name} is a {kind} of {len(points)} points; it has two")
    (x0, y0), (x1, y1) = points
    if kind == "rectangle":
        return mask_of_polygons([[(x0, y0), (x1, y0), (x1, y1), (x0, y1)]], size, name)
    if kind == "circle":
        y, x = np.ogrid[: size[0], : size[1]]
        return encode((x - x0) ** 2 + (y - y0) ** 2 <= (x1 - x0) ** 2 + (y1 - y0) ** 2)
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
