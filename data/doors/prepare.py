"""Pack DOORS (rendered boulders on asteroids), one of the paper's 23 sets.

    python data/doors/prepare.py --root DOORS --out data/doors/shards

ROOT holds Segmentation/DS1/DS/img/NAME.png and Segmentation/DS1/DS/mask/NAME.png: a photograph of one boulder and where
it is. These are all 45,269 photographs of DS1, of which the paper took 10,000. Some show no boulder and are left out.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from anymask.data.folders import files_by_stem, pair
from anymask.data.layouts.mask_pngs import MaskPngs
from anymask.data.packing import key_of, keyed
from anymask.data.preparing import command_line, prepare
from anymask.data.sa23 import SA23


def main() -> None:
    """Pack, and say what was packed."""
    parser = command_line(__doc__)
    parser.add_argument("--root", type=Path, required=True, help="folder that holds Segmentation")
    prepare(parser, layout, published=SA23["doors"])


def layout(given: argparse.Namespace) -> MaskPngs:
    """Photographs with their one mask."""
    folder = given.root / "Segmentation/DS1/DS"
    pairs = pair(files_by_stem(folder / "img", ".png"), files_by_stem(folder / "mask", ".png"))
    return MaskPngs(keyed((key_of(name), (photograph, (mask,))) for name, (photograph, mask) in pairs.items()))


if __name__ == "__main__":
    main()
