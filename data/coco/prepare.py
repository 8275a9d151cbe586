"""Pack a COCO instances JSON with its folder of photographs into shards.

    python data/coco/prepare.py --annotations instances_val2017.json --images val2017 --out data/coco/shards

Crowd regions are left out and counted, and so are polygons too small to cover a pixel.
"""

from __future__ import annotations

from pathlib import Path

from anymask.data.layouts.coco import CocoLayout
from anymask.data.preparing import command_line, prepare


def main() -> None:
    """Pack, and say what was packed."""
    parser = command_line(__doc__)
    parser.add_argument("--annotations", type=Path, required=True, help="instances_….json")
    parser.add_argument("--images", type=Path, required=True, help="folder of the photographs")
    prepare(parser, lambda given: CocoLayout.of(given.annotations, given.images))


if __name__ == "__main__":
    main()
