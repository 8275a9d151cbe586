"""Which draws of the order each loader worker reads, and what is left of it after a stop, whoever goes on.

Draws are dealt in hands of one batch: to the ranks in turn, within a rank to its workers in turn. So a step of the
optimiser trains on the same samples on one GPU as on eight, if its global batch is the same. A worker takes its hands
in order; one that meets a bad sample takes the next draw of its own in its place, and is that much ahead of the others.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from anymask.errors import UserError

__all__ = ["Crew", "Dealing"]


@dataclass(frozen=True, slots=True)
class Crew:
    """Those who read: ``world`` ranks of ``workers`` workers, which take ``images`` draws for a batch."""

    world: int
    workers: int
    images: int

    def place(self, rank: int, worker: int, number: int) -> int:
        """Where the ``number``-th draw of a worker lies among all."""
        hand, within = divmod(number, self.images)
        return ((hand * self.workers + worker) * self.world + rank) * self.images + within


@dataclass(slots=True)
class Dealing:
    """What of the order is left, and how much of it each worker has taken since it was dealt."""

    crew: Crew
    begin: int = 0  # all draws before it were taken when the rest was dealt
    ahead: tuple[int, ...] = ()  # later ones that were taken too, rising
    taken: list[list[int]] = field(default_factory=list)  # by rank and worker
    batches: int = 0  # that each rank was given since

    def __post_init__(self) -> None:
        if not self.taken:
            self.taken = [[0] * self.crew.workers for _ in range(self.crew.world)]

    def draws(self, rank: int, worker: int) -> Iterator[int]:
        """Numbers of the draws that a worker takes from now on."""
        number = self.taken[rank][worker]
        while True:
            yield self._draw(self.crew.place(rank, worker, number))
            number += 1

    def _draw(self, place: int) -> int:
        """The number of the draw at a place of what was left."""
        number = self.begin + place
        while (found := self.begin + place + bisect_right(self.ahead, number)) != number:
            number = found
        return number

    def dealt_to(self, crew: Crew) -> Dealing:
        """The same if the crew is the same, else what is left dealt anew: nothing is lost and nothing taken twice."""
        if crew == self.crew:
            return self
        heads = {
            (rank, worker): self.crew.place(rank, worker, self.taken[rank][worker])
            for rank in range(self.crew.world)
            for worker in range(self.crew.workers)
        }
        first = min(heads.values())
        ahead = {self._draw(place) for slot, head in heads.items() for place in self._taken_from(slot, first, head)}
        begin = self._draw(first)
        return Dealing(crew, begin, tuple(sorted(ahead | {number for number in self.ahead if number > begin})))

    def _taken_from(self, slot: tuple[int, int], first: int, head: int) -> Iterator[int]:
        """Places from ``first`` on that a worker has taken, which ends before ``head``."""
        number = self.taken[slot[0]][slot[1]] - 1
        while number >= 0 and (place := self.crew.place(*slot, number)) > first:
            assert place < head
            yield place
            number -= 1

    def as_state(self) -> dict[str, Any]:
        """Plain numbers for a checkpoint."""
        return {
            "crew": [self.crew.world, self.crew.workers, self.crew.images],
            "begin": self.begin,
            "ahead": list(self.ahead),
            "taken": [list(of_rank) for of_rank in self.taken],
            "batches": self.batches,
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Dealing:
        """Raises UserError for the state of an earlier version's loader."""
        try:
            taken = [list(of_rank) for of_rank in state["taken"]]
            return cls(Crew(*state["crew"]), state["begin"], tuple(state["ahead"]), taken, state["batches"])
        except (KeyError, TypeError) as error:
            raise UserError(f"the checkpoint's place in the data cannot be read: {error!r}") from None
