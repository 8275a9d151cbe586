"""Shard sets: tar files of records, described by a manifest, of which any record can be read at once.

A set is a folder with ``manifest.json``, or tar files alone, such as SA-1B's own. Where no manifest says what is in a
tar its headers are read first, which takes minutes for a hundred gigabytes: ``anymask-shards index`` writes it down.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from braceexpand import braceexpand
from jaxtyping import Int
from rich.console import Console
from rich.progress import track

from anymask.data.records import RawSample
from anymask.data.shard_index import Index, as_index, index_of_tar, load_index
from anymask.data.storage import NO_PIPES, Pipes, Ranges, StorageError, exists, is_remote, join, read_whole, size_of
from anymask.errors import UserError
from anymask.structures import SOURCES, Skipped, Source

__all__ = ["MANIFEST", "Records", "Shard", "ShardSet", "manifest_text", "name_of", "tars_of"]

MANIFEST = "manifest.json"
FORMAT = "anymask shards"
VERSIONS = (1, 2)  # 2: every shard has an index, its length in bytes and its number of masks
_SPLITS = ("train", "held_out")  # that packing writes
MANY_BYTES = 20 * 2**30
"""Where headers of more are read, a progress bar says so."""


@dataclass(frozen=True, slots=True)
class Shard:
    """One tar file and how many records of each source it holds."""

    url: str
    samples: dict[Source, int]
    bytes: int
    masks: int | None = None  # None: nobody counted
    sha256: str | None = None
    index: str | None = None  # address of the index; None: it is in ``table``
    table: Index | None = field(default=None, compare=False, repr=False)

    @property
    def total(self) -> int:
        return sum(self.samples.values())

    def rows(self) -> Index:
        """The index. Raises StorageError where it cannot be read, or is not of this shard."""
        if self.index is None:
            assert self.table is not None
            return self.table
        index = load_index(self.index)
        if len(index) != self.total:
            raise StorageError(f"{self.index} has {len(index)} records, the manifest says {self.total}")
        return index


@dataclass(frozen=True, slots=True)
class ShardSet:
    """The shards of one data set."""

    name: str
    shards: tuple[Shard, ...]
    default_source: Source
    defects: tuple[Skipped, ...] = ()  # of tar files without a manifest: what cannot be read

    @classmethod
    def open(cls, path: str, *, source: Source = "automatic", pipes: Pipes = NO_PIPES) -> ShardSet:
        """A folder with a manifest or of tars, a manifest, or tars by a pattern such as ``sa_{000000..000999}.tar``.

        Each may be a file or on a server (``https://…``, ``s3://…``), tars also ``pipe:COMMAND`` where ``pipes`` allows
        it. ``source`` is that of records which do not say. Raises UserError where there is nothing to read.
        """
        if source not in SOURCES:
            raise UserError(f"unknown source {source!r}: there are {', '.join(SOURCES)}")
        try:
            if manifest := _manifest_of(path):
                return _read_manifest(manifest, source)
            return _tars(path, source, pipes)
        except StorageError as error:
            raise UserError(str(error)) from None

    @property
    def samples(self) -> Counter[Source]:
        """Records of each source."""
        return sum((Counter(shard.samples) for shard in self.shards), Counter())

    def fingerprint(self) -> str:
        """Short hash of the shards' names and counts."""
        told = json.dumps([(Path(shard.url).name, sorted(shard.samples.items())) for shard in self.shards])
        return hashlib.sha256(told.encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class _Opened:
    """What is known of a shard while it is read."""

    rows: Index
    chosen: Int[np.ndarray, " n"] | None  # those of the wanted source; None: all
    bytes: int  # of the file as it is

    def row(self, number: int) -> Any:
        return self.rows[number if self.chosen is None else self.chosen[number]]


class Records:
    """Any record of a shard set by its number, in the set's order; for one process, which keeps some files open.

    ``source`` takes the records of that source alone, and numbers those.
    """

    def __init__(self, shards: Sequence[Shard], default: Source, *, source: Source | None = None) -> None:
        self._shards = [shard for shard in shards if source is None or shard.samples.get(source)]
        counts = [shard.total if source is None else shard.samples[source] for shard in self._shards]
        self._ends = np.cumsum(counts, dtype=np.int64)
        self._default, self._source = default, source
        self._ranges = Ranges()
        self._opened: dict[int, _Opened | StorageError] = {}

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def read(self, number: int) -> RawSample | Skipped:
        """The record, undecoded, or why there is none."""
        place = int(np.searchsorted(self._ends, number, side="right"))
        shard = self._shards[place]
        within = number - (int(self._ends[place - 1]) if place else 0)
        try:
            opened = self._open(place)
        except StorageError as error:
            return Skipped(shard.url, f"record {within}", str(error))
        row = opened.row(within)
        key = row["key"].decode(errors="replace")
        try:
            return RawSample(shard=shard.url, key=key, files=self._files(shard.url, row, opened.bytes))
        except StorageError as error:
            return Skipped(shard.url, key, str(error))

    def names(self) -> Iterator[tuple[str, str]]:
        """The name of the shard's file and the key of each record, by number."""
        for place, shard in enumerate(self._shards):
            for within in range(int(self._ends[place]) - (int(self._ends[place - 1]) if place else 0)):
                try:
                    key = self._open(place).row(within)["key"].decode(errors="replace")
                except StorageError:
                    key = f"record {within}"
                yield Path(shard.url).name, key

    def close(self) -> None:
        """Close what is open."""
        self._ranges.close()

    def _files(self, url: str, row: Any, length: int) -> dict[str, bytes]:
        """One read where the two are neighbours."""
        places = {
            ending: (int(row[f"{part}_offset"]), int(row[f"{part}_size"]))
            for ending, part in (("jpg", "photograph"), ("json", "annotation"))
            if row[f"{part}_size"] > 0
        }
        if not places:
            return {}
        begin = min(offset for offset, _ in places.values())
        end = max(offset + size for offset, size in places.values())
        if begin < 0 or end > length:
            raise StorageError("the shard ends early")
        if end - begin <= sum(size for _, size in places.values()) + 4096:
            data = memoryview(self._ranges.read(url, begin, end - begin))
            return {ending: bytes(data[o - begin : o - begin + size]) for ending, (o, size) in places.items()}
        return {ending: self._ranges.read(url, *place) for ending, place in places.items()}

    def _open(self, place: int) -> _Opened:
        """A shard's index, when its first record is asked for."""
        if place not in self._opened:
            try:
                self._opened[place] = self._opened_anew(self._shards[place])
            except StorageError as error:
                self._opened[place] = error
        opened = self._opened[place]
        if isinstance(opened, StorageError):
            raise opened
        return opened

    def _opened_anew(self, shard: Shard) -> _Opened:
        rows, length = shard.rows(), size_of(shard.url)
        if length > shard.bytes:
            raise StorageError("the shard is longer than its manifest says: anymask-shards index looks again")
        if self._source is None or set(shard.samples) == {self._source}:
            return _Opened(rows, None, length)
        wanted = [SOURCES.index(self._source)] + ([-1] if self._source == self._default else [])
        chosen = np.flatnonzero(np.isin(rows["source"], wanted))
        if len(chosen) != shard.samples[self._source]:
            raise StorageError(f"its index has {len(chosen)} records of {self._source}, not as many as the manifest")
        return _Opened(rows, chosen, length)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": {}}  # a worker maps the indexes itself


def manifest_text(shards: Sequence[Shard]) -> str:
    """``manifest.json`` of shards whose addresses are relative to its folder, or whole."""
    entries = [
        {
            "url": shard.url,
            "samples": shard.samples,
            "masks": shard.masks,
            "bytes": shard.bytes,
            "sha256": shard.sha256,
            "index": shard.index,
        }
        for shard in shards
    ]
    return json.dumps({"format": FORMAT, "version": VERSIONS[-1], "shards": entries}, indent=1) + "\n"


def name_of(path: str | Path) -> str:
    """What a set is called: by its folder, which may hold it in ``shards``, and its split where it has some.

    >>> [name_of(path) for path in ("data/coco_val80/shards", "data/sa_mini/shards/held_out", "/sa1b")]
    ['coco_val80', 'sa_mini held_out', 'sa1b']
    """
    parts = [part for part in Path(path).absolute().parts if part != "shards"]
    return " ".join(parts[-2:] if parts[-1] in _SPLITS else parts[-1:])


def _manifest_of(path: str) -> str | None:
    """The address of the manifest where there is one."""
    if path.startswith("pipe:") or path.endswith(".tar"):
        return None
    if path.endswith(".json"):
        return path
    return join(path, MANIFEST) if exists(join(path, MANIFEST)) else None


def _read_manifest(manifest: str, source: Source) -> ShardSet:
    folder = manifest.rpartition("/")[0] or "."
    try:
        content = json.loads(read_whole(manifest))
        if content["format"] != FORMAT or content["version"] not in VERSIONS:
            raise ValueError(f"its format is {content['format']!r} {content['version']!r}")
        entries = [_entry(entry, folder, source) for entry in content["shards"]]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{manifest} is not a manifest of shards: {error}") from None
    absent = [shard.url for shard in entries if not is_remote(shard.url) and not Path(shard.url).is_file()]
    if absent:
        raise UserError(f"{manifest} names shards that are not there: {', '.join(absent[:3])}")
    indexed = [shard if shard.index else _indexed_anew(shard, manifest) for shard in entries]
    return ShardSet(name_of(folder), tuple(indexed), source)


def _indexed_anew(shard: Shard, manifest: str) -> Shard:
    """Of a manifest of version 1, which has no indexes."""
    if len(shard.samples) != 1:
        told = f"{shard.url} has records of {' and '.join(shard.samples) or 'no source'} and no index"
        raise UserError(f"{manifest}: {told}: write a manifest by anymask-shards index")
    (source,) = shard.samples
    return _indexed(shard.url, source)[0]


def _entry(entry: dict[str, Any], folder: str, source: Source) -> Shard:
    samples = {_known_source(name): int(number) for name, number in entry["samples"].items()}
    if min(samples.values(), default=0) < 0:
        raise ValueError(f"{entry['url']} has a negative number of samples")
    index = entry.get("index")
    return Shard(
        url=join(folder, entry["url"]),
        samples=samples,
        bytes=int(entry.get("bytes", 0)),
        masks=entry.get("masks"),
        sha256=entry.get("sha256"),
        index=join(folder, index) if index else None,
    )


def tars_of(path: str) -> list[str]:
    """Those in a folder, or the addresses that a pattern stands for. Raises UserError where braces do not match."""
    folder = Path(path.removeprefix("file://"))
    return [str(file) for file in sorted(folder.glob("*.tar"))] if folder.is_dir() else _expanded(path)


def _known_source(name: str) -> Source:
    if name not in SOURCES:
        raise ValueError(f"unknown source {name!r}")
    return name


def _tars(path: str, source: Source, pipes: Pipes) -> ShardSet:
    """Tar files without a manifest; where one beside them describes some of these, they are not read."""
    urls = tars_of(path)
    if not urls:
        raise UserError(f"there are no shards in {path}: neither {MANIFEST} nor a tar file")
    files = [pipes.copied(url) if url.startswith("pipe:") else url for url in urls]
    for url in files:
        if not exists(url):
            raise UserError(f"there is no shard at {url}")
    described = {shard.url: shard for shard in _described(files[0], source)}
    found: list[Shard] = []
    defects: list[Skipped] = []
    for url in _with_progress(files) if not set(files) <= set(described) else files:
        if url in described:
            found.append(described[url])
            continue
        shard, wrong = _indexed(url, source)
        found.append(shard)
        defects += wrong
    return ShardSet(name_of(Path(files[0]).parent), tuple(found), source, tuple(defects))


def _described(url: str, source: Source) -> tuple[Shard, ...]:
    """All that the manifest beside a tar describes."""
    manifest = join(url.rpartition("/")[0] or ".", MANIFEST)
    return _read_manifest(manifest, source).shards if exists(manifest) else ()


def _indexed(url: str, source: Source) -> tuple[Shard, list[Skipped]]:
    """From the headers of a tar; its records are of the source that the configuration gives."""
    entries, defects = index_of_tar(url)
    alone = [entry for entry in entries if not entry.photograph.size]
    defects += [Skipped(url, entry.key, "there is an annotation and no photograph") for entry in alone]
    entries = [entry for entry in entries if entry.photograph.size]
    shard = Shard(url, {source: len(entries)}, size_of(url), table=as_index(entries))
    return replace(shard, samples={} if not entries else shard.samples), defects


def _with_progress(files: list[str]) -> Iterator[str]:
    total = sum(size_of(url) for url in files)
    about = f"reading the headers of {len(files)} tars (once with anymask-shards index)"
    return iter(track(files, about, console=Console(stderr=True))) if total > MANY_BYTES else iter(files)


def _expanded(pattern: str) -> list[str]:
    try:
        return list(braceexpand(pattern))
    except ValueError:
        raise UserError(f"the braces in {pattern!r} do not match: write sa_{{000000..000999}}.tar") from None
