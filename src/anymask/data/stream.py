"""Batches from draws: bad samples are passed over and reported, and the loader can go on where it stopped.

Draws ──parse──> Sample ──ToExample──> Example ──collate──> Batch        (in each worker)
TrainLoader.state_dict(): batches given so far and draws of each slot    (in the checkpoint)
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from anymask import masks
from anymask.data.collate import collate
from anymask.data.mixture import Draws, Mixture, seeded
from anymask.data.records import BadSample, RawSample, parse
from anymask.data.shards import ShardSet, read_all
from anymask.data.transforms import ToExample
from anymask.errors import UserError
from anymask.structures import Batch, Sample, Skipped, Source

__all__ = ["TrainBatches", "TrainLoader", "read_samples"]

FEW_SAMPLES = 20
"""Below this many draws the share of bad ones says nothing yet."""


class TrainBatches(IterableDataset["Batch | UserError"]):
    """The endless batches of one rank; in a worker, of one slot. A user's mistake is handed on to be raised there."""

    def __init__(
        self,
        mixture: Mixture,
        transform: ToExample,
        *,
        images: int,
        seed: int,
        rank: int,
        world: int,
        workers: int,
        shuffle_buffer: int,
        max_bad_share: float,
    ) -> None:
        super().__init__()
        self.mixture = mixture
        self.transform = transform
        self.images = images
        self.seed = seed
        self.rank, self.world, self.workers = rank, world, max(1, workers)
        self.shuffle_buffer = shuffle_buffer
        self.max_bad_share = max_bad_share
        self.given = 0  # batches of this rank that were given before
        self.drawn = [0] * self.workers  # draws of each worker's slot that went into them

    def __iter__(self) -> Iterator[Batch | UserError]:
        info = get_worker_info()
        # The loader asks its workers in turn, the first one first: the turn goes on where it stopped.
        turn = ((info.id if info else 0) + self.given) % self.workers
        slot = self.rank * self.workers + turn
        draws = Draws(
            self.mixture, seed=self.seed, slot=slot, slots=self.world * self.workers, buffer=self.shuffle_buffer
        )
        try:
            draws.skip(self.drawn[turn])
            yield from self._batches(draws, slot)
        except UserError as error:
            yield error

    def _batches(self, draws: Draws, slot: int) -> Iterator[Batch]:
        examples, skipped, bad, good = [], [], 0, 0
        for part, record in draws:
            try:
                if isinstance(record, Skipped):
                    raise BadSample(record.reason)
                sample = parse(record, part.default_source)
                examples.append(self.transform(sample, seeded("sample", self.seed, slot, draws.number)))
                good += 1
            except BadSample as error:
                bad += 1
                skipped.append(Skipped(record.shard, record.key, str(error)))
                self._refuse_too_many(bad, good, skipped)
            if len(examples) == self.images:
                yield collate(examples, skipped=skipped, drawn=draws.number)
                examples, skipped = [], []

    def _refuse_too_many(self, bad: int, good: int, skipped: list[Skipped]) -> None:
        if bad + good >= FEW_SAMPLES and bad > self.max_bad_share * (bad + good):
            last = skipped[-1]
            raise UserError(
                f"{bad} of {bad + good} samples cannot be used, "
                f"more than data.loading.max_bad_share={self.max_bad_share}; "
                f"the last is {last.key} in {last.shard}: {last.reason}"
            )


class TrainLoader(DataLoader[Any]):
    """A loader of ``length`` batches in all that knows where it is; what it gave is what a checkpoint remembers.

    The state belongs to a number of ranks and workers, and is refused with another.
    """

    def __init__(self, batches: TrainBatches, *, length: int, workers: int, pin_memory: bool) -> None:
        super().__init__(
            batches,
            batch_size=None,
            num_workers=workers,
            pin_memory=pin_memory,
            generator=torch.Generator(),  # else the loader draws from the generator whose state a checkpoint keeps
            worker_init_fn=_be_a_worker,
            prefetch_factor=2 if workers else None,
        )
        self.batches = batches
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        batches = super().__iter__()
        while self.batches.given < self.length:
            batch = next(batches)
            if isinstance(batch, UserError):
                raise batch
            self.batches.drawn[self.batches.given % self.batches.workers] = batch.drawn
            self.batches.given += 1
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """Plain numbers; with several ranks, of all of them, so that it matters not which one writes them down."""
        drawn = [self.batches.drawn]
        if self.batches.world > 1:
            drawn = [[] for _ in range(self.batches.world)]
            torch.distributed.all_gather_object(drawn, self.batches.drawn)
        return {"given": self.batches.given, "drawn": [list(of_rank) for of_rank in drawn]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        drawn = state["drawn"]
        if len(drawn) != self.batches.world or len(drawn[0]) != self.batches.workers:
            raise UserError(
                f"the checkpoint was written by {len(drawn)} processes with {len(drawn[0])} loader workers each, this "
                f"run has {self.batches.world} with {self.batches.workers}: set data.loading.workers={len(drawn[0])}"
            )
        self.batches.given = state["given"]
        self.batches.drawn = list(drawn[self.batches.rank])


class HeldOutSamples(IterableDataset[Sample | Skipped]):
    """The samples of a shard set in their order, each once, dealt to the ranks; for validation and evaluation."""

    def __init__(self, shards: ShardSet, *, limit: int | None = None, rank: int = 0, world: int = 1) -> None:
        super().__init__()
        self.shards, self.limit, self.rank, self.world = shards, limit, rank, world

    def __iter__(self) -> Iterator[Sample | Skipped]:
        info = get_worker_info()
        workers, worker = (info.num_workers, info.id) if info else (1, 0)
        first, step = self.rank * workers + worker, self.world * workers
        for index, record in enumerate(read_all(self.shards)):
            if self.limit is not None and index >= self.limit:
                return
            if index % step == first:
                yield _parsed(record, self.shards.default_source)


def read_samples(
    shards: ShardSet, *, limit: int | None = None, workers: int = 0, rank: int = 0, world: int = 1
) -> Iterator[Sample | Skipped]:
    """A shard set in its order, every ``world``-th sample from ``rank`` on, decoded by ``workers`` processes."""
    samples = HeldOutSamples(shards, limit=limit, rank=rank, world=world)
    loader = DataLoader(
        samples, batch_size=None, num_workers=workers, generator=torch.Generator(), worker_init_fn=_be_a_worker
    )
    return iter(loader)


def _parsed(record: RawSample | Skipped, default: Source) -> Sample | Skipped:
    """With every mask checked: here all of them will be decoded, and where one is damaged the sample is skipped."""
    if isinstance(record, Skipped):
        return record
    try:
        sample = parse(record, default)
        for rle in (*sample.masks, *filter(None, sample.ignore)):
            masks.runs(rle)
    except ValueError as error:  # a BadSample is one
        return Skipped(record.shard, record.key, str(error))
    return sample


def _be_a_worker(_: int) -> None:
    """One thread; an interrupt, which a terminal sends to every process, is answered by the main one."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
