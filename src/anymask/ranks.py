"""Several processes that share one evaluation: each takes every n-th image.

torchrun --nproc-per-node 8 evaluate.py checkpoint=… data=…
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch.distributed

__all__ = ["ALONE", "Ranks"]

T = TypeVar("T")

LONGEST_WAIT = timedelta(days=3)  # for the slowest; one that dies is noticed at once, as its connection closes


@dataclass(frozen=True, slots=True)
class Ranks:
    """Which of how many processes this is."""

    rank: int = 0
    world: int = 1

    @classmethod
    @contextmanager
    def joined(cls) -> Iterator[Ranks]:
        """As torchrun and others set it; with the other processes, where there are any, until the end of the block.

        Who ends without leaving them may abort: gloo's threads are still running when the interpreter goes.
        """
        ranks = cls(int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1)))
        if ranks.world == 1:
            yield ranks
            return
        torch.distributed.init_process_group("gloo", timeout=LONGEST_WAIT)
        try:
            yield ranks
        finally:
            torch.distributed.destroy_process_group()

    @staticmethod
    def local() -> int:
        """The number of this process on its machine, which is that of its accelerator."""
        return int(os.environ.get("LOCAL_RANK", 0))

    def share_of(self, total: int) -> int:
        """How many of ``total`` items, dealt in turn, are this process's."""
        return len(range(self.rank, total, self.world))

    def gather(self, own: T) -> list[T]:
        """What each process gives, by rank; waits for all of them."""
        if self.world == 1:
            return [own]
        given: list[Any] = [None] * self.world
        torch.distributed.all_gather_object(given, own)
        return given


ALONE = Ranks()
