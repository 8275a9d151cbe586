"""Examples to a batch: images are stacked, objects are put one after another with the index of their image."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from anymask.structures import Batch, Example, Skipped

__all__ = ["collate", "no_objects"]


def collate(examples: Sequence[Example], *, skipped: Sequence[Skipped] = (), drawn: int = 0) -> Batch:
    """``skipped`` and ``drawn`` are what the stream passed over and had drawn to gather these examples."""
    objects = torch.tensor([len(example.targets) for example in examples])
    return Batch(
        images=torch.stack([example.image for example in examples]),
        sizes=torch.tensor([example.size for example in examples]),
        image_index=torch.arange(len(examples)).repeat_interleave(objects),
        targets=torch.cat([example.targets for example in examples]),
        boxes=torch.cat([example.boxes for example in examples]),
        seeds=torch.cat([example.seeds for example in examples]),
        keys=tuple(example.key for example in examples),
        sources=tuple(example.source for example in examples),
        skipped=tuple(skipped),
        drawn=drawn,
    )


def no_objects(image_size: int, loss_size: int) -> Batch:
    """A black photograph on which nothing is asked."""
    return Batch(
        images=torch.zeros(1, 3, image_size, image_size, dtype=torch.uint8),
        sizes=torch.tensor([[image_size, image_size]]),
        image_index=torch.empty(0, dtype=torch.int64),
        targets=torch.empty(0, loss_size, loss_size, dtype=torch.bool),
        boxes=torch.empty(0, 4),
        seeds=torch.empty(0, dtype=torch.int64),
        keys=(),
        sources=(),
    )
