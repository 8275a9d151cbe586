"""Photographs of coloured bands with what a detector says of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anymask.data.samples import CocoSamples
from anymask.drawing import jpeg
from anymask.masks import encode, rle_to_json

HEIGHT, WIDTH = 48, 64


@dataclass(frozen=True, slots=True)
class Bands:
    """The files: three images with two bands each, of the categories 0 and 5; the second photograph has no boxes."""

    folder: Path

    @property
    def detections(self) -> Path:
        return self.folder / "boxes.json"

    def open(self) -> CocoSamples:
        return CocoSamples.open(self.folder / "bands.json", self.folder / "photos")

    def edit(self, name: str, change: Callable[[Any], object]) -> None:
        content = json.loads((self.folder / name).read_text())
        change(content)
        (self.folder / name).write_text(json.dumps(content))


@pytest.fixture
def bands(tmp_path: Path) -> Bands:
    images: list[Any] = []
    annotations: list[Any] = []
    boxes: list[Any] = []
    (tmp_path / "photos").mkdir()
    for image, key in enumerate("abc"):
        canvas = np.full((HEIGHT, WIDTH, 3), 60, dtype=np.uint8)
        images.append({"id": image, "height": HEIGHT, "width": WIDTH, "file_name": f"{key}.jpg"})
        for category, x0, x1 in ((0, 0, 32), (5, 32, 64)):
            bitmap = np.zeros((HEIGHT, WIDTH), dtype=bool)
            bitmap[:, x0:x1] = True
            canvas[bitmap] = (200, 20, 20) if category else (20, 20, 200)
            entry = {"image_id": image, "category_id": category, "bbox": [x0, 0, x1 - x0, HEIGHT]}
            annotations.append({"id": len(annotations), "segmentation": rle_to_json(encode(bitmap)), **entry})
            if key != "b":
                boxes.append({"score": 0.9 - 0.1 * image, **entry})
        (tmp_path / "photos" / f"{key}.jpg").write_bytes(jpeg(canvas))
    categories = [{"id": 0, "name": "left"}, {"id": 5, "name": "right"}]
    content = {"images": images, "categories": categories, "annotations": annotations}
    (tmp_path / "bands.json").write_text(json.dumps(content))
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    return Bands(tmp_path)
