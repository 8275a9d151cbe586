"""Pack the vehicles of STREETS (traffic cameras), one of the paper's 23 sets.

    python data/streets/prepare.py --root vehicleannotations --out data/streets/shards

ROOT holds images/NAME.jpg and annotations/vehicle-annotations.json, which is the VGG image annotator's file (and not
COCO's, as its name may suggest): a polygon is a vehicle. Regions of fewer than three corners are left out and counted.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from anymask.data.layouts.via import ViaLayout
from anymask.data.preparing import command_line, prepare
from anymask.data.sa23 import SA23


def main() -> None:
    """Pack, and say what was packed."""
    parser = command_line(__doc__)
    parser.add_argument("--root", type=Path, required=True, help="the folder vehicleannotations")
    prepare(parser, layout, published=SA23["streets"])


def layout(given: argparse.Namespace) -> ViaLayout:
    """The one file of annotations."""
    return ViaLayout(((given.root / "annotations" / "vehicle-annotations.json", given.root / "images"),))


if __name__ == "__main__":
    main()
