"""The endless order of training samples: a weighted mixture of shuffled streams, the same for the same seed.

    shard sets ──one stream per set and source──> draws by weight ──> records ──> (data/stream.py)

A *slot* is one worker of one rank. Each slot has its own draws: shards are dealt to the slots anew for every pass over
a stream, so that a pass shows every sample to exactly one slot; where there are fewer shards than slots, slots share a
shard by turns. All of it is arithmetic on whole numbers: to go on after 100,000 draws nothing is read but the shards
whose samples are still waiting in the shuffle buffer.
"""

from __future__ import annotations

import hashlib
import random
from bisect import bisect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from anymask.data.records import RawSample
from anymask.data.shards import Shard, ShardError, ShardSet, records_of_source
from anymask.errors import UserError
from anymask.structures import SOURCES, Skipped, Source

__all__ = ["Draws", "Mixture", "MixturePart", "seeded"]


def seeded(*parts: object) -> random.Random:
    """A generator that depends on the parts and on nothing else (``hash`` differs from one process to the next)."""
    return random.Random(hashlib.sha256(repr(parts).encode()).digest())


@dataclass(frozen=True, slots=True)
class MixturePart:
    """The records of one source in one shard set."""

    name: str
    source: Source
    default_source: Source
    shards: tuple[Shard, ...]
    samples: int
    share: float  # of all draws
    stream: str  # what its order depends on beside the seed; no two parts of a mixture have the same

    @property
    def label(self) -> str:
        return f"{self.name}/{self.source}"


@dataclass(frozen=True, slots=True)
class Mixture:
    """All parts with their shares: proportional to samples x oversampling of the source x weight of the set."""

    parts: tuple[MixturePart, ...]

    @classmethod
    def of(
        cls,
        sets: Sequence[ShardSet],
        *,
        oversample: Mapping[Source, float],
        weights: Sequence[float] | None = None,
    ) -> Mixture:
        """``oversample`` says how many times as often a sample of a source is drawn (the paper: 10, 10 and 1).

        Raises UserError for an unknown source or where nothing is left to draw.
        """
        if set(oversample) - set(SOURCES) or any(factor < 0 for factor in oversample.values()):
            raise UserError(f"oversample wants factors for {', '.join(SOURCES)}, not {dict(oversample)}")
        weighted = [
            (shard_set, stream, source, count, count * oversample.get(source, 1.0) * weight)
            for shard_set, stream, weight in zip(sets, _streams_of(sets), weights or [1.0] * len(sets), strict=True)
            for source, count in sorted(shard_set.samples.items())
        ]
        total = sum(weight for *_, weight in weighted)
        if total <= 0:
            raise UserError("there is nothing to train on: no shard has a sample with a weight above 0")
        parts = tuple(
            MixturePart(
                name=shard_set.name,
                source=source,
                default_source=shard_set.default_source,
                shards=tuple(shard for shard in shard_set.shards if shard.samples.get(source, 0)),
                samples=count,
                share=weight / total,
                stream=f"{stream}/{source}",
            )
            for shard_set, stream, source, count, weight in weighted
            if weight > 0
        )
        return cls(parts)

    def by_source(self) -> dict[Source, tuple[int, float]]:
        """Samples and expected share of the draws of each source, over all shard sets."""
        sources = sorted({part.source for part in self.parts})
        of = {source: [part for part in self.parts if part.source == source] for source in sources}
        return {s: (sum(part.samples for part in of[s]), sum(part.share for part in of[s])) for s in sources}


def _streams_of(sets: Sequence[ShardSet]) -> list[str]:
    """Last folders, with a number from the second of a name on: a set that is moved keeps its order."""
    folders = [Path(shard_set.shards[0].url).parent.name if shard_set.shards else "" for shard_set in sets]
    before = [folders[:place].count(folder) for place, folder in enumerate(folders)]
    return [f"{folder}:{number}" if number else folder for folder, number in zip(folders, before, strict=True)]


class Draws:
    """The draws of one slot: an endless iterator over records, or over what is wrong with those that cannot be read."""

    def __init__(self, mixture: Mixture, *, seed: int, slot: int, slots: int, buffer: int) -> None:
        """``buffer`` samples of each part wait to be drawn in random order."""
        self._bounds = list(accumulate(part.share for part in mixture.parts))[:-1]
        self._parts = mixture.parts
        self._random = seeded("mixture", seed, slot, slots)
        self._streams = [
            _ShuffledStream(part, seed=seed, slot=slot, slots=slots, buffer=buffer) for part in mixture.parts
        ]
        self.number = 0

    def skip(self, number: int) -> None:
        """Pass over draws without reading anything."""
        for _ in range(number):
            self._choose().draw()
        self.number += number

    def __iter__(self) -> Iterator[tuple[MixturePart, RawSample | Skipped]]:
        while True:
            stream = self._choose()
            self.number += 1
            yield stream.part, stream.fetch(stream.draw())

    def _choose(self) -> _ShuffledStream:
        return self._streams[bisect(self._bounds, self._random.random())]


@dataclass(frozen=True, slots=True)
class _Stretch:
    """The samples of one shard that a slot sees in one pass: every ``step``-th from ``first`` on."""

    begin: int  # number of the first of them in the slot's stream
    shard: Shard
    first: int
    step: int
    count: int


class _ShuffledStream:
    """What one slot sees of one part, numbered 0, 1, 2 … over all passes, and drawn through a shuffle buffer."""

    def __init__(self, part: MixturePart, *, seed: int, slot: int, slots: int, buffer: int) -> None:
        self.part = part
        self._key = (seed, part.stream)
        self._slot, self._slots = slot, slots
        self._random = seeded("buffer", *self._key, slot, slots)
        self._stretches: list[_Stretch] = []  # those that may still be asked for
        self._passes = 0
        self._end = 0  # samples in the passes laid out so far
        self._buffer = list(range(max(1, buffer)))
        self._next = len(self._buffer)
        self._reader: Iterator[tuple[int, RawSample | Skipped]] = iter(())
        self._read: dict[int, RawSample | Skipped] = {}
        self._position = -1  # the last number that was read

    def draw(self) -> int:
        """The number of the next sample."""
        place = self._random.randrange(len(self._buffer))
        number, self._buffer[place] = self._buffer[place], self._next
        self._next += 1
        return number

    def fetch(self, number: int) -> RawSample | Skipped:
        """The record of a number that was drawn. Those that are read on the way and still wait are kept."""
        if number in self._read:
            return self._read.pop(number)
        waiting = set(self._buffer)
        oldest = min(min(waiting), number)
        if oldest > self._position + 1 or self._position < 0:
            self._reader = self._read_from(oldest)
        for position, record in self._reader:
            self._position = position
            if position == number:
                return record
            if position >= self._next or position in waiting:
                self._read[position] = record
        raise AssertionError("a stream of samples is endless")

    def _read_from(self, number: int) -> Iterator[tuple[int, RawSample | Skipped]]:
        """Records from the stretch on that holds ``number``; where a shard ends early, the reason in their place."""
        while True:
            stretch = self._stretch_of(number)
            number = stretch.begin
            end = stretch.begin + stretch.count
            reason = "the shard holds fewer samples than its manifest says"
            try:
                records = records_of_source(stretch.shard, self.part.source, self.part.default_source)
                for index, raw in enumerate(records):
                    if index >= stretch.first and (index - stretch.first) % stretch.step == 0:
                        yield number, raw
                        number += 1
                    if number == end:
                        break
            except ShardError as error:
                reason = f"the shard cannot be read on: {error}"
            while number < end:
                index = stretch.first + (number - stretch.begin) * stretch.step
                yield number, Skipped(stretch.shard.url, f"sample {index}", reason)
                number += 1

    def _stretch_of(self, number: int) -> _Stretch:
        while number >= self._end:
            self._lay_out_pass()
        self._stretches = [s for s in self._stretches if s.begin + s.count > number]
        return self._stretches[0]

    def _lay_out_pass(self) -> None:
        shards = list(self.part.shards)
        seeded("pass", *self._key, self._passes).shuffle(shards)
        self._passes += 1
        before = self._end
        for index in range(self._slot % len(shards), len(shards), self._slots):
            sharing = len(range(index % len(shards), self._slots, len(shards))) if len(shards) < self._slots else 1
            turn = self._slot // len(shards) if len(shards) < self._slots else 0
            count = len(range(turn, shards[index].samples[self.part.source], sharing))
            self._stretches.append(_Stretch(self._end, shards[index], turn, sharing, count))
            self._end += count
        if self._end == before:
            raise UserError(
                f"{self.part.label} has too few samples ({self.part.samples} in {len(shards)} shards)"
                f" for {self._slots} loader workers: use fewer workers or more shards"
            )
