"""Reads everything of a shard set, as training would and closer, and tells each defect with its shard and key."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from anymask import masks
from anymask.data.records import BadSample, parse
from anymask.data.shard_index import Index, index_of_tar
from anymask.data.shards import MANIFEST, Records, Shard, ShardSet, tars_of
from anymask.data.storage import StorageError, is_remote, sha256_of, size_of
from anymask.shard_command.progress import in_order
from anymask.structures import Skipped, Source

__all__ = ["Verified", "doubles", "strangers", "verify"]


@dataclass(frozen=True, slots=True)
class Verified:
    """What was read of one shard, and every defect."""

    records: int
    masks: int
    defects: tuple[Skipped, ...]


def verify(shards: ShardSet, *, workers: int = 1) -> Iterator[Verified]:
    """Shard by shard, in their order."""
    task = partial(_verify_shard, default=shards.default_source)
    for _, found in in_order(task, shards.shards, workers=workers, about="verifying"):
        yield found


def doubles(shards: ShardSet) -> Iterator[Skipped]:
    """Records whose key another one before them has; by the indexes, of which those that are broken are passed over."""
    keys, places = [np.empty(0, "S1")], [np.empty(0, np.int64)]
    for place, shard in enumerate(shards.shards):
        with suppress(StorageError):
            keys.append(shard.rows()["key"])
            places.append(np.full(len(keys[-1]), place))
    key, place_of = np.concatenate(keys), np.concatenate(places)
    order = np.argsort(key, kind="stable")
    for number in np.flatnonzero(key[order][1:] == key[order][:-1]):
        first, second = (shards.shards[place_of[order[n]]].url for n in (number, number + 1))
        told = f"there is a record of that key in {first.rpartition('/')[2]} already"
        yield Skipped(second, key[order[number]].decode(errors="replace"), told)


def strangers(path: str, shards: ShardSet) -> Iterator[Skipped]:
    """Tars beside a manifest that it does not know. There are none for tars without a manifest."""
    folder = Path(path).parent if path.endswith(".json") else Path(path)
    if folder.is_dir() and (folder / MANIFEST).is_file():
        known = {Path(shard.url).resolve() for shard in shards.shards}
        for tar in tars_of(str(folder)):
            if Path(tar).resolve() not in known:
                yield Skipped(tar, "the whole shard", "the manifest does not know it")


def _verify_shard(shard: Shard, default: Source) -> Verified:
    defects = [Skipped(shard.url, "the whole shard", reason) for reason in _wrong_with_file(shard)]
    try:
        rows = shard.rows()
    except StorageError as error:
        return Verified(0, 0, (*defects, Skipped(shard.url, "the whole shard", str(error))))
    defects += _wrong_with_index(shard, rows)
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
    return Verified(len(records), counted, tuple(defects))


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
        if shard.sha256 is not None and sha256_of(shard.url) != shard.sha256:
            yield "its checksum is not that of the manifest"
    except StorageError as error:
        yield str(error)


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
