"""The endless order of training samples: a weighted mixture of shuffled passes, the same for the same seed.

    shard sets ──one part per set and source──> Order: draw n is record r of part p ──> (data/dealing.py: who reads it)

The order knows nothing of processes and workers: how many there are changes who reads a sample, and never which come
next. It is arithmetic on whole numbers, so that to go on after 20 million draws takes a second and reads nothing.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Int

from anymask.data.permutation import Permutation
from anymask.data.shards import Records, Shard, ShardSet
from anymask.errors import UserError
from anymask.structures import SOURCES, Source

__all__ = ["Draw", "Mixture", "MixturePart", "Order", "seeded"]

BLOCK = 2**14
"""Draws whose parts are chosen at once; a part of the order, so that it may not be changed."""


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

    def records(self) -> Records:
        """All of them, by number."""
        return Records(self.shards, self.default_source, source=self.source)


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


@dataclass(frozen=True, slots=True)
class Draw:
    """One place of the order."""

    number: int  # in the order, from 0
    part: int  # of the mixture
    cycle: int  # pass over the part, from 0: each shows every record of it once
    record: int  # of the part


class Order:
    """What is drawn, from the first sample on: the same for the same mixture and seed, whoever reads it.

    Parts are drawn by chance, with their shares; the records of a part come in passes, each a shuffle of all of them.
    """

    def __init__(self, mixture: Mixture, *, seed: int) -> None:
        self._parts = mixture.parts
        self._seed = seed
        self._bounds = np.cumsum([part.share for part in mixture.parts])[:-1]
        self._block = -1
        self._chosen: list[int] = []  # parts of the block's draws
        self._places: list[int] = []  # how often their parts were drawn before, over all
        self._before = np.zeros(len(mixture.parts), dtype=np.int64)  # draws of each part before the block

    def draw(self, number: int) -> Draw:
        """The draw of that number; cheap for numbers that rise, from anywhere."""
        block, place = divmod(number, BLOCK)
        if block != self._block:
            self._go_to(block)
        part = self._chosen[place]
        cycle, at = divmod(self._places[place], self._parts[part].samples)
        return Draw(number, part, cycle, self._shuffled(part, cycle)[at])

    def _shuffled(self, part: int, cycle: int) -> Permutation:
        return _permutation(self._parts[part].samples, self._seed, self._parts[part].stream, cycle)

    def _go_to(self, block: int) -> None:
        if block < self._block or self._block < 0:
            self._block, self._before = 0, np.zeros_like(self._before)
        for earlier in range(self._block, block):
            self._before = self._before + np.bincount(self._choices(earlier), minlength=len(self._parts))
        self._block = block
        chosen = self._choices(block)
        places = np.empty(BLOCK, dtype=np.int64)
        for part, before in enumerate(self._before):
            of_part = np.flatnonzero(chosen == part)
            places[of_part] = before + np.arange(len(of_part))
        self._chosen, self._places = chosen.tolist(), places.tolist()

    def _choices(self, block: int) -> Int[np.ndarray, " draws"]:
        """Parts of a block's draws."""
        key = int.from_bytes(hashlib.sha256(repr(("mixture", self._seed, block)).encode()).digest()[:16])
        chances = np.random.Generator(np.random.Philox(key=key)).random(BLOCK)
        return np.searchsorted(self._bounds, chances, side="right")


@lru_cache(maxsize=256)  # of the passes that are being read
def _permutation(length: int, seed: int, stream: str, cycle: int) -> Permutation:
    return Permutation(length, "pass", seed, stream, cycle)
