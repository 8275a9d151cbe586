"""Pack the GrabCut data set, a JPEG and a PNG of 0, 128 and 255 for each photograph, into shards.

    python data/grabcut/prepare.py --images grabcut/images --masks grabcut/masks --out data/grabcut/shards

255 is the object; 128 is its uncertain edge, which an evaluation does not count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from anymask.data.folders import files_by_stem, pair, read_levels
from anymask.data.packing import Photograph, annotation, key_of, keyed
from anymask.data.preparing import command_line, prepare
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
        pairs = pair(files_by_stem(self.images, ".jpg", ".jpeg"), files_by_stem(self.masks, ".png"))
        return keyed((key_of(name), files) for name, files in pairs.items())

    def read(self, item: tuple[Path, Path]) -> Photograph:
        photograph, mask = item
        levels = read_levels(mask, {0, 128, 255})
        entry = annotation(0, encode(levels == 255), ignore=encode(levels == 128))
        about = {"height": levels.shape[0], "width": levels.shape[1]}
        return Photograph(photograph.read_bytes(), about, [entry])


if __name__ == "__main__":
    main()
