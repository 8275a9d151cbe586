"""Pack a folder of SA-1B pairs, sa_N.jpg with sa_N.json, into shards.

    python data/sa1b/prepare.py --images sa_mini --source manual --held-out 0.1 --out data/sa_mini/shards

SA-1B's own tars need no packing: they are read as they are. `anymask-shards index FOLDER` writes down once what is in
them, `anymask-shards verify FOLDER` reads them all.
"""

from __future__ import annotations

from pathlib import Path

from anymask.data.layouts.sa1b import Sa1bPairs
from anymask.data.preparing import command_line, prepare
from anymask.structures import SOURCES


def main() -> None:
    """Pack, and say what was packed."""
    parser = command_line(__doc__)
    parser.add_argument("--images", type=Path, required=True, help="folder of the pairs")
    parser.add_argument("--source", choices=SOURCES, required=True, help="where the masks come from (SAM, section 4)")
    parser.add_argument("--held-out", type=float, metavar="SHARE", help="share of photographs for OUT/held_out")
    prepare(parser, lambda given: Sa1bPairs(given.images))


if __name__ == "__main__":
    main()
