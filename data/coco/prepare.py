"""Pack a COCO instances JSON with its folder of photographs into shards.

    python data/coco/prepare.py --annotations instances_val2017.json --images val2017 --out data/coco/shards

Crowd regions are left out and counted, and so are polygons too small to cover a pixel.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from pycocotools import mask as coco_mask

from anymask import masks
from anymask.data.packing import Photograph, annotation, command_line, pack
from anymask.errors import UserError
from anymask.structures import Rle


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
    """The JSON, by photograph."""

    def __init__(self, path: Path, folder: Path) -> None:
        """Raises UserError for what is not COCO's form, and for annotations of photographs that are not listed."""
        self.folder = folder
        self.left_out = Counter[str]()
        self._by_image = defaultdict(list)
        try:
            content = json.loads(path.read_bytes())
            self.images = sorted(content["images"], key=lambda image: image["file_name"])
            known = {image["id"] for image in self.images}
            for entry in content["annotations"]:
                self._by_image[entry["image_id"]].append(entry)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path} is not a COCO instances file: {error!r}") from None
        strangers = self._by_image.keys() - known
        if strangers:
            raise UserError(f"{path} annotates the image {min(strangers)}, which it does not list")

    def read(self, image: dict[str, Any]) -> Photograph:
        """A photograph with all its masks but the crowds."""
        file = self.folder / image["file_name"]
        if not file.is_file():
            raise UserError(f"there is no photograph {file}")
        size = (image["height"], image["width"])
        entries = []
        for entry in self._by_image[image["id"]]:
            rle = None if entry.get("iscrowd") else mask_of(entry, size)
            if rle is not None and masks.area(masks.runs(rle)):
                entries.append(annotation(entry["id"], rle))
            else:
                self.left_out["crowd" if entry.get("iscrowd") else "empty"] += 1
        about = {"image_id": image["id"], "height": size[0], "width": size[1], "file_name": image["file_name"]}
        return Photograph(file.stem, file.read_bytes(), about, entries)


def mask_of(entry: dict[str, Any], size: tuple[int, int]) -> Rle | None:
    """A list of polygons, one for each part of the object, or run lengths; None where no polygon has three corners."""
    segmentation = entry["segmentation"]
    try:
        if isinstance(segmentation, dict):
            return masks.rle_from_json(segmentation, size)
        if any(len(polygon) % 2 for polygon in segmentation):
            raise ValueError("a polygon has an odd number of coordinates")
        polygons = [polygon for polygon in segmentation if len(polygon) >= 6]
        return from_polygons(polygons, size) if polygons else None
    except (ValueError, TypeError) as error:
        raise UserError(f"annotation {entry['id']}: {error}") from None


def from_polygons(polygons: list[list[float]], size: tuple[int, int]) -> Rle:
    """The union of the parts, rasterised by pycocotools."""
    merged = coco_mask.merge(coco_mask.frPyObjects(polygons, *size))
    return Rle(size, merged["counts"])


if __name__ == "__main__":
    main()
