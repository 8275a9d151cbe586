"""What the mutations begin with: records as SA-1B has them, and a small file of COCO's form."""

from __future__ import annotations

import io
import json
import random
from functools import cache
from typing import Any

import numpy as np
import PIL.Image
from pycocotools import mask as coco_mask

HEIGHT, WIDTH = 48, 64


@cache
def photograph(number: int) -> bytes:
    chance = np.random.default_rng(number)
    pixels = np.repeat(np.repeat(chance.integers(0, 256, (6, 8, 3), dtype=np.uint8), 8, axis=0), 8, axis=1)
    return saved(PIL.Image.fromarray(pixels), "JPEG")


def annotation(number: int) -> dict[str, Any]:
    """Three masks in SA-1B's form, one of them with its runs as a list."""
    entries = [entry_of(number * 10 + i) for i in range(3)]
    entries[2]["segmentation"] = {"size": [HEIGHT, WIDTH], "counts": [100, 30, HEIGHT * WIDTH - 130]}
    image = {"image_id": number, "width": WIDTH, "height": HEIGHT, "file_name": f"sa_{number}.jpg"}
    return {"image": image, "source": "manual", "annotations": entries}


def entry_of(number: int) -> dict[str, Any]:
    """A rectangle with a hole; ``number`` is its id and says where it lies."""
    chance = random.Random(number)
    bitmap = np.zeros((HEIGHT, WIDTH), dtype=np.uint8, order="F")
    top, left = chance.randrange(30), chance.randrange(40)
    bitmap[top : top + 12, left : left + 20] = 1
    bitmap[top + 3 : top + 6, left + 4 : left + 9] = 0
    counts = coco_mask.encode(bitmap)["counts"].decode()
    return {"id": number, "segmentation": {"size": [HEIGHT, WIDTH], "counts": counts}, "bbox": [left, top, 20, 12]}


def record(number: int) -> dict[str, bytes]:
    return {"jpg": photograph(number), "json": json.dumps(annotation(number)).encode()}


def instances(segmentation: Any = None) -> dict[str, Any]:
    """A small file of COCO's form; its first mask may be another one."""
    polygon = [[5.5, 4, 40, 6, 30, 40.25], [1, 1, 4, 1, 4, 4]]
    crowd = {"size": [HEIGHT, WIDTH], "counts": [100, 30, HEIGHT * WIDTH - 130]}
    masks = [segmentation or polygon, entry_of(1)["segmentation"], crowd]
    return {
        "images": [{"id": 7, "height": HEIGHT, "width": WIDTH, "file_name": "a.jpg"}],
        "annotations": [
            {"id": i, "image_id": 7, "category_id": 3, "segmentation": mask, "iscrowd": int(i == 2)}
            | ({"area": 12.5, "bbox": [1, 2, 3, 4]} if i == 1 else {})
            for i, mask in enumerate(masks)
        ],
        "categories": [{"id": 3, "name": "thing", "frequency": "r"}],
    }


def saved(image: PIL.Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()
