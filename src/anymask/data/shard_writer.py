"""Writes shards: never half a one under its final name, and going on with those that an earlier attempt finished."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import IO

import msgspec
from webdataset.writer import TarWriter

from anymask.atomic import write_atomically
from anymask.data.shard_index import PHOTOGRAPHS, Entry, index_of_tar, load_index, save_index
from anymask.data.shards import MANIFEST, Shard, manifest_text
from anymask.data.storage import Ranges, StorageError
from anymask.errors import UserError
from anymask.structures import SOURCES, Source

__all__ = ["OtherRecordsError", "ShardWriter", "count_masks", "only_writer"]

_LOCK = ".lock"
_FINISHED = ".finished.jsonl"
"""What is known of each shard that is finished, until the manifest is written."""


class OtherRecordsError(UserError):
    """What an earlier attempt wrote is not what is written now: its data or its options were others."""


class ShardWriter:
    """Packs records into shards of one source each, with an index beside each and a manifest; a context manager.

    A shard gets its name when it is whole and its index is there; the manifest is written last. ``folder`` must be
    empty or absent; with ``resume`` it may hold finished shards of an earlier attempt, whose records are compared and
    passed over when they are written again: OtherRecordsError where they are others, then or on leaving.
    """

    def __init__(self, folder: Path, *, samples_per_shard: int = 1000, resume: bool = False) -> None:
        if samples_per_shard < 1:
            raise UserError(f"a shard holds at least one record, not samples_per_shard={samples_per_shard}")
        if not resume and folder.exists() and any(folder.iterdir()):
            raise UserError(f"{folder} is not empty: name another folder or remove it")
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._limit = samples_per_shard
        self._open: dict[Source, _OpenShard] = {}
        self._lock = only_writer(folder / _LOCK, folder)
        self._lock.__enter__()
        self._written = list(_finished(folder)) if resume else []
        self._again = {source: _records(folder, self._shards_of(source)) for source in SOURCES}
        self._check_lengths()

    def __enter__(self) -> ShardWriter:
        return self

    def write(self, key: str, files: dict[str, bytes], *, source: Source) -> None:
        """Add a record; ``files`` by their endings, the annotation as ``json``."""
        earlier = next(self._again[source], None)
        if earlier is not None:
            if earlier != (key, *_contents(files)):
                raise OtherRecordsError(f"{self._folder} has {earlier[0]!r} of an earlier attempt, not this {key!r}")
            return
        shard = self._open.get(source)
        if shard is None:
            number = len(self._shards_of(source))
            shard = self._open[source] = _OpenShard(self._folder / f"{source}-{number:06d}.tar", source)
        shard.write(key, files)
        if shard.samples == self._limit:
            self._close(source)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._check_none_is_left()
            for source in list(self._open):
                if kind is None:
                    self._close(source)
                else:
                    self._open.pop(source).discard()
            if kind is None:
                self._check_lengths()
                text = manifest_text(self._written)
                write_atomically(self._folder / MANIFEST, lambda part: part.write_text(text))
                (self._folder / _FINISHED).unlink(missing_ok=True)
        finally:
            self._lock.__exit__(None, None, None)

    def _shards_of(self, source: Source) -> list[Shard]:
        return [shard for shard in self._written if source in shard.samples]

    def _check_none_is_left(self) -> None:
        for earlier in (next(records, None) for records in self._again.values()):
            if earlier is not None:
                raise OtherRecordsError(f"{self._folder} has a record {earlier[0]!r} of an earlier attempt")

    def _check_lengths(self) -> None:
        """All shards of a source but its last one are full."""
        for source in SOURCES:
            totals = [shard.total for shard in self._shards_of(source)]
            if any(total != self._limit for total in totals[:-1]) or max(totals, default=0) > self._limit:
                raise OtherRecordsError(f"{self._folder} has shards of an earlier attempt, of {totals[0]} records")

    def _close(self, source: Source) -> None:
        shard = self._open.pop(source).finish()
        with (self._folder / _FINISHED).open("a") as file:
            described = {key: value for key, value in asdict(shard).items() if key != "table"}
            file.write(json.dumps(described) + "\n")
        self._written.append(shard)


class _OpenShard:
    def __init__(self, path: Path, source: Source) -> None:
        self.path, self.source = path, source
        self.samples, self.masks = 0, 0
        self._part = path.with_name(f".{path.name}.part")
        self._file = self._part.open("wb")
        self._writer = TarWriter(self._file, encoder=False, mtime=0, user="anymask", group="anymask")

    def write(self, key: str, files: dict[str, bytes]) -> None:
        self._writer.write({"__key__": key, **files})
        self.samples += 1
        self.masks += count_masks(files.get("json", b""))

    def finish(self) -> Shard:
        """Give the shard its name, after its index has one."""
        self._writer.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        entries, defects = index_of_tar(str(self._part))
        assert not defects, defects
        assert len(entries) == self.samples
        index = self.path.with_suffix(".index.npy")
        save_index(index, [Entry(e.key, self.source, e.photograph, e.annotation) for e in entries])
        with self._part.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        size = self._part.stat().st_size
        self._part.replace(self.path)
        return Shard(self.path.name, {self.source: self.samples}, size, self.masks, digest, index.name)

    def discard(self) -> None:
        self._writer.close()
        self._file.close()
        self._part.unlink()


class _Annotations(msgspec.Struct):
    annotations: list[msgspec.Raw] = []


_ANNOTATIONS = msgspec.json.Decoder(_Annotations)


def count_masks(annotation: bytes) -> int:
    """Of a record in SA-1B's form; 0 where it is of another."""
    try:
        return len(_ANNOTATIONS.decode(annotation).annotations)
    except (msgspec.MsgspecError, RecursionError):
        return 0


@contextmanager
def only_writer(lock: Path, folder: Path) -> Iterator[None]:
    """Raises UserError where another program has the lock, which says that it writes to the folder."""
    with lock.open("wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_there = os.path.samestat(os.fstat(file.fileno()), lock.stat())
        except OSError:
            is_there = False
        if not is_there:  # or it was the other program's, which has just ended
            raise UserError(f"another program is writing shards to {folder}")
        _HELD.add(file)
        try:
            yield
        finally:
            _HELD.discard(file)
            lock.unlink(missing_ok=True)


_HELD: set[IO[bytes]] = set()
"""Locks of this process; a fork that outlives it must not hold them."""


def _let_go() -> None:
    for file in _HELD:
        file.close()
    _HELD.clear()


os.register_at_fork(after_in_child=_let_go)


def _finished(folder: Path) -> Iterator[Shard]:
    """The shards of an earlier attempt that are whole; what it had only begun is removed."""
    for part in folder.glob(".*.part"):
        part.unlink()
    listing = folder / _FINISHED
    for line in listing.read_text().splitlines() if listing.is_file() else []:
        try:
            shard = Shard(**json.loads(line))
        except (ValueError, TypeError):  # the line that was being written when the program ended
            continue
        file = folder / shard.url
        if file.is_file() and file.stat().st_size == shard.bytes:
            yield shard


def _records(folder: Path, shards: list[Shard]) -> Iterator[tuple[str, bytes, bytes]]:
    """Key, photograph and annotation of all records, in the order in which they were written."""
    ranges = Ranges()
    for shard in shards:
        url = str(folder / shard.url)
        try:
            for row in load_index(str(folder / str(shard.index))):
                photograph, annotation = (
                    ranges.read(url, int(row[f"{part}_offset"]), int(row[f"{part}_size"]))
                    for part in ("photograph", "annotation")
                )
                yield row["key"].decode(), photograph, annotation
        except StorageError as error:
            raise OtherRecordsError(f"{url}, of an earlier attempt, is damaged: {error}") from None
    ranges.close()


def _contents(files: dict[str, bytes]) -> tuple[bytes, bytes]:
    photograph = next((data for ending, data in files.items() if ending in PHOTOGRAPHS), b"")
    return photograph, files.get("json", b"")
