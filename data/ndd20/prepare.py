"""Pack NDD20 (dolphins above and below water), one of the paper's 23 sets.

    python data/ndd20/prepare.py --root NDD20 --out data/ndd20/shards

ROOT holds ABOVE/NAME.jpg with ABOVE_LABELS.json, and BELOW/NAME.jpg with BELOW_LABELS.json, as the VGG image annotator
writes them: a polygon is a dolphin, or its fin. Photographs without one are left out.
"""

from __future__ import annotations

from pathlib import Path

from anymask.data.layouts.via import ViaLayout
from anymask.data.preparing import command_line, prepare
from anymask.data.sa23 import SA23

PLACES = ("ABOVE", "BELOW")


def main() -> None:
    """Pack, and say what was packed."""
    parser = command_line(__doc__)
    parser.add_argument("--root", type=Path, required=True, help="folder with ABOVE and BELOW")
    prepare(parser, lambda given: layout(given.root), published=SA23["ndd20"])


def layout(root: Path) -> ViaLayout:
    """Both places together."""
    return ViaLayout(tuple((root / f"{place}_LABELS.json", root / place) for place in PLACES))


if __name__ == "__main__":
    main()
