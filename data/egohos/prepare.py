"""Pack EgoHOS (hands and the objects they hold, egocentric), one of the paper's 23 sets.

    python data/egohos/prepare.py --root egohos --out data/egohos/shards

ROOT holds train/image/NAME.jpg and train/label/NAME.png. 1 and 2 are the left and the right hand, 3 to 5 objects that
the left, the right or both hands touch, 6 to 8 those that are touched by these; 0 is nothing. Each number is one mask.
The paper takes the photographs from Ego4D and THU-READ: those whose names begin with ego4d or thu, or as --names says.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from anymask.data.layouts.labels import LabelPngs, pairs_below
from anymask.data.preparing import command_line, prepare
from anymask.data.sa23 import SA23
from anymask.errors import UserError


def main() -> None:
    """Pack, and say what was packed."""
    parser = command_line(__doc__)
    parser.add_argument("--root", type=Path, required=True, help="folder with train, val and the tests")
    parser.add_argument("--split", default="train", help="default %(default)s, the paper's")
    parser.add_argument("--names", nargs="+", default=["ego4d", "thu"], help="how they begin, default %(default)s")
    prepare(parser, layout, published=SA23["egohos"])


def layout(given: argparse.Namespace) -> LabelPngs:
    """The label pictures of some sources."""
    pairs = pairs_below(given.root, f"{given.split}/label/*.png", photograph)
    begins = tuple(given.names)
    chosen = {key: files for key, files in pairs.items() if files[1].name.lower().startswith(begins)}
    if not chosen:
        raise UserError(f"no label picture of {given.root / given.split} begins with {' or '.join(begins)}")
    return LabelPngs(chosen)


def photograph(label: str) -> str:
    """The path of the photograph of a label picture."""
    return label.replace("/label/", "/image/").removesuffix(".png") + ".jpg"


if __name__ == "__main__":
    main()
