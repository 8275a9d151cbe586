"""Batches from the order of samples: bad ones are passed over and reported, and the loader goes on where it stopped.

Order ──Dealing──> record ──parse──> Sample ──ToExample──> Example ──collate──> Batch        (in each worker)
TrainLoader.state_dict(): how much of the order was taken                                    (in the checkpoint)
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Thread
from typing import Any

import torch
import torch.distributed
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from anymask import masks
from anymask.data.collate import collate
from anymask.data.dealing import Crew, Dealing
from anymask.data.mixture import Draw, Mixture, Order, seeded
from anymask.data.records import BadSample, RawSample, parse
from anymask.data.shards import Records, ShardSet
from anymask.data.storage import is_remote
from anymask.data.transforms import ToExample
from anymask.errors import UserError
from anymask.structures import Batch, Sample, Skipped, Source

__all__ = ["TrainBatches", "TrainLoader", "read_samples"]

FETCHED_AHEAD = 8
"""Records that a worker asks a server for at once: an answer takes longer than decoding what it brings."""
LAST_STEP = 60
"""Seconds that a worker lives after SIGTERM, while the main process ends its step."""
FEW_SAMPLES = 20
"""Below this many draws the share of bad ones says nothing yet."""


class TrainBatches(IterableDataset["Batch | UserError"]):
    """The endless batches of one rank; in a worker, of that one. A user's mistake is handed on to be raised there."""

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
        max_bad_share: float,
    ) -> None:
        super().__init__()
        self.mixture = mixture
        self.transform = transform
        self.seed = seed
        self.rank = rank
        self.max_bad_share = max_bad_share
        self.dealing = Dealing(Crew(world, max(1, workers), images))
        self.records = [part.records() for part in mixture.parts]

    def __iter__(self) -> Iterator[Batch | UserError]:
        info = get_worker_info()
        # The loader asks its workers in turn, the first one first: the turn goes on where it stopped.
        worker = ((info.id if info else 0) + self.dealing.batches) % self.dealing.crew.workers
        try:
            yield from self._batches(worker)
        except UserError as error:
            yield error

    def _batches(self, worker: int) -> Iterator[Batch]:
        examples, skipped, bad, good, taken = [], [], 0, 0, self.dealing.taken[self.rank][worker]
        for draw, record in self._records(worker):
            taken += 1
            try:
                if isinstance(record, Skipped):
                    raise BadSample(record.reason)
                sample = parse(record, self.mixture.parts[draw.part].default_source)
                examples.append(self.transform(sample, seeded("sample", self.seed, draw.number)))
                good += 1
            except BadSample as error:
                bad += 1
                skipped.append(Skipped(record.shard, record.key, str(error)))
                self._refuse_too_many(bad, good, skipped)
            if len(examples) == self.dealing.crew.images:
                yield collate(examples, skipped=skipped, drawn=taken)
                examples, skipped = [], []

    def _records(self, worker: int) -> Iterator[tuple[Draw, RawSample | Skipped]]:
        """What a worker reads; while one record is decoded, the next ones are fetched where they come from a server."""
        order = Order(self.mixture, seed=self.seed)
        draws = map(order.draw, self.dealing.draws(self.rank, worker))
        if not any(is_remote(shard.url) for part in self.mixture.parts for shard in part.shards):
            yield from ((draw, self.records[draw.part].read(draw.record)) for draw in draws)
        with ThreadPoolExecutor(FETCHED_AHEAD) as pool:
            waiting: deque[tuple[Draw, Future[RawSample | Skipped]]] = deque()
            for draw in draws:
                waiting.append((draw, pool.submit(self.records[draw.part].read, draw.record)))
                if len(waiting) > FETCHED_AHEAD:
                    first, record = waiting.popleft()
                    yield first, record.result()

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

    With as many ranks, workers and images in a batch as before it goes on to the bit, with others at the same place of
    the order: no sample is lost and none seen twice.
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
        self.given = 0  # batches of this rank, over all stops

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        with _signals_held_back():
            batches = super().__iter__()
        dealing = self.batches.dealing
        try:
            while self.given < self.length:
                batch = next(batches)
                if isinstance(batch, UserError):
                    raise batch
                dealing.taken[self.batches.rank][dealing.batches % dealing.crew.workers] = batch.drawn
                dealing.batches += 1
                self.given += 1
                yield batch
        finally:
            del batches  # and its workers: an error that somebody keeps would keep this frame, and them

    def state_dict(self) -> dict[str, Any]:
        """Plain numbers; with several ranks, of all of them, so that it matters not which one writes them down."""
        dealing = self.batches.dealing
        if dealing.crew.world > 1:
            of_ranks: list[list[int]] = [[] for _ in range(dealing.crew.world)]
            torch.distributed.all_gather_object(of_ranks, dealing.taken[self.batches.rank])
            dealing.taken = of_ranks
        return {"given": self.given, "dealing": dealing.as_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Raises UserError for the state of an earlier version's loader."""
        dealing = Dealing.from_state(state.get("dealing", {}))
        self.batches.dealing = dealing.dealt_to(self.batches.dealing.crew)
        self.given = state["given"]


class HeldOutSamples(IterableDataset[Sample | Skipped]):
    """The samples of a shard set in their order, each once, dealt to the ranks; for validation and evaluation."""

    def __init__(self, shards: ShardSet, *, limit: int | None = None, rank: int = 0, world: int = 1) -> None:
        super().__init__()
        self.shards, self.limit, self.rank, self.world = shards, limit, rank, world
        self.records = Records(shards.shards, shards.default_source)

    def __iter__(self) -> Iterator[Sample | Skipped]:
        info = get_worker_info()
        workers, worker = (info.num_workers, info.id) if info else (1, 0)
        first, step = self.rank + worker * self.world, self.world * workers
        for number in range(len(self.records))[: self.limit][first::step]:
            yield _parsed(self.records.read(number), self.shards.default_source)


def read_samples(
    shards: ShardSet, *, limit: int | None = None, workers: int = 0, rank: int = 0, world: int = 1
) -> Iterator[Sample | Skipped]:
    """A shard set in its order, every ``world``-th sample from ``rank`` on, decoded by ``workers`` processes."""
    samples = HeldOutSamples(shards, limit=limit, rank=rank, world=world)
    loader = DataLoader(
        samples, batch_size=None, num_workers=workers, generator=torch.Generator(), worker_init_fn=_be_a_worker
    )
    with _signals_held_back():
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


@contextmanager
def _signals_held_back() -> Iterator[None]:
    """Here, and in processes that are forked meanwhile until they are workers.

    Not in those of a fork server, Python's default from 3.14 on, which begins them with signals of its own.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _be_a_worker(_: int) -> None:
    """One thread; signals, which a terminal and SLURM send to every process, are answered by the main one."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    if sys.platform == "linux":
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM,))
        Thread(target=_answer_sigterm, daemon=True).start()
    else:  # nobody says who sent a signal
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM,))


def _answer_sigterm() -> None:
    """At once where the main process sends it, which is done with the loader; else that has a step to end."""
    main = multiprocessing.parent_process()  # not always the parent that the system knows: a fork server may be
    assert main is not None
    while signal.sigwaitinfo((signal.SIGTERM,)).si_pid != main.pid:
        signal.alarm(LAST_STEP)
    os._exit(0)  # another status would be taken for a worker that failed
