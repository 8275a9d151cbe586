"""Pack NDISPark (parking lots), one of the paper's 23 sets.

    python data/ndispark/prepare.py --root ndis_park/train --out data/ndispark/shards

ROOT holds train_coco_annotations.json, in COCO's form, and imgs/NAME.jpg. All objects are vehicles, of COCO's category
car, and all count. The folders validation and test are not the paper's.
"""

from __future__ import annotations

from pathlib import Path

from anymask.data.layouts.coco import CocoLayout
from anymask.data.preparing import command_line, prepare
from anymask.data.sa23 import SA23


def main() -> None:
    """Pack, and say what was packed."""
    parser = command_line(__doc__)
    parser.add_argument("--root", type=Path, required=True, help="the folder train")
    prepare(
        parser,
        lambda given: CocoLayout.of(given.root / "train_coco_annotations.json", given.root / "imgs"),
        published=SA23["ndispark"],
    )


if __name__ == "__main__":
    main()
