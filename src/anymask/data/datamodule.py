"""The loaders of a training run, as Lightning wants them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Annotated

import lightning as L
import torch
from msgspec import Meta
from torch.utils.data import DataLoader, IterableDataset

from anymask.data.augmentation import Augmentation
from anymask.data.collate import collate, no_objects
from anymask.data.mixture import Mixture, seeded
from anymask.data.records import BadSample
from anymask.data.shards import ShardSet
from anymask.data.stream import TrainBatches, TrainLoader, read_samples
from anymask.data.transforms import ToExample
from anymask.structures import Batch, Sample, Skipped

__all__ = ["HeldOutBatches", "Loading", "ShardsDataModule"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Loading:
    """How samples reach the device."""

    images_per_batch: Annotated[int, Meta(ge=1)] = 2
    workers: Annotated[int, Meta(ge=0)] = 2
    max_bad_share: float = 0.05  # of all samples; more of them that cannot be used end the run
    epoch_samples: Annotated[int, Meta(ge=1)] | None = None  # when what was drawn is told; default: all
    validation_images: Annotated[int, Meta(ge=1)] = 40  # the first of the held-out ones


class ShardsDataModule(L.LightningDataModule):
    """``batches`` is the length of the whole run: there are no epochs, and a run goes on inside its only one."""

    def __init__(
        self,
        mixture: Mixture,
        held_out: ShardSet,
        transform: ToExample,
        loading: Loading,
        *,
        batches: int,
        seed: int,
    ) -> None:
        super().__init__()
        self.mixture = mixture
        self.held_out = held_out
        self.transform = transform
        self.loading = loading
        self.batches = batches
        self.seed = seed

    def train_dataloader(self) -> TrainLoader:
        assert self.trainer is not None
        loading = self.loading
        batches = TrainBatches(
            self.mixture,
            self.transform,
            images=loading.images_per_batch,
            seed=self.seed,
            rank=self.trainer.global_rank,
            world=self.trainer.world_size,
            workers=loading.workers,
            max_bad_share=loading.max_bad_share,
        )
        pin_memory = torch.cuda.is_available()
        return TrainLoader(batches, length=self.batches, workers=loading.workers, pin_memory=pin_memory)

    def val_dataloader(self) -> DataLoader[Batch]:
        assert self.trainer is not None
        batches = HeldOutBatches(
            self.held_out,
            self.transform,
            limit=self.loading.validation_images,
            rank=self.trainer.global_rank,
            world=self.trainer.world_size,
        )
        return DataLoader(batches, batch_size=None, generator=torch.Generator())


class HeldOutBatches(IterableDataset[Batch]):
    """The first held-out photographs, one a batch, always with the same masks and as it is, dealt to the ranks.

    Every rank has as many batches, since a sharded model needs all of them at once: one without objects stands for a
    bad sample, and fills up the last deal.
    """

    def __init__(self, shards: ShardSet, transform: ToExample, *, limit: int, rank: int = 0, world: int = 1) -> None:
        super().__init__()
        self.shards, self.limit = shards, limit
        self.rank, self.world = rank, world
        self.transform = replace(transform, masks_per_image=100, augmentation=Augmentation())

    def __iter__(self) -> Iterator[Batch]:
        samples = read_samples(self.shards, limit=self.limit, rank=self.rank, world=self.world)
        total = min(self.limit, sum(shard.total for shard in self.shards.shards))
        for _ in range(-(-total // self.world)):
            yield self._batch(next(samples, None))

    def _batch(self, sample: Sample | Skipped | None) -> Batch:
        with suppress(BadSample):
            if isinstance(sample, Sample):
                return collate([self.transform(sample, seeded("held out", sample.key))])
        return no_objects(self.transform.image_size, self.transform.loss_size)
