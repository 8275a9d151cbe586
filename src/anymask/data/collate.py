"""Examples to a batch: images are stacked, objects are put one after another with the index of their image."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from anymask.structures import Batch, Example, Skipped

__all__ = ["collate"]


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
