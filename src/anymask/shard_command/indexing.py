"""Writes down what is in tars that are there already, such as SA-1B's own, so that a run can start at once."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from anymask.atomic import write_atomically
from anymask.data.records import RawSample, source_of
from anymask.data.shard_index import Entry, index_of_tar, save_index
from anymask.data.shard_writer import count_masks, only_writer
from anymask.data.shards import MANIFEST, Shard, manifest_text, tars_of
from anymask.data.storage import Ranges, StorageError, is_remote, sha256_of, size_of
from anymask.errors import UserError
from anymask.shard_command.progress import in_order
from anymask.structures import Skipped, Source

__all__ = ["Found", "index_tars", "is_sa1b"]

NOTE = ".indexed.jsonl"
"""Shards that an attempt has indexed, until the manifest is written."""


@dataclass(frozen=True, slots=True)
class Indexed:
    """What was found in one tar."""

    shard: Shard | None  # None: it cannot be read
    defects: tuple[Skipped, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """What was found in all tars; ``kept`` of them were not read again."""

    shards: tuple[Shard, ...]
    defects: tuple[Skipped, ...]
    kept: int


@dataclass(frozen=True, kw_only=True, slots=True)
class _Wanted:
    out: Path
    beside: bool  # whether the tars are in the same folder
    source: Source
    checksums: bool
    annotations: bool


def index_tars(
    path: str, out: Path | None, *, source: Source, workers: int = 1, checksums: bool = False, annotations: bool = False
) -> Found:
    """An index for each tar and a manifest of all, in ``out`` or beside the tars; and what cannot be read.

    ``path`` is a folder or, with ``out``, a pattern of addresses. Headers alone are read. With ``annotations`` these
    are too: masks are counted, and a record that names its own source is of that one; with ``checksums`` everything is.

    A tar whose index an earlier attempt has written, and which has its length still, is not read again. Raises
    UserError where there is no tar, none that can be read, or nothing may be written.
    """
    tars = _checked_tars(path)
    folder = _checked_folder(path, out)
    beside = Path(path).is_dir() and folder.resolve() == Path(path).resolve()
    wanted = _Wanted(out=folder, beside=beside, source=source, checksums=checksums, annotations=annotations)
    with only_writer(folder / ".lock", folder):
        found = dict(_unchanged(tars, wanted))
        kept = len(found)
        for tar, indexed in in_order(
            partial(_index, wanted=wanted), [tar for tar in tars if tar not in found], workers=workers, about="indexing"
        ):
            found[tar] = indexed
            _take_note(indexed, wanted)
        defects = tuple(defect for tar in tars for defect in found[tar].defects)
        shards = tuple(shard for tar in tars if (shard := found[tar].shard) is not None)
        if not shards:
            raise UserError(f"none of the {len(tars)} tars in {path} can be read: {defects[0].reason}")
        write_atomically(folder / MANIFEST, lambda part: part.write_text(manifest_text(shards)))
        (folder / NOTE).unlink(missing_ok=True)
    return Found(shards, defects, kept)


def is_sa1b(shards: Iterable[Shard]) -> bool:
    """Whether the tars have the names of SA-1B's."""
    return all(re.fullmatch(r"sa_\d{6}\.tar", _name(shard.url)) for shard in shards)


def _checked_tars(path: str) -> list[str]:
    tars = tars_of(path)
    if not tars:
        raise UserError(f"there is no tar in {path}")
    twice = [name for name, number in Counter(map(_name, tars)).items() if number > 1]
    if twice:
        raise UserError(f"two tars have the name {twice[0]}: index them one after the other, each with an --out")
    return tars


def _checked_folder(path: str, out: Path | None) -> Path:
    """Of the manifest."""
    if out is None and not Path(path).is_dir():
        raise UserError(f"{path} is no folder of tars: name one for its manifest by --out")
    folder = out or Path(path)
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise UserError(f"nothing can be written to {folder}: name another folder by --out")
    return folder


def _index(tar: str, *, wanted: _Wanted) -> Indexed:
    try:
        entries, defects = index_of_tar(tar)
        alone = [entry for entry in entries if not entry.photograph.size]
        defects += [Skipped(tar, entry.key, "there is an annotation and no photograph") for entry in alone]
        entries = [entry for entry in entries if entry.photograph.size]
        masks = _read_annotations(tar, entries, wanted.source) if wanted.annotations else None
        digest = sha256_of(tar) if wanted.checksums else None
        size = size_of(tar)
    except StorageError as error:
        return Indexed(None, (Skipped(tar, "the whole shard", str(error)),))
    index = wanted.out / f"{_name(tar).removesuffix('.tar')}.index.npy"
    save_index(index, entries)
    samples = Counter(entry.source or wanted.source for entry in entries)
    shard = Shard(_address(tar, wanted), dict(samples), size, masks, digest, index.name)
    return Indexed(shard, tuple(defects))


def _address(tar: str, wanted: _Wanted) -> str:
    """In the manifest."""
    if wanted.beside:
        return _name(tar)
    return tar if is_remote(tar) else str(Path(tar.removeprefix("file://")).resolve())


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


def _take_note(indexed: Indexed, wanted: _Wanted) -> None:
    """For another attempt, should this one be stopped."""
    if indexed.shard is None:
        return
    shard = {key: value for key, value in asdict(indexed.shard).items() if key != "table"}
    with (wanted.out / NOTE).open("a") as note:
        note.write(json.dumps({"shard": shard, "defects": [asdict(defect) for defect in indexed.defects]}) + "\n")


def _unchanged(tars: list[str], wanted: _Wanted) -> Iterator[tuple[str, Indexed]]:
    """Tars of which an earlier attempt has written all that is wanted now."""
    before = dict(_earlier(wanted.out))
    for tar in tars:
        indexed = before.get(_address(tar, wanted))
        if indexed is not None and indexed.shard is not None and _is_enough(indexed.shard, tar, wanted):
            yield tar, indexed


def _earlier(out: Path) -> Iterator[tuple[str, Indexed]]:
    """What earlier attempts know of each tar, by its address in the manifest."""
    found: list[dict[str, Any]] = []
    with suppress(OSError, ValueError, KeyError, TypeError):
        found += [{"shard": shard, "defects": []} for shard in json.loads((out / MANIFEST).read_text())["shards"]]
    for line in (out / NOTE).read_text().splitlines() if (out / NOTE).is_file() else []:
        with suppress(ValueError):  # the line that was being written when the program ended
            found.append(json.loads(line))
    for entry in found:
        with suppress(TypeError, KeyError):  # an older manifest says less
            shard = Shard(**entry["shard"])
            yield shard.url, Indexed(shard, tuple(Skipped(**defect) for defect in entry["defects"]))


def _is_enough(shard: Shard, tar: str, wanted: _Wanted) -> bool:
    if shard.index is None or not (wanted.out / shard.index).is_file():
        return False
    if (wanted.checksums and not shard.sha256) or (wanted.annotations and shard.masks is None):
        return False
    if shard.masks is None and not set(shard.samples) <= {wanted.source}:  # where masks were counted, records told
        return False
    with suppress(StorageError):
        return shard.bytes == size_of(tar)
    return False


def _name(url: str) -> str:
    return url.rpartition("/")[2]
