"""Pack WoodScape (driving, fisheye lenses), one of the paper's 23 sets.

    python data/woodscape/prepare.py --root WoodScape --out data/woodscape/shards

ROOT holds instance_annotations/NAME.json and rgb_images/NAME.png. A JSON has one entry, whose "annotation" lists the
objects, each with the corners of one polygon as "segmentation". All classes count, "void" and the car itself among
them. Polygons lie upon each other (their z_order): a road goes on below the cars.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from anymask.data.folders import files_by_stem
from anymask.data.layouts.pictures import photograph_size
from anymask.data.layouts.polygons import mask_of_polygons
from anymask.data.packing import Photograph, annotation, key_of, keyed
from anymask.data.preparing import command_line, prepare
from anymask.data.sa23 import SA23
from anymask.errors import UserError
from anymask.masks import area, runs


class Drawn(msgspec.Struct):
    """An object."""

    segmentation: list[list[float]]


class Annotated(msgspec.Struct):
    """What was drawn on a photograph."""

    annotation: list[Drawn]
    image_height: int
    image_width: int


FILE = msgspec.json.Decoder(dict[str, Annotated])


def main() -> None:
    """Pack, and say what was packed."""
    parser = command_line(__doc__)
    parser.add_argument("--root", type=Path, required=True, help="folder with instance_annotations and rgb_images")
    prepare(parser, lambda given: Fisheye(given.root), published=SA23["woodscape"])


@dataclass(frozen=True, slots=True)
class Fisheye:
    """The folder of photographs and annotations."""

    root: Path

    def items(self) -> Mapping[str, Path]:
        files = files_by_stem(self.root / "instance_annotations", ".json")
        return keyed((key_of(name), file) for name, file in files.items())

    def read(self, item: Path) -> Photograph:
        photograph = self.root / "rgb_images" / f"{item.stem}.png"
        size = photograph_size(photograph)
        try:
            (annotated,) = FILE.decode(item.read_bytes()).values()
        except (OSError, msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise UserError(f"{item} is not an annotation of WoodScape: {error}") from None
        if (stated := (annotated.image_height, annotated.image_width)) != size:
            raise UserError(f"{item} is of {stated} pixels (height, width), {photograph} has {size}")
        masks = [mask_of_polygons([drawn.segmentation], size, str(item)) for drawn in annotated.annotation]
        entries = [annotation(number, mask) for number, mask in enumerate(masks) if area(runs(mask))]
        about = {"height": size[0], "width": size[1], "file_name": photograph.name}
        return Photograph(photograph.read_bytes(), about, entries, {"empty masks": len(masks) - len(entries)})


if __name__ == "__main__":
    main()
