"""All images of an evaluation to their records: with progress, taken up where it stopped, shared by processes."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from anymask.evaluation.journal import Journal, read_records
from anymask.evaluation.results import Identity
from anymask.evaluation.task import Item, Task
from anymask.ranks import Ranks
from anymask.structures import Skipped

__all__ = ["Gathered", "gather"]

TELL_EVERY = 60.0
"""Seconds between two lines where there is no terminal for a bar."""


@dataclass(slots=True)
class _Share:
    """Of one process; its records are in its file."""

    images: set[tuple[str, str]] = field(default_factory=set)  # that can be used
    made: int = 0  # of these, now
    offered: int = 0
    skipped: list[Skipped] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Gathered:
    """Of all processes."""

    records: list[Any]
    images: int
    made: int  # of these, by this run; the others were there
    offered: int  # records that the images could have had
    skipped: list[Skipped]


def gather(
    task: Task[Item], folder: Path, identity: Identity, *, ranks: Ranks, progress: bool = True
) -> Gathered | None:
    """The records of this process's images, those that ``folder`` lacks made now; then those of all processes.

    Waits for the other processes; only the first one gets the answer. Raises UserError if the folder holds another
    evaluation.
    """
    folder.mkdir(parents=True, exist_ok=True)
    journal = Journal(folder, identity, rank=ranks.rank)
    done = _Share()
    items = task.items(limit=identity["limit"], rank=ranks.rank, world=ranks.world)
    total = ranks.share_of(min(len(task), identity["limit"] or sys.maxsize))
    title = task.name.replace("_", " ")
    with _progress_bar(items, title, total, done, visible=progress and ranks.rank == 0) as tracked:
        for item in tracked:
            if isinstance(item, Skipped):
                done.skipped.append(item)
                continue
            name = (Path(item.shard).name, item.key)
            done.images.add(name)
            done.offered += task.offered_by(item)
            if name not in journal:
                journal.append(name, task.records_of(item))
                done.made += 1
    parts = ranks.gather(done)
    if ranks.rank > 0:
        return None
    journal.merge()
    images = set[tuple[str, str]]().union(*(part.images for part in parts))
    records = read_records(folder / "records.jsonl")
    return Gathered(
        records=[record for record in records if (record["shard"], record["image"]) in images],  # one may be lost since
        images=len(images),
        made=sum(part.made for part in parts),
        offered=sum(part.offered for part in parts),
        skipped=[bad for part in parts for bad in part.skipped],
    )


@contextmanager
def _progress_bar(
    items: Iterator[Item | Skipped], title: str, total: int, done: _Share, *, visible: bool
) -> Iterator[Iterable[Item | Skipped]]:
    if visible and not sys.stdout.isatty():
        yield _told_now_and_then(items, title, total, done)
        return
    columns = (
        TextColumn(title),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, disable=not visible) as bar:
        yield bar.track(items, total=total)


def _told_now_and_then(
    items: Iterator[Item | Skipped], title: str, total: int, done: _Share
) -> Iterator[Item | Skipped]:
    """A line every minute and at the end, for the file that a job's output goes to."""
    begin = told = time.monotonic()
    for number, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - told >= TELL_EVERY or number == total:
            left = timedelta(seconds=round((now - begin) / max(done.made, 1) * (total - number)))
            print(f"{title}: {number} of {total} images, {left} left", flush=True)
            told = now
