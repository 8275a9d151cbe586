"""All images of an evaluation to their records: with progress, taken up where it stopped, shared by processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from anymask.evaluation.journal import Journal, read_records
from anymask.evaluation.ranks import Ranks
from anymask.evaluation.results import Identity
from anymask.structures import Skipped

__all__ = ["Gathered", "Named", "gather"]


@runtime_checkable
class Named(Protocol):
    """What is evaluated one at a time: the key is unique in its shard or folder."""

    @property
    def shard(self) -> str: ...

    @property
    def key(self) -> str: ...


Item = TypeVar("Item", bound=Named)


@dataclass(slots=True)
class _Share:
    """Of one process; its records are in its file."""

    images: int = 0
    offered: int = 0
    skipped: list[Skipped] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Gathered:
    """Of all processes."""

    records: list[Any]
    images: int
    offered: int  # records that the images could have had
    skipped: list[Skipped]


def gather(
    items: Iterable[Item | Skipped],
    records_of: Callable[[Item], Sequence[Any]],
    offered_by: Callable[[Item], int],
    folder: Path,
    identity: Identity,
    *,
    ranks: Ranks,
    title: str,
    total: int,
    progress: bool = True,
) -> Gathered | None:
    """The records of this process's ``items``, those that ``folder`` lacks made now; then those of all processes.

    ``total`` is the number of items of this process. Waits for the other processes; only the first one gets the answer.
    Raises UserError if the folder holds another evaluation.
    """
    folder.mkdir(parents=True, exist_ok=True)
    journal = Journal(folder, identity, rank=ranks.rank)
    done = _Share()
    with _progress_bar(items, title, total, visible=progress and ranks.rank == 0) as tracked:
        for item in tracked:
            if isinstance(item, Skipped):
                done.skipped.append(item)
                continue
            done.images += 1
            done.offered += offered_by(item)
            name = (Path(item.shard).name, item.key)
            if name not in journal:
                journal.append(name, records_of(item))
    parts = ranks.gather(done)
    if ranks.rank > 0:
        return None
    journal.merge()
    return Gathered(
        records=read_records(folder / "records.jsonl"),
        images=sum(part.images for part in parts),
        offered=sum(part.offered for part in parts),
        skipped=[bad for part in parts for bad in part.skipped],
    )


@contextmanager
def _progress_bar(items: Iterable[Item], title: str, total: int, *, visible: bool) -> Iterator[Iterable[Item]]:
    columns = (
        TextColumn(title),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, disable=not visible) as bar:
        yield bar.track(items, total=total)
