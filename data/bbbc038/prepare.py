"""Pack BBBC038 (nuclei; the Data Science Bowl 2018), one of the paper's 23 sets.

    python data/bbbc038/prepare.py --images stage1_train --out data/bbbc038/shards

It holds a folder for each photograph: NAME/images/NAME.png and NAME/masks/*.png, a nucleus each. The photographs' alpha
is dropped. The paper took a part of the photographs; with --all every one is packed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import cv2

from anymask.data.folders import files_by_stem
from anymask.data.layouts.mask_pngs import photograph_of_masks
from anymask.data.packing import Photograph, key_of, keyed
from anymask.data.preparing import command_line, prepare
from anymask.data.records import BadSample, decode_image
from anymask.data.sa23 import SA23
from anymask.errors import UserError


def main() -> None:
    """Pack, and say what was packed."""
    parser = command_line(__doc__)
    parser.add_argument("--images", type=Path, required=True, help="folder with a folder for each photograph")
    parser.add_argument("--all", action="store_true", help="not a part with about 10,000 masks, as the paper has it")
    published = None if parser.parse_args().all else SA23["bbbc038"]
    prepare(parser, lambda given: Nuclei(given.images), published=published)


@dataclass(frozen=True, slots=True)
class Nuclei:
    """The folder of the photographs' folders."""

    root: Path

    def items(self) -> Mapping[str, Path]:
        folders = sorted(inner.parent for inner in self.root.glob("*/images"))
        if not folders:
            raise UserError(f"there is no NAME/images/NAME.png in {self.root}")
        return keyed((key_of(folder.name), folder) for folder in folders)

    def read(self, item: Path) -> Photograph:
        """As RGB with its nuclei, numbered by the names of their files."""
        photograph = files_by_stem(item / "images", ".png").get(item.name)
        if photograph is None:
            raise UserError(f"there is no photograph {item.name}.png in {item / 'images'}")
        packed = photograph_of_masks(photograph, list(files_by_stem(item / "masks", ".png").values()))
        try:
            image = decode_image(packed.file)
        except BadSample as error:
            raise UserError(f"{photograph}: {error}") from None
        return replace(packed, file=cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes())


if __name__ == "__main__":
    main()
