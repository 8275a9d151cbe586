"""Pack the 2D part of the Instance Building Dataset (roofs from drones), one of the paper's 23 sets.

    python data/ibd/prepare.py --images train/image --labels train/label --out data/ibd/shards

Each photograph has a label PNG of the same name. A number, or a colour, is a roof; 0, or black, is none.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from anymask.data.layouts.labels import LabelPngs
from anymask.data.preparing import command_line, prepare
from anymask.data.sa23 import SA23


def main() -> None:
    """Pack, and say what was packed."""
    parser = command_line(__doc__)
    parser.add_argument("--images", type=Path, required=True, help="folder of the photographs")
    parser.add_argument("--labels", type=Path, required=True, help="folder of the label pictures")
    prepare(parser, layout, published=SA23["ibd"])


def layout(given: argparse.Namespace) -> LabelPngs:
    """Photographs and label pictures of one name."""
    return LabelPngs.of_folders(given.images, given.labels)


if __name__ == "__main__":
    main()
