"""Pack a COCO instances JSON with its folder of photographs into shards.

    python data/coco/prepare.py --annotations instances_val2017.json --images val2017 --out data/coco/shards

Crowd regions are left out and counted, and so are polygons too small to cover a pixel.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from anymask import masks
from anymask.data.coco import Image, photograph, read_ground_truth
from anymask.data.packing import Photograph, annotation, command_line, pack
from anymask.errors import UserError


def main() -> None:
    """Pack, and say what was packed."""
    parser = command_line(__doc__)
    parser.add_argument("--annotations", type=Path, required=True, help="instances_….json")
    parser.add_argument("--images", type=Path, required=True, help="folder of the photographs")
    arguments = parser.parse_args()
    try:
        expected = (arguments.expect_images, arguments.expect_masks)
        dataset = Dataset(arguments.annotations, arguments.images)
        counts = pack(dataset.images, dataset.read, arguments.out, source="manual", expected=expected)
    except UserError as error:
        parser.exit(2, f"{error}\n")
    left_out = dataset.left_out
    print(f"{arguments.out}: {counts}; left out: {left_out['crowd']} crowd regions, {left_out['empty']} empty masks")


class Dataset:
    """The ground truth, by photograph."""

    def __init__(self, path: Path, folder: Path) -> None:
        """Raises UserError for what is not COCO's form."""
        self.folder = folder
        self.left_out = Counter[str]()
        self._truth = read_ground_truth(path)
        self.images = sorted(self._truth.images.values(), key=lambda image: image.file_name)

    def read(self, image: Image) -> Photograph:
        """A photograph with all its masks but the crowds."""
        file = photograph(self.folder, image)
        entries = []
        for entry in self._truth.annotations[image.id]:
            if entry.crowd or not masks.area(masks.runs(entry.mask)):
                self.left_out["crowd" if entry.crowd else "empty"] += 1
            else:
                entries.append(annotation(entry.id, entry.mask))
        height, width = image.size
        about = {"image_id": image.id, "height": height, "width": width, "file_name": image.file_name}
        return Photograph(file.stem, file.read_bytes(), about, entries)


if __name__ == "__main__":
    main()
