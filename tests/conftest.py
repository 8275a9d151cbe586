"""Small shards of simple scenes, drawn anew for each test."""

from __future__ import annotations

import json
import resource
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg
import torch
from hypothesis import settings

from anymask.data.shard_writer import ShardWriter
from anymask.masks import encode, rle_to_json
from anymask.structures import Source

HEIGHT, WIDTH = 48, 64

settings.register_profile("anymask", deadline=None)  # machines of CI are slow at times
settings.load_profile("anymask")
torch.set_num_threads(1)  # models so small gain nothing from more, and wait long for a core that others use


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of a file stay in one process, as they share what is dear to make; those on SLURM share a cluster."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group("slurm" if "slurm" in item.keywords else str(item.path)))


def _shapes(chance: np.random.Generator) -> list[np.ndarray[Any, np.dtype[np.bool_]]]:
    """A rectangle, an ellipse inside it and up to two shapes elsewhere, all inside the photograph."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    top, left = chance.integers(2, 12, 2)
    box = (y >= top) & (y < top + 20) & (x >= left) & (x < left + 30)
    inner = ((y - top - 10) / 7) ** 2 + ((x - left - 15) / 10) ** 2 < 1
    apart = [(y > 34 + k) & (y < 46) & (x > 4 + 30 * k) & (x < 24 + 30 * k) for k in range(chance.integers(0, 3))]
    return [box, inner, *apart]


def draw_scene(number: int, source: Source | None = "manual") -> dict[str, bytes]:
    """The files of a scene of 48 x 64 pixels with 2 to 4 masks."""
    chance = np.random.default_rng(number)
    canvas = chance.integers(0, 60, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    annotations = []
    for index, shape in enumerate(_shapes(chance)):
        canvas[shape] = chance.integers(60, 256, 3)
        rows, columns = np.nonzero(shape)
        x, y = int(columns.min()), int(rows.min())
        box = [x, y, int(columns.max()) - x + 1, int(rows.max()) - y + 1]
        annotations.append({"id": 10 * number + index, "segmentation": rle_to_json(encode(shape)), "bbox": box})
    image = {"image_id": number, "width": WIDTH, "height": HEIGHT, "file_name": f"sa_{number}.jpg"}
    record = {"image": image, "annotations": annotations} | ({} if source is None else {"source": source})
    return {"jpg": simplejpeg.encode_jpeg(canvas, colorspace="RGB"), "json": json.dumps(record).encode()}


@pytest.fixture
def draw_record() -> Callable[..., dict[str, bytes]]:
    """``draw_record(number, source="manual")``: the files of a scene of 48 x 64 pixels with 2 to 4 masks."""
    return draw_scene


@pytest.fixture
def write_shards(tmp_path: Path) -> Callable[..., Path]:
    """``write_shards(sources, name="shards", samples_per_shard=1000)``: scene i under the key sa_i, of sources[i]."""

    def write(sources: Sequence[Source], *, name: str = "shards", samples_per_shard: int = 1000) -> Path:
        with ShardWriter(tmp_path / name, samples_per_shard=samples_per_shard) as writer:
            for number, source in enumerate(sources):
                writer.write(f"sa_{number}", draw_scene(number, source), source=source)
        return tmp_path / name

    return write


@pytest.fixture
def tiny_shards(write_shards: Callable[..., Path]) -> Path:
    """Eight scenes in three shards: two manual ones, six automatic ones."""
    sources: list[Source] = ["manual", *["automatic"] * 3, "manual", *["automatic"] * 3]  # type: ignore[list-item]
    return write_shards(sources, name="tiny", samples_per_shard=4)


@pytest.fixture
def small_disk() -> Iterator[Callable[[int], None]]:
    """``small_disk(size)``: no file can become larger than ``size`` bytes, until the test ends."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
