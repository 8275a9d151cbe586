from __future__ import annotations

import json
from typing import Any

import cv2
import numpy as np
import pytest

from anymask.data.samples import CocoSamples
from anymask.drawing import jpeg
from anymask.masks import encode, rle_to_json
from anymask.models.sam import Sam
from tests.parity.lively import lively

SIZES = [(90, 150), (150, 90), (120, 120), (60, 100)]


@pytest.fixture(scope="session")
def lively_sam() -> Sam:
    """Its masks differ from point to point."""
    return lively()


@pytest.fixture(scope="session")
def lvis(tmp_path_factory: pytest.TempPathFactory) -> CocoSamples:
    """Four photographs as LVIS has them, the last without objects; annotated areas that are not the masks', a crowd."""
    chance = np.random.default_rng(3)
    folder = tmp_path_factory.mktemp("lvis")
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, (height, width) in enumerate(SIZES, start=1):
        image = cv2.resize(chance.integers(0, 256, (6, 9, 3), dtype=np.uint8), (width, height))
        images.append({"id": 10 * number, "height": height, "width": width, "file_name": f"photo{number}.jpg"})
        for place in range(12 if number < len(SIZES) else 0):
            mask = np.zeros((height, width), dtype=np.uint8)
            centre = chance.integers(0, width).item(), chance.integers(0, height).item()
            cv2.circle(mask, centre, int(chance.integers(4, 40)), 1, -1)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": 10 * number,
                    "category_id": 1 + place % 4,
                    "segmentation": rle_to_json(encode(mask.astype(bool))),
                    "area": float(chance.choice([200.0, 1024.0, 5000.0, 9216.0, 20000.0])),
                    "iscrowd": int(place == 7),
                }
            )
        (folder / f"photo{number}.jpg").write_bytes(jpeg(image))
    categories = [{"id": 1 + place, "name": letter, "frequency": letter} for place, letter in enumerate("rccf")]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "truth.json").write_text(json.dumps(content))
    return CocoSamples.open(folder / "truth.json", folder)
