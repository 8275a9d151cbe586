"""Pack the hands of GTEA Gaze+ (egocentric cooking), one of the paper's 23 sets.

    python data/gtea/prepare.py --root GTEA_hand2k/GTEA_GAZE_PLUS --out data/gtea/shards

ROOT holds Images/VIDEO/NAME.jpg and Masks/VIDEO/NAME.png, or without folders of videos; where it is divided into train
and test, name train, the paper's. A number of a mask picture is a hand, or both where they share one; 0 is none. They
are taken as they are, not split into connected parts. A photograph without a mask picture is not read.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from anymask.data.layouts.labels import LabelPngs, pairs_below
from anymask.data.preparing import command_line, prepare
from anymask.data.sa23 import SA23


def main() -> None:
    """Pack, and say what was packed."""
    parser = command_line(__doc__)
    parser.add_argument("--root", type=Path, required=True, help="folder with Images and Masks")
    prepare(parser, layout, published=SA23["gtea"])


def layout(given: argparse.Namespace) -> LabelPngs:
    """Mask pictures and the photographs of the same names."""
    return LabelPngs(pairs_below(given.root, "Masks/**/*.png", photograph))


def photograph(mask: str) -> str:
    """The path of the photograph of a mask picture."""
    return "Images/" + mask.removeprefix("Masks/").removesuffix(".png") + ".jpg"


if __name__ == "__main__":
    main()
