"""Pack DOORS (rendered boulders on asteroids), one of the paper's 23 sets.

    python data/doors/prepare.py --root DOORS --out data/doors/shards

ROOT holds Regression/Te1_5000_b_DATE and Te2_5000_ub_DATE, each with img/NAME.png and Rock_all/NAME.png: a photograph
of one boulder and where it is. Both folders together have the paper's 10,000 photographs.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from anymask.data.layouts.labels import pairs_below
from anymask.data.layouts.mask_pngs import MaskPngs
from anymask.data.preparing import command_line, prepare
from anymask.data.sa23 import SA23


def main() -> None:
    """Pack, and say what was packed."""
    parser = command_line(__doc__)
    parser.add_argument("--root", type=Path, required=True, help="folder that holds Regression")
    prepare(parser, layout, published=SA23["doors"])


def layout(given: argparse.Namespace) -> MaskPngs:
    """Photographs with their one mask."""
    pairs = pairs_below(
        given.root, "Regression/Te*_5000_*/Rock_all/*.png", lambda mask: mask.replace("/Rock_all/", "/img/")
    )
    return MaskPngs({key: (photograph, (mask,)) for key, (photograph, mask) in pairs.items()})


if __name__ == "__main__":
    main()
