"""Pack the objects of PASCAL VOC 2012.

    python data/voc/prepare.py --root VOCdevkit/VOC2012 --split val --out data/voc/shards

ROOT holds JPEGImages/NAME.jpg, SegmentationObject/NAME.png, whose palette's indices are the objects, and the names of a
split in ImageSets/Segmentation/SPLIT.txt. 255, the border that VOC leaves undecided, is not counted for any object. val
has 1,449 photographs with 3,417 objects (RITM counts so).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from anymask.data.folders import listed
from anymask.data.layouts.labels import LabelPngs
from anymask.data.preparing import command_line, prepare


def main() -> None:
    """Pack, and say what was packed."""
    parser = command_line(__doc__)
    parser.add_argument("--root", type=Path, required=True, help="the folder VOC2012")
    parser.add_argument("--split", default="val", help="train, val or trainval; default %(default)s")
    prepare(parser, layout)


def layout(given: argparse.Namespace) -> LabelPngs:
    """The photographs that a split names."""
    names = listed(given.root / "ImageSets" / "Segmentation" / f"{given.split}.txt")
    files = {name: (f"JPEGImages/{name}.jpg", f"SegmentationObject/{name}.png") for name in names}
    pairs = {name: (given.root / photograph, given.root / labels) for name, (photograph, labels) in files.items()}
    return LabelPngs(pairs, void=frozenset({255}))


if __name__ == "__main__":
    main()
