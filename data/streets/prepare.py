"""Pack the vehicles of STREETS (traffic cameras), one of the paper's 23 sets.

    python data/streets/prepare.py --root vehicleannotations --out data/streets/shards

ROOT holds annotations/vehicle-annotations.json, in COCO's form, and images/NAME.jpg.
"""

from __future__ import annotations

from pathlib import Path

from anymask.data.layouts.coco import CocoLayout
from anymask.data.preparing import command_line, prepare
from anymask.data.sa23 import SA23


def main() -> None:
    """Pack, and say what was packed."""
    parser = command_line(__doc__)
    parser.add_argument("--root", type=Path, required=True, help="the folder vehicleannotations")
    prepare(
        parser,
        lambda given: CocoLayout.of(given.root / "annotations" / "vehicle-annotations.json", given.root / "images"),
        published=SA23["streets"],
    )


if __name__ == "__main__":
    main()
