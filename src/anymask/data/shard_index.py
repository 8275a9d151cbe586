"""Where each record of a tar file lies, so that any of them is one read, in whatever order.

An index is a NumPy array beside its tar, ``NAME.index.npy``, which processes share by mapping it into memory: a hundred
bytes a record. It is made while a shard is written, or from the headers of a tar that is there already.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from anymask.atomic import write_atomically
from anymask.data.storage import StorageError, is_remote, open_file, read_whole
from anymask.data.tar_headers import DamagedTar, Member, read_members
from anymask.structures import SOURCES, Skipped, Source

__all__ = ["PHOTOGRAPHS", "Entry", "Index", "Place", "index_of_tar", "key_and_ending", "load_index", "save_index"]

PHOTOGRAPHS = ("jpg", "jpeg", "png")
LONGEST_KEY = 200
LARGEST = {"photograph": 2**28, "annotation": 2**25}
"""Bytes: what an annotation has parsed to takes ten times as many."""
Index = np.ndarray[Any, np.dtype[Any]]
"""One row for each record: key, source, and where photograph and annotation lie; of size 0 where there is none."""


@dataclass(frozen=True, slots=True)
class Place:
    """Bytes of a tar file."""

    offset: int = 0
    size: int = 0


@dataclass(slots=True)
class Entry:
    """A record of a tar file."""

    key: str
    source: Source | None = None  # None: it does not say, or nobody looked
    photograph: Place = Place()
    annotation: Place = Place()


def as_index(entries: Iterable[Entry]) -> Index:
    """As it is stored."""
    entries = list(entries)
    longest = max((len(entry.key.encode()) for entry in entries), default=1)
    fields = [("key", f"S{longest}"), ("source", "i1")]
    fields += [(f"{part}_{what}", "<i8") for part in ("photograph", "annotation") for what in ("offset", "size")]
    rows = [
        (
            e.key.encode(),
            -1 if e.source is None else SOURCES.index(e.source),
            *(e.photograph.offset, e.photograph.size, e.annotation.offset, e.annotation.size),
        )
        for e in entries
    ]
    return np.array(rows, dtype=fields)


def save_index(path: Path, entries: Iterable[Entry]) -> None:
    """Whole or not at all."""
    index = as_index(entries)

    def write(part: Path) -> None:
        with part.open("wb") as file:
            np.save(file, index, allow_pickle=False)

    write_atomically(path, write)


def load_index(url: str) -> Index:
    """Mapped into memory where it is a file. Raises StorageError for what is no index."""
    try:
        if is_remote(url):
            index = np.load(io.BytesIO(read_whole(url)), allow_pickle=False)
        else:
            index = np.load(url.removeprefix("file://"), mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise StorageError(f"{url} is not an index of a shard: {error}") from None
    if index.dtype.names != as_index([]).dtype.names or index.ndim != 1:
        raise StorageError(f"{url} is not an index of a shard")
    return index


def key_and_ending(name: str) -> tuple[str, str]:
    """Of a file in a tar: its path up to the first dot of its name, and what follows that, as webdataset has it."""
    folder, _, file = name.removeprefix("./").rpartition("/")
    stem, _, ending = file.partition(".")
    return (f"{folder}/{stem}" if folder else stem), ending.lower()


def index_of_tar(url: str) -> tuple[list[Entry], list[Skipped]]:
    """Every record with a photograph or an annotation, from the headers alone, and what is wrong with others.

    The two files of a record need not be neighbours. Raises StorageError where the file is absent or no tar file.
    """
    entries: dict[str, Entry] = {}
    try:
        with open_file(url) as file:
            size = file.seek(0, io.SEEK_END)
            if not size:
                raise StorageError(f"{url} is not a tar file: it is empty")
            defects = _read_headers(file, url, size, entries)
    except OSError as error:
        raise StorageError(f"{url} cannot be read: {error}") from None
    for entry in [entry for entry in entries.values() if _ends_early(entry, size)]:
        defects.append(Skipped(url, entry.key, "the shard ends early"))
        del entries[entry.key]
    return list(entries.values()), defects


def _read_headers(file: io.IOBase, url: str, size: int, entries: dict[str, Entry]) -> list[Skipped]:
    """Fills ``entries``; what comes behind damage is lost. ``size`` is that of the tar."""
    defects: list[Skipped] = []
    try:
        for member in read_members(file):
            _add(member, url, entries, defects)
    except DamagedTar as error:
        if not entries:
            raise StorageError(f"{url} is not a tar file: {error}") from None
        if not any(_ends_early(entry, size) for entry in entries.values()):  # that record tells it
            defects.append(Skipped(url, "the rest of the shard", str(error)))
    return defects


def _add(member: Member, url: str, entries: dict[str, Entry], defects: list[Skipped]) -> None:
    key, ending = key_and_ending(member.name)
    kind = "photograph" if ending in PHOTOGRAPHS else "annotation" if ending == "json" else None
    if kind is None or member.kind == "folder":
        return
    if wrong := _wrong_with(member, key, kind):
        shown = member.name if member.name.isprintable() else ascii(member.name)[1:-1]
        defects.append(Skipped(url, shown[:LONGEST_KEY], wrong))
        return
    entry = entries.setdefault(key, Entry(key))
    if getattr(entry, kind).size:
        defects.append(Skipped(url, key, f"there is a second {kind} of that name"))
    else:
        setattr(entry, kind, Place(member.offset, member.size))


def _wrong_with(member: Member, key: str, kind: str) -> str | None:
    if member.kind != "file":
        return "it is no file but a link, a device or stored in parts"
    if PurePosixPath(key).is_absolute() or ".." in PurePosixPath(key).parts:
        return "its name leaves the folder"
    if len(key.encode(errors="replace")) > LONGEST_KEY or not key.isprintable() or not key:
        return "its name is too long, or not printable"
    if member.size > LARGEST[kind]:
        return f"the {kind} has {member.size} bytes, over the limit of {LARGEST[kind]}"
    return None


def _ends_early(entry: Entry, size: int) -> bool:
    return any(place.offset + place.size > size for place in (entry.photograph, entry.annotation))
