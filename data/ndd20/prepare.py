"""Pack NDD20 (dolphins above and below water), one of the paper's 23 sets.

    python data/ndd20/prepare.py --root NDD20 --out data/ndd20/shards

ROOT holds ABOVE/NAME.jpg with ABOVE_LABELS.json, and BELOW/NAME.jpg with BELOW_LABELS.json, as the VGG image annotator
writes them: a polygon is a dolphin, or its fin. Photographs without one are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from anymask.data.layouts.pictures import photograph_size
from anymask.data.layouts.polygons import mask_of_polygons
from anymask.data.packing import Photograph, annotation, key_of, keyed
from anymask.data.preparing import command_line, prepare
from anymask.data.sa23 import SA23
from anymask.errors import UserError
from anymask.masks import area, runs


class Shape(msgspec.Struct):
    """What was drawn."""

    name: str
    all_points_x: list[float] = []
    all_points_y: list[float] = []


class Region(msgspec.Struct):
    """An object."""

    shape_attributes: Shape


class Annotated(msgspec.Struct):
    """A photograph's name and what was drawn on it."""

    filename: str
    regions: list[Region] | dict[str, Region] = []


FILE = msgspec.json.Decoder(dict[str, Annotated])


def main() -> None:
    """Pack, and say what was packed."""
    parser = command_line(__doc__)
    parser.add_argument("--root", type=Path, required=True, help="folder with ABOVE and BELOW")
    prepare(parser, lambda given: Dolphins(given.root), published=SA23["ndd20"])


@dataclass(frozen=True, slots=True)
class Dolphins:
    """The folder of both parts."""

    root: Path

    def items(self) -> Mapping[str, tuple[Path, list[Region]]]:
        return keyed(item for place in ("ABOVE", "BELOW") for item in self._of(place))

    def read(self, item: tuple[Path, list[Region]]) -> Photograph:
        photograph, regions = item
        size = photograph_size(photograph)
        entries: list[dict[str, Any]] = []
        for region in regions:
            shape = region.shape_attributes
            if shape.name not in ("polygon", "polyline") or len(shape.all_points_x) != len(shape.all_points_y):
                raise UserError(f"{photograph} has a region that is no polygon: {shape.name!r}")
            corners = list(zip(shape.all_points_x, shape.all_points_y, strict=True))
            mask = mask_of_polygons([corners], size, str(photograph))
            entries += [annotation(len(entries), mask)] if area(runs(mask)) else []
        about = {"height": size[0], "width": size[1], "file_name": photograph.name}
        return Photograph(photograph.read_bytes(), about, entries, {"empty masks": len(regions) - len(entries)})

    def _of(self, place: str) -> Iterator[tuple[str, tuple[Path, list[Region]]]]:
        path = self.root / f"{place}_LABELS.json"
        try:
            annotated = FILE.decode(path.read_bytes())
        except (OSError, msgspec.MsgspecError, RecursionError) as error:
            raise UserError(f"{path} is not a file of labels of NDD20: {error}") from None
        for entry in annotated.values():
            name = PurePosixPath(entry.filename).name
            regions = entry.regions if isinstance(entry.regions, list) else list(entry.regions.values())
            yield key_of(f"{place}/{PurePosixPath(name).stem}"), (self.root / place / name, regions)


if __name__ == "__main__":
    main()
