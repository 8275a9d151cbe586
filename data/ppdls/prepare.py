"""Pack the Plant Phenotyping Datasets (leaves of rosette plants), one of the paper's 23 sets.

    python data/ppdls/prepare.py --root Plant_Phenotyping_Datasets/Plant --out data/ppdls/shards

Every NAME_label.png below ROOT with the NAME_rgb.png beside it: Ara2012, Ara2013-Canon and Tobacco. A number or, in
some folders, a colour is a leaf; black is no leaf. Which folders make the paper's 182 photographs it does not say:
Ara2012 and Tobacco have that many between them; name either as ROOT, or both by a folder that holds them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from anymask.data.layouts.labels import LabelPngs, pairs_below
from anymask.data.preparing import command_line, prepare
from anymask.data.sa23 import SA23


def main() -> None:
    """Pack, and say what was packed."""
    parser = command_line(__doc__)
    parser.add_argument("--root", type=Path, required=True, help="folder with the label pictures, at any depth")
    prepare(parser, layout, published=SA23["ppdls"])


def layout(given: argparse.Namespace) -> LabelPngs:
    """Label pictures and the photographs beside them."""
    return LabelPngs(pairs_below(given.root, "**/*_label.png", lambda label: label.replace("_label.png", "_rgb.png")))


if __name__ == "__main__":
    main()
