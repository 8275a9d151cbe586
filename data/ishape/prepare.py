"""Pack iShape (objects of irregular shape), one of the paper's 23 sets.

    python data/ishape/prepare.py --root ishape_dataset --out data/ishape/shards

ROOT holds antenna, branch, fence, hanger, log and wire, each with val/image/NAME.jpg and val/instance_map/NAME.png of
16 bits. As in Cityscapes, and in iShape's own program that makes COCO's form of the maps, a number from 1000 on is an
object and one below is none. An object in several parts, as most here are, has one number.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from anymask.data.layouts.labels import LabelPngs, pairs_below
from anymask.data.preparing import command_line, prepare
from anymask.data.sa23 import SA23

NO_OBJECT = frozenset(range(1000))


def main() -> None:
    """Pack, and say what was packed."""
    parser = command_line(__doc__)
    parser.add_argument("--root", type=Path, required=True, help="folder of the six subsets")
    parser.add_argument("--split", default="val", help="default %(default)s, the paper's")
    prepare(parser, layout, published=SA23["ishape"])


def layout(given: argparse.Namespace) -> LabelPngs:
    """The maps of all subsets."""
    return LabelPngs(pairs_below(given.root, f"*/{given.split}/instance_map/*.png", photograph), background=NO_OBJECT)


def photograph(label: str) -> str:
    """The path of the photograph of a map."""
    return label.replace("/instance_map/", "/image/").removesuffix(".png") + ".jpg"


if __name__ == "__main__":
    main()
