"""Pack objects and their parts of ADE20K, one of the paper's 23 sets.

    python data/ade20k/prepare.py --root ADE20K_2021_17_01/images/ADE/validation --out data/ade20k/shards

Every NAME_seg.png below ROOT with NAME.jpg beside it, and NAME_parts_1.png, NAME_parts_2.png … where there are parts of
objects, and parts of these. The blue channel numbers what is seen of each object, 0 is none; the other two are its
class. What is hidden (NAME/instance_*.png) is not asked for: a click can only mean what is seen. Keys are the NAMEs
alone, so that the same photographs are drawn whichever folder above them is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from anymask.data.layouts.labels import masks_of_labels, pairs_below, read_labels
from anymask.data.packing import Photograph, annotation, key_of, keyed
from anymask.data.preparing import command_line, prepare
from anymask.data.sa23 import SA23


def main() -> None:
    """Pack, and say what was packed."""
    parser = command_line(__doc__)
    parser.add_argument("--root", type=Path, required=True, help="folder of the photographs, at any depth")
    prepare(parser, lambda given: ObjectsAndParts(given.root), published=SA23["ade20k"])


@dataclass(frozen=True, slots=True)
class ObjectsAndParts:
    """The folder of the photographs."""

    root: Path

    def items(self) -> Mapping[str, tuple[Path, Path]]:
        pairs = pairs_below(self.root, "**/*_seg.png", lambda labels: labels.removesuffix("_seg.png") + ".jpg")
        return keyed((key_of(photograph.stem), (photograph, labels)) for photograph, labels in pairs.values())

    def read(self, item: tuple[Path, Path]) -> Photograph:
        photograph, objects = item
        name = objects.name.removesuffix("_seg.png")
        entries: list[dict[str, Any]] = []
        size = (0, 0)
        for labels in [objects, *sorted(objects.parent.glob(f"{name}_parts_*.png"))]:
            numbers = numbered(labels)
            size = (numbers.shape[0], numbers.shape[1])
            found = masks_of_labels(numbers)
            entries += [annotation(len(entries) + n, found[i]) for n, i in enumerate(sorted(found.keys() - {0}))]
        about = {"height": size[0], "width": size[1], "file_name": photograph.name}
        return Photograph(photograph.read_bytes(), about, entries)


def numbered(path: Path) -> Int[np.ndarray, "h w"]:
    """The blue channel of a label picture."""
    return read_labels(path) >> 16


if __name__ == "__main__":
    main()
