"""Pack a folder of the Data Science Bowl 2018 (BBBC038), with one PNG per nucleus, into shards.

    python data/dsb2018/prepare.py --images stage1_train --out data/dsb2018/shards

It holds a folder for each photograph: NAME/images/NAME.png and NAME/masks/*.png. The photographs' alpha is dropped.
"""

from __future__ import annotations

from pathlib import Path

import cv2

from anymask.data.packing import Photograph, annotation, command_line, files_by_stem, pack, read_levels
from anymask.data.records import BadSample, decode_image
from anymask.errors import UserError
from anymask.masks import encode


def main() -> None:
    """Pack, and say what was packed."""
    parser = command_line(__doc__)
    parser.add_argument("--images", type=Path, required=True, help="folder with a folder for each photograph")
    arguments = parser.parse_args()
    try:
        expected = (arguments.expect_images, arguments.expect_masks)
        counts = pack(list_folders(arguments.images), read, arguments.out, source="manual", expected=expected)
    except UserError as error:
        parser.exit(2, f"{error}\n")
    print(f"{arguments.out}: {counts}")


def list_folders(folder: Path) -> list[Path]:
    """One for each photograph."""
    folders = sorted(inner.parent for inner in folder.glob("*/images"))
    if not folders:
        raise UserError(f"there is no NAME/images/NAME.png in {folder}")
    return folders


def read(folder: Path) -> Photograph:
    """A photograph as RGB with its nuclei, numbered by the names of their files."""
    photograph = files_by_stem(folder / "images", ".png").get(folder.name)
    if photograph is None:
        raise UserError(f"there is no photograph {folder.name}.png in {folder / 'images'}")
    try:
        image = decode_image(photograph.read_bytes())
    except BadSample as error:
        raise UserError(f"{photograph}: {error}") from None
    nuclei = files_by_stem(folder / "masks", ".png").values()
    entries = [annotation(number, encode(read_levels(nucleus, {0, 255}) > 0)) for number, nucleus in enumerate(nuclei)]
    file = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()
    return Photograph(folder.name, file, {"height": image.shape[0], "width": image.shape[1]}, entries)


if __name__ == "__main__":
    main()
