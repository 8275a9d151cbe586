"""Pack the panoptic labels of Cityscapes, one of the paper's 23 sets.

    python data/cityscapes/prepare.py --root cityscapes --out data/cityscapes/shards

ROOT holds leftImg8bit/val/CITY/NAME_leftImg8bit.png and gtFine/val/CITY/NAME_gtFine_instanceIds.png. A number from 1000
on is an object (class x 1000 + number); one below is all that a photograph has of a class: a stuff class, or a crowd of
objects that nobody told apart, which is left out and counted. Classes 0 to 6 are void: no mask, and not counted for
any; so are those that the benchmark does not evaluate (9, 10, 14, 15, 16, 18, 29, 30; licence plates are not drawn at
all). This is the rule of Cityscapes' own createPanopticImgs.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from anymask.data.layouts.labels import pairs_below, photograph_of, read_labels
from anymask.data.packing import Photograph
from anymask.data.preparing import command_line, prepare
from anymask.data.sa23 import SA23

# Road, sidewalk, building, wall, fence, pole, traffic light and sign, vegetation, terrain, sky.
STUFF = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23)
THINGS = (24, 25, 26, 27, 28, 31, 32, 33)  # person, rider, car, truck, bus, train, motorcycle, bicycle


def main() -> None:
    """Pack, and say what was packed."""
    parser = command_line(__doc__)
    parser.add_argument("--root", type=Path, required=True, help="folder with leftImg8bit and gtFine")
    parser.add_argument("--split", default="val", help="default %(default)s, the paper's")
    prepare(parser, lambda given: Panoptic.of(given.root, given.split), published=SA23["cityscapes"])


@dataclass(frozen=True, slots=True)
class Panoptic:
    """Photographs with their instance pictures."""

    pairs: Mapping[str, tuple[Path, Path]]

    @classmethod
    def of(cls, root: Path, split: str) -> Panoptic:
        """Raises UserError where there are none."""
        return cls(pairs_below(root, f"gtFine/{split}/*/*_gtFine_instanceIds.png", photograph))

    def items(self) -> Mapping[str, tuple[Path, Path]]:
        return self.pairs

    def read(self, item: tuple[Path, Path]) -> Photograph:
        labels = read_labels(item[1])
        numbers = np.unique(labels)
        classes = np.where(numbers >= 1000, numbers // 1000, numbers)
        crowds = numbers[(numbers < 1000) & np.isin(classes, THINGS)]
        void = numbers[~np.isin(classes, STUFF + THINGS)]
        photograph = photograph_of(
            item[0], labels, background=frozenset(crowds.tolist()), void=frozenset(void.tolist())
        )
        photograph.left_out["crowds of a class"] = len(crowds)
        return photograph


def photograph(label: str) -> str:
    """The path of the photograph of an instance picture."""
    return label.replace("gtFine/", "leftImg8bit/", 1).replace("_gtFine_instanceIds", "_leftImg8bit")


if __name__ == "__main__":
    main()
