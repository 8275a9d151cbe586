from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from anymask.data.datamodule import HeldOutBatches, Loading, ShardsDataModule
from anymask.data.mixture import Mixture
from anymask.data.shard_writer import ShardWriter
from anymask.data.shards import ShardSet
from anymask.data.transforms import ToExample

Draw = Callable[..., dict[str, bytes]]
TRANSFORM = ToExample(image_size=32, loss_size=16, masks_per_image=1)


@pytest.fixture
def held_out(tmp_path: Path, draw_record: Draw) -> ShardSet:
    """Five scenes; the second is a truncated photograph, the third has only a mask of no pixel."""
    with ShardWriter(tmp_path / "held_out") as writer:
        for number in range(5):
            files = draw_record(number)
            if number == 1:
                files["jpg"] = files["jpg"][:200]
            if number == 2:
                empty = b'{"segmentation": {"size": [48, 64], "counts": [3072]}}'
                files["json"] = b'{"image": {"width": 64, "height": 48}, "annotations": [' + empty + b"]}"
            writer.write(f"sa_{number}", files, source="manual")
    return ShardSet.open(str(tmp_path / "held_out"))


def _module(shards: ShardSet, **loading: Any) -> ShardsDataModule:
    mixture = Mixture.of([shards], oversample={})
    module = ShardsDataModule(mixture, shards, TRANSFORM, Loading(workers=0, **loading), batches=7, seed=0)
    module.trainer = SimpleNamespace(global_rank=0, world_size=1)  # type: ignore[assignment]
    return module


def test_held_out_photographs_come_one_a_batch_with_all_their_masks(held_out: ShardSet) -> None:
    batches = list(HeldOutBatches(held_out, TRANSFORM, limit=10))
    assert [batch.keys for batch in batches] == [("sa_0",), (), (), ("sa_3",), ("sa_4",)]  # nothing for the bad ones
    assert all(len(batch.targets) >= 2 for batch in batches if batch.keys)
    assert all(batch.image_index.tolist() == [0] * len(batch.targets) for batch in batches)


def test_held_out_photographs_are_dealt_to_the_ranks(held_out: ShardSet) -> None:
    """Five records, two of them bad; the second rank gets one without objects for the sixth."""
    dealt = [list(HeldOutBatches(held_out, TRANSFORM, limit=10, rank=rank, world=2)) for rank in range(2)]
    assert [[batch.keys for batch in batches] for batches in dealt] == [[("sa_0",), (), ("sa_4",)], [(), ("sa_3",), ()]]
    empty = dealt[1][2]
    assert (empty.images.shape, len(empty.boxes), empty.targets.shape) == ((1, 3, 32, 32), 0, (0, 16, 16))


def test_validation_sees_the_same_each_time(held_out: ShardSet) -> None:
    loader = _module(held_out, validation_images=4).val_dataloader()
    first, second = (list(loader) for _ in range(2))
    assert [batch.keys for batch in first] == [("sa_0",), (), (), ("sa_3",)]
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.targets, other.targets)


def test_the_training_loader_is_as_long_as_the_run(tiny_shards: Path) -> None:
    batches = list(_module(ShardSet.open(str(tiny_shards)), images_per_batch=3).train_dataloader())
    assert len(batches) == 7
    assert all(len(batch.keys) == 3 for batch in batches)
    assert all(len(batch.targets) == 3 for batch in batches)  # one mask of each photograph
