"""Pack LVIS, v1 or v0.5; the validation set of v0.5 is one of the paper's 23 sets.

    python data/lvis/prepare.py --annotations lvis_v0.5_val.json --images coco --out data/lvis/shards

    python data/lvis/prepare.py --version v1 --annotations lvis_v1_train.json --images coco --out data/lvis/train

The photographs are COCO's of 2017: IMAGES holds train2017 and val2017, or the photographs themselves. Of v0.5, which
gives them their names of 2014, the name in the address counts. Of v0.5 a part with about 10,000 masks is packed, as the
paper has it, or with --all every photograph; of v1 always every one. LVIS has no crowd regions: each mask counts.
"""

from __future__ import annotations

from pathlib import Path

from anymask.data.layouts.coco import CocoLayout
from anymask.data.preparing import command_line, prepare
from anymask.data.sa23 import SA23


def main() -> None:
    """Pack, and say what was packed."""
    parser = command_line(__doc__)
    parser.add_argument("--annotations", type=Path, required=True, help="lvis_….json")
    parser.add_argument("--images", type=Path, required=True, help="folder of the photographs, or of COCO's folders")
    parser.add_argument("--version", choices=("v0.5", "v1"), default="v0.5", help="of LVIS; default %(default)s")
    parser.add_argument("--all", action="store_true", help="of v0.5, not a part with about 10,000 masks")
    chosen = parser.parse_args()
    published = SA23["lvis"] if chosen.version == "v0.5" and not chosen.all else None
    prepare(parser, lambda given: CocoLayout.of(given.annotations, given.images), published=published)


if __name__ == "__main__":
    main()
