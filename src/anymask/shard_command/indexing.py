"""Writes down what is in tars that are there already, such as SA-1B's own, so that a run can start at once."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from rich.console import Console
from rich.progress import track

from anymask.atomic import write_atomically
from anymask.data.records import RawSample, source_of
from anymask.data.shard_index import Entry, index_of_tar, save_index
from anymask.data.shard_writer import count_masks
from anymask.data.shards import MANIFEST, Shard, manifest_text
from anymask.data.storage import Ranges, StorageError
from anymask.errors import UserError
from anymask.structures import Skipped, Source

__all__ = ["Indexed", "index_tars"]

NOTE = ".indexed.jsonl"
"""Shards that an attempt has indexed, until the manifest is written."""


@dataclass(frozen=True, slots=True)
class Indexed:
    """What was found in one tar."""

    shard: Shard | None  # None: it cannot be read
    defects: tuple[Skipped, ...]


def index_tars(
    folder: Path, out: Path, *, source: Source, workers: int, checksums: bool, annotations: bool
) -> tuple[list[Shard], list[Skipped]]:
    """An index for each ``.tar`` of a folder and a manifest of all, in ``out``; and what cannot be read.

    Headers alone are read. With ``annotations`` these are too: masks are counted, and a record that names its own
    source is of that one; with ``checksums`` everything is.

    A tar whose index an earlier attempt has written, and which has its length still, is not read again. Raises
    UserError where there is no tar, none that can be read, or nothing may be written.
    """
    tars = sorted(folder.glob("*.tar"))
    if not tars:
        raise UserError(f"there is no tar in {folder}")
    if not os.access(out if out.exists() else out.parent, os.W_OK):
        raise UserError(f"nothing can be written to {out}: name another folder by --out")
    out.mkdir(parents=True, exist_ok=True)
    before = _earlier(out, checksums=checksums, annotations=annotations)
    todo = [tar for tar in tars if _unchanged(before.get(tar.name), tar, out, source) is None]
    found = {tar.name: before[tar.name] for tar in tars if tar not in todo}
    defects: list[Skipped] = []
    task = partial(
        _index,
        out=out,
        beside=out.resolve() == folder.resolve(),
        source=source,
        checksums=checksums,
        annotations=annotations,
    )
    for tar, indexed in zip(todo, _all(task, todo, workers), strict=True):
        defects += indexed.defects
        if indexed.shard is not None:
            found[tar.name] = indexed.shard
            with (out / NOTE).open("a") as note:
                note.write(json.dumps(_noted(indexed.shard)) + "\n")
    if not found:
        raise UserError(f"none of the {len(tars)} tars in {folder} can be read: {defects[0].reason}")
    shards = [found[tar.name] for tar in tars if tar.name in found]
    write_atomically(out / MANIFEST, lambda part: part.write_text(manifest_text(shards)))
    (out / NOTE).unlink(missing_ok=True)
    return shards, defects


def _all(task: partial[Indexed], tars: Sequence[Path], workers: int) -> Iterator[Indexed]:
    """In the order of the tars."""
    shown = Console(stderr=True)
    if workers <= 1:
        yield from track(map(task, tars), "indexing", total=len(tars), console=shown)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("fork")) as pool:
        yield from track(pool.map(task, tars), "indexing", total=len(tars), console=shown)


def _index(tar: Path, *, out: Path, beside: bool, source: Source, checksums: bool, annotations: bool) -> Indexed:
    try:
        entries, defects = index_of_tar(str(tar))
    except StorageError as error:
        return Indexed(None, (Skipped(str(tar), "the whole shard", str(error)),))
    alone = [entry for entry in entries if not entry.photograph.size]
    defects += [Skipped(str(tar), entry.key, "there is an annotation and no photograph") for entry in alone]
    entries = [entry for entry in entries if entry.photograph.size]
    masks = _read_annotations(str(tar), entries, source) if annotations else None
    index = out / f"{tar.name.removesuffix('.tar')}.index.npy"
    save_index(index, entries)
    digest = None
    if checksums:
        with tar.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    samples = Counter(entry.source or source for entry in entries)
    url = tar.name if beside else str(tar.resolve())
    return Indexed(Shard(url, dict(samples), tar.stat().st_size, masks, digest, index.name), tuple(defects))


def _read_annotations(tar: str, entries: list[Entry], default: Source) -> int:
    """Gives each entry the source that its record names; returns the number of masks."""
    ranges, masks = Ranges(), 0
    for entry in entries:
        place = entry.annotation
        files = {"json": ranges.read(tar, place.offset, place.size)} if place.size else {}
        entry.source = source_of(RawSample(tar, entry.key, files), default)
        masks += count_masks(files.get("json", b""))
    ranges.close()
    return masks


def _noted(shard: Shard) -> dict[str, object]:
    return {
        "url": shard.url,
        "samples": shard.samples,
        "bytes": shard.bytes,
        "sha256": shard.sha256,
        "index": shard.index,
    }


def _earlier(out: Path, *, checksums: bool, annotations: bool) -> dict[str, Shard]:
    """What earlier attempts know of each tar, by the name of its file; without what was asked for now, nothing."""
    entries = []
    with suppress(OSError, ValueError, KeyError, TypeError):
        entries += json.loads((out / MANIFEST).read_text())["shards"]
    if (out / NOTE).is_file():
        for line in (out / NOTE).read_text().splitlines():
            try:
                entries.append(json.loads(line))
            except ValueError:  # the line that was being written when the program ended
                continue
    shards = [_shard(entry) for entry in entries]
    return {
        Path(s.url).name: s
        for s in shards
        if s is not None and (s.sha256 or not checksums) and (s.masks is not None or not annotations)
    }


def _shard(entry: dict[str, object]) -> Shard | None:
    try:
        return Shard(**entry)  # type: ignore[arg-type]
    except TypeError:
        return None


def _unchanged(shard: Shard | None, tar: Path, out: Path, source: Source) -> Shard | None:
    """The shard as it was, where its index is there and its length and source are the same."""
    if shard is None or shard.index is None or not (out / shard.index).is_file():
        return None
    is_of_source = shard.masks is not None or set(shard.samples) <= {source}  # where masks were counted, records told
    return shard if shard.bytes == tar.stat().st_size and is_of_source else None
