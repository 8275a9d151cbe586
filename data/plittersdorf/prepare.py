"""Pack Plittersdorf (wild animals at night), one of the paper's 23 sets.

    python data/plittersdorf/prepare.py --root plittersdorf_instance_segmentation_coco --out data/plittersdorf/shards

ROOT holds train.json, val.json and test.json, in COCO's form, and images/NAME.jpg. The three splits are
packed together, as the paper has them; a photograph that is in two of them is refused.
"""

from __future__ import annotations

from pathlib import Path

from anymask.data.layouts.coco import CocoLayout
from anymask.data.preparing import command_line, prepare
from anymask.data.sa23 import SA23

SPLITS = ("train", "val", "test")


def main() -> None:
    """Pack, and say what was packed."""
    parser = command_line(__doc__)
    parser.add_argument("--root", type=Path, required=True, help="folder with the three splits and images")
    prepare(parser, lambda given: layout(given.root), published=SA23["plittersdorf"])


def layout(root: Path) -> CocoLayout:
    """All splits together."""
    return CocoLayout(tuple((root / f"{split}.json", root / "images") for split in SPLITS))


if __name__ == "__main__":
    main()
