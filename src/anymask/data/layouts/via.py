"""The VGG image annotator's files: a JSON of all photographs of a folder, with the polygons drawn on them.

    {"a.jpg12345": {"filename": "a.jpg", "regions": {
        "0": {"shape_attributes": {"name": "polygon", "all_points_x": […], "all_points_y": […]}}}}}

Regions are a list in the annotator's second version. A polygon is an object; shapes of other kinds are left out and
counted. A corner that was dragged over the photograph's edge is cut off there; one far outside is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from anymask.data.coco import rle_from_segmentation
from anymask.data.layouts.pictures import photograph_size
from anymask.data.packing import Photograph, annotation, key_of, keyed
from anymask.errors import UserError
from anymask.masks import area, runs
from anymask.structures import Rle

__all__ = ["ViaLayout"]

FARTHEST_OUT = 0.1
"""Of the photograph's side, by which a corner may lie beyond its edge; one farther belongs to another photograph."""


class _Shape(msgspec.Struct):
    name: str
    all_points_x: list[float] = []
    all_points_y: list[float] = []


class _Region(msgspec.Struct):
    shape_attributes: _Shape


class _Annotated(msgspec.Struct):
    filename: str
    regions: list[_Region] | dict[str, _Region] = []


_FILE = msgspec.json.Decoder(dict[str, _Annotated])


@dataclass(frozen=True, slots=True)
class ViaLayout:
    """One or several files of the annotator, each with the folder of its photographs.

    Keys have the folder's name before the photograph's where there are several.
    """

    sets: tuple[tuple[Path, Path], ...]  # file, folder

    def items(self) -> Mapping[str, tuple[Path, list[_Region]]]:
        found = []
        for path, folder in self.sets:
            prefix = f"{folder.name}/" if len(self.sets) > 1 else ""
            for entry in _read(path).values():
                name = PurePosixPath(entry.filename)
                if name.is_absolute() or ".." in name.parts or not name.parts:
                    raise UserError(f"{path} has a photograph {entry.filename!r}, which leaves the folder")
                regions = entry.regions if isinstance(entry.regions, list) else list(entry.regions.values())
                found.append((key_of(prefix + str(name.with_suffix(""))), (folder / name, regions)))
        return keyed(found)

    def read(self, item: tuple[Path, list[_Region]]) -> Photograph:
        file, regions = item
        size = photograph_size(file)
        shapes = [region.shape_attributes for region in regions]
        masks = {at: _mask(s, size, f"region {at} of {file}") for at, s in enumerate(shapes) if _has_inside(s)}
        entries = [annotation(number, mask) for number, mask in masks.items() if area(runs(mask))]
        left_out = {"shapes that are no polygons": len(shapes) - len(masks), "empty masks": len(masks) - len(entries)}
        about: dict[str, Any] = {"height": size[0], "width": size[1], "file_name": file.name}
        return Photograph(file.read_bytes(), about, entries, left_out)


def _read(path: Path) -> dict[str, _Annotated]:
    try:
        return _FILE.decode(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} is not a file of the VGG image annotator: {error}") from None


def _has_inside(shape: _Shape) -> bool:
    """A polyline is a polygon that the annotator was told not to close."""
    return shape.name in ("polygon", "polyline")


def _mask(shape: _Shape, size: tuple[int, int], name: str) -> Rle:
    """Raises UserError where the corners are no pairs, lie far outside the photograph, or are too many."""
    xs, ys = shape.all_points_x, shape.all_points_y
    if len(xs) != len(ys):
        raise UserError(f"{name} has {len(xs)} x and {len(ys)} y of its corners")
    for at, side in [(x, size[1]) for x in xs] + [(y, size[0]) for y in ys]:
        if not -FARTHEST_OUT * side <= at <= (1 + FARTHEST_OUT) * side:
            raise UserError(f"{name} has a corner at {at:g}, far outside the photograph of {size} (height, width)")
    try:
        return rle_from_segmentation([[at for corner in zip(xs, ys, strict=True) for at in corner]], size)
    except ValueError as error:
        raise UserError(f"{name}: {error}") from None
