"""What a task of the suite is to the programs that run and report it.

A task has its settings, its data and, unless it measures what others predicted, its model. ``running.run`` asks it for
the records of each image and for the numbers of all records; ``report`` asks the task's module ``view`` for a section.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeVar, get_args, runtime_checkable

from anymask.evaluation.results import Numbers
from anymask.evaluation.stopwatch import Stopwatch
from anymask.structures import Skipped

__all__ = ["TASKS", "Named", "Task", "TaskName"]

TaskName = Literal["point_to_mask", "edges", "proposals", "instance_segmentation"]
TASKS: tuple[TaskName, ...] = get_args(TaskName)


@runtime_checkable
class Named(Protocol):
    """What is evaluated one at a time: the key is unique in its shard, file or folder."""

    @property
    def shard(self) -> str: ...

    @property
    def key(self) -> str: ...


Item = TypeVar("Item", bound=Named)


@runtime_checkable
class Task(Protocol[Item]):
    """One task, ready to be run."""

    @property
    def name(self) -> TaskName: ...

    @property
    def protocol(self) -> str:
        """Everything that a number depends on but the data and the weights."""
        ...

    @property
    def settings(self) -> dict[str, Any]:
        """As they were configured."""
        ...

    @property
    def data(self) -> dict[str, str]:
        """``name`` and ``fingerprint`` of the data set, and of whatever else is read, such as detections."""
        ...

    @property
    def watch(self) -> Stopwatch: ...

    def __len__(self) -> int:
        """Images of the data set, those that cannot be used among them."""
        ...

    def items(self, *, limit: int | None, rank: int, world: int) -> Iterator[Item | Skipped]:
        """Every ``world``-th of the first ``limit`` images from ``rank`` on."""
        ...

    def records_of(self, item: Item) -> Sequence[Any]:
        """What is written of one image, as JSON values; may be nothing."""
        ...

    def offered_by(self, item: Item) -> int:
        """The number of records that an image could have."""
        ...

    def find(self, names: set[tuple[str, str]]) -> Mapping[tuple[str, str], Item]:
        """Some of the images, by shard and key, for the report's pictures."""
        ...

    def numbers(self, records: list[Any], offered: int) -> Numbers:
        """All that is computed from the records alone, of which there are at least one."""
        ...
