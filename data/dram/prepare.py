"""Pack DRAM (paintings, semantic), one of the paper's 23 sets.

    python data/dram/prepare.py --root DRAM_raw/test --out data/dram/shards

ROOT holds, by movement and painter, NAME.jpg with NAME.png beside it, a picture of Pascal VOC's classes in colours or
by index. Each class that is in a painting is one mask; background (black, 0) and void (VOC's 224, 224, 192; 255) are
none, and void is not counted for any.
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
    parser.add_argument("--root", type=Path, required=True, help="folder with paintings and labels, at any depth")
    prepare(parser, layout, published=SA23["dram"])


def layout(given: argparse.Namespace) -> LabelPngs:
    """Label pictures and the paintings beside them."""
    pairs = pairs_below(given.root, "**/*.png", lambda label: label.removesuffix(".png") + ".jpg")
    return LabelPngs(pairs, void=VOID)


if __name__ == "__main__":
    main()
