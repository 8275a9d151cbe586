"""Pack TimberSeg (piles of logs), one of the paper's 23 sets.

    python data/timberseg/prepare.py --root y5npsm3gkj-2/prescaled --out data/timberseg/shards

ROOT holds coco_annotation.json, in COCO's form, and the photographs in images. coco_annotation_rotated.json beside it
is not read: its boxes are turned, of five numbers, which COCO's form has not. The folder original has the photographs
at full size. Every annotated log counts; those that lie below others and cannot be grasped are not annotated.
"""

from __future__ import annotations

from pathlib import Path

from anymask.data.layouts.coco import CocoLayout
from anymask.data.preparing import command_line, prepare
from anymask.data.sa23 import SA23


def main() -> None:
    """Pack, and say what was packed."""
    parser = command_line(__doc__)
    parser.add_argument("--root", type=Path, required=True, help="the folder prescaled")
    prepare(
        parser,
        lambda given: CocoLayout.of(given.root / "coco_annotation.json", given.root),
        published=SA23["timberseg"],
    )


if __name__ == "__main__":
    main()
