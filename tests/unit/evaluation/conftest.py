from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from anymask import masks
from anymask.data.shard_writer import ShardWriter
from anymask.data.shards import ShardSet
from anymask.drawing import jpeg
from anymask.models.sam import Architecture, Sam


@pytest.fixture(scope="session")
def sam() -> Sam:
    torch.manual_seed(0)
    small = Architecture(
        image_size=64, width=32, depth=2, heads=2, global_blocks=(1,), window=2, dim=64, mlp_dim=64, iou_dim=64
    )
    return Sam(small).eval()


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    """Three images with two squares each, one with an empty mask, one with a script for a key; a fourth is broken."""
    folder = tmp_path_factory.mktemp("shards") / "squares"
    with ShardWriter(folder) as writer:
        for number, key in enumerate(["a", "<script>alert(1)</script>", "c"]):
            drawn = [np.zeros((48, 64), dtype=bool) for _ in range(2 + (key == "c"))]
            drawn[0][8:28, 6 : 26 + number] = True
            drawn[1][30:44, 40:60] = True
            image = np.full((48, 64, 3), 90, dtype=np.uint8)
            image[drawn[0]], image[drawn[1]] = (200, 30, 30), (30, 30, 200)
            annotation = {
                "image": {"width": 64, "height": 48},
                "annotations": [
                    {"id": 10 + i, "segmentation": masks.rle_to_json(masks.encode(mask))}
                    for i, mask in enumerate(drawn)
                ],
            }
            files = {"jpg": jpeg(image), "json": json.dumps(annotation).encode()}
            writer.write(key.replace("/", "_"), files, source="manual")
        writer.write("broken", {"jpg": b"no photograph", "json": b"{}"}, source="manual")
    return ShardSet.open(str(folder))


@pytest.fixture
def published(tmp_path: Path) -> Path:
    path = tmp_path / "eval" / "point_to_mask" / "published.json"
    path.parent.mkdir(parents=True)
    row = {
        "model": "SAM & co",
        "dataset": "elsewhere",
        "numbers": {"miou@1": 0.581, "noc@90": 1.88},
        "setup": "other | clicks",
        "source": "a paper",
    }
    path.write_text(json.dumps({"rows": [row]}))
    return tmp_path / "eval"
