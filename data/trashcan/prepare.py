"""Pack the training set of TrashCan (what lies on the sea floor), instance version, one of the paper's 23 sets.

    python data/trashcan/prepare.py --root dataset/instance_version --out data/trashcan/shards

ROOT holds instances_train_trashcan.json, in COCO's form, and train/NAME.jpg. Every object counts, also plants, animals
and parts of the vehicle itself: the README beside lists 9,540, as the paper does. Photographs without one are left out.
"""

from __future__ import annotations

from pathlib import Path

from anymask.data.layouts.coco import CocoLayout
from anymask.data.preparing import command_line, prepare
from anymask.data.sa23 import SA23


def main() -> None:
    """Pack, and say what was packed."""
    parser = command_line(__doc__)
    parser.add_argument("--root", type=Path, required=True, help="the folder instance_version")
    prepare(
        parser,
        lambda given: CocoLayout.of(given.root / "instances_train_trashcan.json", given.root / "train"),
        published=SA23["trashcan"],
    )


if __name__ == "__main__":
    main()
