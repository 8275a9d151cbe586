"""Pack the hard test set of PIDRay (X-rays of luggage), one of the paper's 23 sets.

    python data/pidray/prepare.py --root pidray --out data/pidray/shards

ROOT holds annotations/xray_test_hard.json, in COCO's form, and hard/NAME.png: photographs with more than one
forbidden thing, each of which is a mask. The sets easy and hidden are not the paper's.
"""

from __future__ import annotations

from pathlib import Path

from anymask.data.layouts.coco import CocoLayout
from anymask.data.preparing import command_line, prepare
from anymask.data.sa23 import SA23


def main() -> None:
    """Pack, and say what was packed."""
    parser = command_line(__doc__)
    parser.add_argument("--root", type=Path, required=True, help="folder with annotations and hard")
    prepare(
        parser,
        lambda given: CocoLayout.of(given.root / "annotations" / "xray_test_hard.json", given.root / "hard"),
        published=SA23["pidray"],
    )


if __name__ == "__main__":
    main()
