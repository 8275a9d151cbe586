"""The processes that share one training or one evaluation: how many, which this is, and what they tell one another.

They are started by torchrun, by SLURM's srun (a task is a process) or by ``train.py`` itself; all of them set variables
of the environment, of which torchrun's are believed first.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch.distributed

from anymask.errors import UserError

__all__ = ["ALONE", "Ranks"]

T = TypeVar("T")

LONGEST_WAIT = timedelta(days=3)  # for the slowest; one that dies is noticed at once, as its connection closes


@dataclass(frozen=True, slots=True)
class Ranks:
    """Which of how many processes this is."""

    rank: int = 0
    world: int = 1

    @classmethod
    def of_environment(cls) -> Ranks:
        """As torchrun, srun or others set it; what srun says is said again as torchrun would."""
        if "RANK" not in os.environ and int(os.environ.get("SLURM_STEP_NUM_TASKS", 1)) > 1:
            os.environ |= {name: os.environ[theirs] for name, theirs in _OF_SLURM.items()}
            tasks = os.environ["SLURM_STEP_TASKS_PER_NODE"]  # such as 8(x2)
            os.environ["LOCAL_WORLD_SIZE"] = tasks.partition("(")[0].partition(",")[0]
        return cls(int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1)))

    @classmethod
    @contextmanager
    def joined(cls, *, uses_cuda: bool = False, longest_wait: timedelta = LONGEST_WAIT) -> Iterator[Ranks]:
        """With the other processes, where there are any, until the end of the block.

        ``uses_cuda``: what lies on GPUs is exchanged by NCCL, which notices that one has died by ``longest_wait``.

        Who ends without leaving them may abort: gloo's threads are still running when the interpreter goes.
        """
        ranks = cls.of_environment()
        if ranks.world == 1:
            yield ranks
            return
        if uses_cuda:
            torch.cuda.set_device(cls.local())
        torch.distributed.init_process_group("cpu:gloo,cuda:nccl" if uses_cuda else "gloo", timeout=longest_wait)
        try:
            yield ranks
        finally:
            torch.distributed.destroy_process_group()

    @staticmethod
    def local() -> int:
        """The number of this process on its machine, which is that of its accelerator."""
        Ranks.of_environment()
        return int(os.environ.get("LOCAL_RANK", 0))

    def share_of(self, total: int) -> int:
        """How many of ``total`` items, dealt in turn, are this process's."""
        return len(range(self.rank, total, self.world))

    def first(self, give: Callable[[], T]) -> T:
        """What the first process gives, to all of them; where it raises UserError the others end without a word."""
        given: list[Any] = [None, None]
        if self.rank == 0:
            try:
                given[0] = give()
            except UserError as error:
                given[1] = str(error)
        if self.world > 1:
            torch.distributed.broadcast_object_list(given, src=0)
        if given[1] is not None:
            raise UserError(given[1]) if self.rank == 0 else SystemExit(1)
        return cast(T, given[0])

    def gather(self, own: T) -> list[T]:
        """What each process gives, by rank; waits for all of them."""
        if self.world == 1:
            return [own]
        given: list[Any] = [None] * self.world
        torch.distributed.all_gather_object(given, own)
        return given


_OF_SLURM = {
    "RANK": "SLURM_PROCID",
    "WORLD_SIZE": "SLURM_STEP_NUM_TASKS",
    "LOCAL_RANK": "SLURM_LOCALID",
    "GROUP_RANK": "SLURM_NODEID",
}
ALONE = Ranks()
