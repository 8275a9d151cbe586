"""Pack the GrabCut data set, a photograph and a picture of 0, 128 and 255 for each of its 50 objects, into shards.

    python data/grabcut/prepare.py --images grabcut/data_GT --masks grabcut/boundary_GT --out data/grabcut/shards

255 is the object; 128 is its uncertain edge, which an evaluation does not count. BMP photographs become PNG.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2

from anymask.data.folders import files_by_stem, pair, read_levels
from anymask.data.packing import Photograph, annotation, key_of, keyed
from anymask.data.preparing import command_line, prepare
from anymask.errors import UserError
from anymask.masks import encode


def main() -> None:
    """Pack, and say what was packed."""
    parser = command_line(__doc__)
    parser.add_argument("--images", type=Path, required=True, help="folder of the photographs")
    parser.add_argument("--masks", type=Path, required=True, help="folder of the masks, named like the photographs")
    prepare(parser, lambda given: GrabCut(given.images, given.masks))


@dataclass(frozen=True, slots=True)
class GrabCut:
    """Folders of photographs and of masks."""

    images: Path
    masks: Path

    def items(self) -> Mapping[str, tuple[Path, Path]]:
        pairs = pair(
            files_by_stem(self.images, ".jpg", ".jpeg", ".png", ".bmp"), files_by_stem(self.masks, ".png", ".bmp")
        )
        return keyed((key_of(name), files) for name, files in pairs.items())

    def read(self, item: tuple[Path, Path]) -> Photograph:
        photograph, mask = item
        levels = read_levels(mask, {0, 128, 255})
        entry = annotation(0, encode(levels == 255), ignore=encode(levels == 128))
        about = {"height": levels.shape[0], "width": levels.shape[1]}
        return Photograph(_as_jpeg_or_png(photograph), about, [entry])


def _as_jpeg_or_png(photograph: Path) -> bytes:
    if photograph.suffix.lower() != ".bmp":
        return photograph.read_bytes()
    image = cv2.imread(str(photograph))
    if image is None:
        raise UserError(f"{photograph} is not a picture that can be read")
    return cv2.imencode(".png", image)[1].tobytes()


if __name__ == "__main__":
    main()
