"""Write the Penn-Fudan pedestrians, a PNG of numbered people for each photograph, as a COCO instances file.

    python data/pennfudan/prepare.py --images PNGImages --masks PedMasks --out data/pennfudan/pennfudan.json

For instance segmentation from a detector's boxes, which reads the photographs where they are. The images' ids are their
places in the whole data set, from 0: FudanPed00001 to 74 come before PennPed00001 to 96. "person" has the id 0.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from anymask.atomic import write_atomically
from anymask.data.folders import files_by_stem, pair
from anymask.data.packing import annotation
from anymask.errors import UserError
from anymask.masks import encode

BEFORE = {"FudanPed": 0, "PennPed": 74}
"""Photographs that come before those of this kind."""


def main() -> None:
    """Write, and say what was written."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--images", type=Path, required=True, help="folder of the photographs")
    parser.add_argument("--masks", type=Path, required=True, help="folder of the masks, NAME_mask.png")
    parser.add_argument("--out", type=Path, required=True, help="the file to be written")
    parser.add_argument("--expect-images", type=int, help="refuse any other number of photographs")
    parser.add_argument("--expect-masks", type=int, help="refuse any other number of people")
    arguments = parser.parse_args()
    try:
        content = read(arguments.images, arguments.masks)
        found = (len(content["images"]), len(content["annotations"]))
        check_numbers(found, (arguments.expect_images, arguments.expect_masks))
    except UserError as error:
        parser.exit(2, f"{error}\n")
    write_atomically(arguments.out, lambda part: part.write_text(json.dumps(content) + "\n"))
    print(f"{arguments.out}: {found[0]} photographs, {found[1]} people")


def read(images: Path, masks: Path) -> dict[str, Any]:
    """All of the file."""
    of_masks = {stem.removesuffix("_mask"): file for stem, file in files_by_stem(masks, ".png").items()}
    content: dict[str, Any] = {"images": [], "categories": [{"id": 0, "name": "person"}], "annotations": []}
    for photograph, mask in pair(files_by_stem(images, ".png"), of_masks).values():
        labels = read_labels(mask)
        number, (height, width) = id_of(photograph), labels.shape
        content["images"].append({"id": number, "file_name": photograph.name, "height": height, "width": width})
        for label in range(1, int(labels.max()) + 1):
            entry = annotation(len(content["annotations"]) + 1, encode(labels == label))
            content["annotations"].append(entry | {"image_id": number, "category_id": 0, "iscrowd": 0})
    return content


def read_labels(path: Path) -> UInt8[np.ndarray, "h w"]:
    """0 is nobody, the people are 1, 2, … without a gap."""
    labels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_GRAYSCALE) if path.stat().st_size else None
    if labels is None:
        raise UserError(f"{path} is not a picture that can be read")
    people = np.unique(labels[labels > 0])
    if len(people) == 0 or len(people) < people[-1]:
        raise UserError(f"{path} has the labels {people.tolist()}; people are 1, 2, … without a gap")
    return np.asarray(labels)


def id_of(photograph: Path) -> int:
    """The place in the whole data set, from 0."""
    named = re.fullmatch(r"(FudanPed|PennPed)(\d{5})", photograph.stem)
    if named is None:
        raise UserError(f"{photograph} is not named like FudanPed00001.png or PennPed00001.png")
    return BEFORE[named[1]] + int(named[2]) - 1


def check_numbers(found: tuple[int, int], expected: tuple[int | None, int | None]) -> None:
    """Raises UserError where another number was expected."""
    for what, number, wanted in zip(("photographs", "people"), found, expected, strict=True):
        if wanted is not None and number != wanted:
            raise UserError(f"there are {number} {what}, {wanted} were expected")


if __name__ == "__main__":
    main()
