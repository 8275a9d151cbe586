"""Reads everything of a shard set, as training would and closer, and tells each defect with its shard and key."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context

from rich.console import Console
from rich.progress import track

from anymask import masks
from anymask.data.records import BadSample, parse
from anymask.data.shard_index import Index, index_of_tar
from anymask.data.shards import Records, Shard, ShardSet
from anymask.data.storage import StorageError, is_remote, open_file, size_of
from anymask.structures import Skipped, Source

__all__ = ["Verified", "verify"]


@dataclass(frozen=True, slots=True)
class Verified:
    """What was read of one shard, and every defect."""

    records: int
    masks: int
    keys: tuple[str, ...]
    defects: tuple[Skipped, ...]


def verify(shards: ShardSet, *, workers: int = 1) -> Iterator[Verified]:
    """Shard by shard, in their order; a key that an earlier record has is a defect of the later one."""
    seen: dict[str, str] = {}
    for shard, found in zip(shards.shards, _all(shards, workers), strict=True):
        doubles = []
        for key in found.keys:
            if key in seen:
                doubles.append(Skipped(shard.url, key, f"there is a record of that key in {seen[key]} already"))
            seen.setdefault(key, shard.url.rpartition("/")[2])
        yield Verified(found.records, found.masks, found.keys, (*found.defects, *doubles))


def _all(shards: ShardSet, workers: int) -> Iterator[Verified]:
    task = partial(_verify_shard, default=shards.default_source)
    shown, total = Console(stderr=True), len(shards.shards)
    if workers <= 1:
        yield from track(map(task, shards.shards), "verifying", total=total, console=shown)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("fork")) as pool:
        yield from track(pool.map(task, shards.shards), "verifying", total=total, console=shown)


def _verify_shard(shard: Shard, default: Source) -> Verified:
    defects = [Skipped(shard.url, "the whole shard", reason) for reason in _wrong_with_file(shard)]
    try:
        rows = shard.rows()
    except StorageError as error:
        return Verified(0, 0, (), (*defects, Skipped(shard.url, "the whole shard", str(error))))
    defects += _wrong_with_index(shard, rows)
    keys = tuple(row["key"].decode(errors="replace") for row in rows)
    records = Records([shard], default)
    counted = 0
    for number in range(len(records)):
        found, wrong = _read(records, number, default)
        counted += found
        defects += [] if wrong is None else [wrong]
    records.close()
    if shard.masks not in (None, counted) and not defects:
        told = f"it has {counted} masks, the manifest says {shard.masks}"
        defects.append(Skipped(shard.url, "the whole shard", told))
    return Verified(len(records), counted, keys, tuple(defects))


def _read(records: Records, number: int, default: Source) -> tuple[int, Skipped | None]:
    """The masks of a record that is sound, or what is wrong with it."""
    record = records.read(number)
    if isinstance(record, Skipped):
        return 0, record
    try:
        sample = parse(record, default)
        for rle in (*sample.masks, *filter(None, sample.ignore)):
            masks.runs(rle)
    except (BadSample, ValueError) as error:
        return 0, Skipped(record.shard, record.key, str(error))
    return len(sample.masks), None


def _wrong_with_file(shard: Shard) -> Iterator[str]:
    try:
        length = size_of(shard.url)
        if shard.bytes and length != shard.bytes:
            yield f"it is {length} bytes long, the manifest says {shard.bytes}"
        if shard.sha256 is not None and _checksum(shard.url) != shard.sha256:
            yield "its checksum is not that of the manifest"
    except StorageError as error:
        yield str(error)


def _checksum(url: str) -> str:
    digest = hashlib.sha256()
    with open_file(url) as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def _wrong_with_index(shard: Shard, rows: Index) -> Iterator[Skipped]:
    """Compare with the headers of the tar, where that is no transfer of all of it."""
    if is_remote(shard.url):
        return
    try:
        entries, defects = index_of_tar(shard.url)
    except StorageError as error:
        yield Skipped(shard.url, "the whole shard", str(error))
        return
    yield from defects
    places = {entry.key: entry for entry in entries}
    for row in rows:
        entry = places.pop(row["key"].decode(errors="replace"), None)
        told = (row["photograph_offset"], row["photograph_size"], row["annotation_offset"], row["annotation_size"])
        if entry is None:
            yield Skipped(shard.url, row["key"].decode(errors="replace"), "it is in the index and not in the shard")
        elif (
            *(entry.photograph.offset, entry.photograph.size),
            *(entry.annotation.offset, entry.annotation.size),
        ) != tuple(int(number) for number in told):
            yield Skipped(shard.url, entry.key, "it lies elsewhere than its index says")
    for key, entry in places.items():
        reason = "it is not in the index" if entry.photograph.size else "there is an annotation and no photograph"
        yield Skipped(shard.url, key, reason)
