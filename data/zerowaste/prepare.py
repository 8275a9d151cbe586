"""Pack ZeroWaste-f (waste on a conveyor belt), one of the paper's 23 sets.

    python data/zerowaste/prepare.py --root zerowaste-f-final/splits_final_deblurred/train --out data/zerowaste/shards

ROOT holds labels.json, in COCO's form, and data/NAME.PNG. The polygons of the objects count, not the
classes of sem_seg beside them. Photographs without an object are left out.
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
        lambda given: CocoLayout.of(given.root / "labels.json", given.root / "data"),
        published=SA23["zerowaste"],
    )


if __name__ == "__main__":
    main()
