from __future__ import annotations

import torch

from anymask.data.collate import collate
from anymask.structures import Example, Skipped


def _example(key: str, objects: int, size: tuple[int, int]) -> Example:
    number = int(key)
    return Example(
        key=key,
        source="manual",
        image=torch.full((3, 8, 8), number, dtype=torch.uint8),
        size=size,
        targets=torch.eye(4, dtype=torch.bool).expand(objects, 4, 4),
        boxes=torch.arange(4.0 * objects).view(objects, 4) + 100 * number,
        seeds=torch.arange(objects) + 10 * number,
    )


def test_images_are_stacked_and_objects_are_put_one_after_another() -> None:
    batch = collate([_example("1", 2, (8, 5)), _example("2", 1, (3, 8)), _example("3", 3, (8, 8))])
    assert batch.images[:, 0, 0, 0].tolist() == [1, 2, 3]
    assert batch.sizes.tolist() == [[8, 5], [3, 8], [8, 8]]
    assert batch.image_index.tolist() == [0, 0, 1, 2, 2, 2]
    assert batch.boxes[:, 0].tolist() == [100, 104, 200, 300, 304, 308]
    assert batch.seeds.tolist() == [10, 11, 20, 30, 31, 32]
    assert batch.targets.shape == (6, 4, 4)
    assert batch.keys == ("1", "2", "3")
    assert batch.sources == ("manual",) * 3
    assert (batch.skipped, batch.drawn) == ((), 0)


def test_a_batch_says_what_was_passed_over_on_its_way() -> None:
    skipped = [Skipped("shard.tar", "9", "there is no mask")]
    batch = collate([_example("1", 1, (8, 8))], skipped=skipped, drawn=12)
    assert batch.skipped == tuple(skipped)
    assert batch.drawn == 12
