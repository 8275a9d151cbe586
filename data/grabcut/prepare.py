"""Pack the GrabCut data set, a JPEG and a PNG of 0, 128 and 255 for each photograph, into shards.

    python data/grabcut/prepare.py --images grabcut/images --masks grabcut/masks --out data/grabcut/shards

255 is the object; 128 is its uncertain edge, which an evaluation does not count.
"""

from __future__ import annotations

from pathlib import Path

from anymask.data.packing import Photograph, annotation, command_line, files_by_stem, pack, pair, read_levels
from anymask.errors import UserError
from anymask.masks import encode


def main() -> None:
    """Pack, and say what was packed."""
    parser = command_line(__doc__)
    parser.add_argument("--images", type=Path, required=True, help="folder of the photographs")
    parser.add_argument("--masks", type=Path, required=True, help="folder of the masks, named like the photographs")
    arguments = parser.parse_args()
    try:
        pairs = pair(files_by_stem(arguments.images, ".jpg", ".jpeg"), files_by_stem(arguments.masks, ".png"))
        expected = (arguments.expect_images, arguments.expect_masks)
        counts = pack(pairs, read, arguments.out, source="manual", expected=expected)
    except UserError as error:
        parser.exit(2, f"{error}\n")
    print(f"{arguments.out}: {counts}")


def read(files: tuple[Path, Path]) -> Photograph:
    """A photograph with its one mask, and what of it is not to be counted."""
    photograph, mask = files
    levels = read_levels(mask, {0, 128, 255})
    entry = annotation(0, encode(levels == 255), ignore=encode(levels == 128))
    about = {"height": levels.shape[0], "width": levels.shape[1]}
    return Photograph(photograph.stem, photograph.read_bytes(), about, [entry])


if __name__ == "__main__":
    main()
