"""Pack DRAM (paintings, semantic), one of the paper's 23 sets.

    python data/dram/prepare.py --root DRAM_processed --out data/dram/shards

ROOT holds test/MOVEMENT/PAINTER/NAME.jpg (test/unseen/… for eight more movements) and labels/ with a NAME.png at the
same place, of Pascal VOC's classes by index or in their colours. Each class that is in a painting is one mask, also
those that DRAM's own programs do not evaluate (they have 11 of the 20); background (0, black) and void (255; 224, 224,
192) are none, and void is not counted for any.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from anymask.data.layouts.labels import LabelPngs, pairs_below
from anymask.data.preparing import command_line, prepare
from anymask.data.sa23 import SA23

VOID = frozenset({255, 224 + 256 * 224 + 65536 * 192})


def main() -> None:
    """Pack, and say what was packed."""
    parser = command_line(__doc__)
    parser.add_argument("--root", type=Path, required=True, help="folder with test and labels")
    prepare(parser, layout, published=SA23["dram"])


def layout(given: argparse.Namespace) -> LabelPngs:
    """Label pictures and their paintings."""
    return LabelPngs(pairs_below(given.root, "labels/**/*.png", painting), void=VOID)


def painting(label: str) -> str:
    """The path of the painting of a label picture."""
    return "test/" + label.removeprefix("labels/").removesuffix(".png") + ".jpg"


if __name__ == "__main__":
    main()
