"""Pack the Berkeley set of interactive segmentation: 100 objects on 96 photographs (McGuinness and O'Connor 2010).

    python data/berkeley/prepare.py --images Berkeley/images --masks Berkeley/masks --out data/berkeley/shards

A photograph is NAME.jpg, its objects are NAME#1.png, NAME#2.png and so on, or NAME.png where there is one. Where a
photograph of several objects is there once for each, as NAME#1.jpg and so on, 100 photographs are packed.
"""

from __future__ import annotations

from pathlib import Path

from anymask.data.layouts.mask_pngs import MaskPngs
from anymask.data.preparing import command_line, prepare


def main() -> None:
    """Pack, and say what was packed."""
    parser = command_line(__doc__)
    parser.add_argument("--images", type=Path, required=True, help="folder of the photographs")
    parser.add_argument("--masks", type=Path, required=True, help="folder of the masks")
    prepare(parser, lambda given: MaskPngs.of_folders(given.images, given.masks, separator="#"))


if __name__ == "__main__":
    main()
