"""Shards: tar files of records, read as webdataset streams, written whole, and described by a manifest.

A shard set is a folder with ``manifest.json``, or tar files alone, such as SA-1B's own: then the photographs of each
are counted from the headers, and all are of the source that the configuration gives.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from braceexpand import braceexpand
from webdataset.tariterators import gopen, group_by_keys, tar_file_expander
from webdataset.writer import TarWriter

from anymask.data.records import RawSample, source_of
from anymask.errors import UserError
from anymask.structures import SOURCES, Skipped, Source

__all__ = ["MANIFEST", "Shard", "ShardError", "ShardSet", "ShardWriter", "name_of", "read_all", "read_shard"]

MANIFEST = "manifest.json"
_FORMAT = {"format": "anymask shards", "version": 1}
_SPLITS = ("train", "held_out")  # that the programs of data/ write
_PHOTOGRAPHS = (".jpg", ".jpeg", ".png")


class ShardError(Exception):
    """A tar file that cannot be read on; the message says why."""


@dataclass(frozen=True, slots=True)
class Shard:
    """One tar file and how many records of each source it holds."""

    url: str
    samples: dict[Source, int]

    @property
    def total(self) -> int:
        return sum(self.samples.values())


@dataclass(frozen=True, slots=True)
class ShardSet:
    """The shards of one data set."""

    name: str
    shards: tuple[Shard, ...]
    default_source: Source

    @classmethod
    def open(cls, path: str, *, source: Source = "automatic") -> ShardSet:
        """A folder with a manifest, a folder of tars, or tars by a pattern such as ``sa_{000000..000999}.tar``.

        ``source`` is that of records which do not say. Raises UserError where there is nothing to read.
        """
        if source not in SOURCES:
            raise UserError(f"unknown source {source!r}: there are {', '.join(SOURCES)}")
        folder = Path(path)
        if (folder / MANIFEST).is_file():
            return _read_manifest(folder, source)
        urls = [str(file) for file in sorted(folder.glob("*.tar"))] if folder.is_dir() else _expanded(path)
        if not urls:
            raise UserError(f"there are no shards in {path}: neither {MANIFEST} nor a tar file")
        shards = tuple(Shard(url, {source: _count_photographs(url)}) for url in urls)
        return cls(name_of(Path(urls[0]).parent), shards, source)

    @property
    def samples(self) -> Counter[Source]:
        """Records of each source."""
        return sum((Counter(shard.samples) for shard in self.shards), Counter())

    def fingerprint(self) -> str:
        """Short hash of the shards' names and counts."""
        told = json.dumps([(Path(shard.url).name, sorted(shard.samples.items())) for shard in self.shards])
        return hashlib.sha256(told.encode()).hexdigest()[:12]


def read_shard(url: str) -> Iterator[RawSample]:
    """The records of a tar file in its order; nothing is decoded.

    Raises ShardError where the file ends early or is damaged. A ``pipe:`` would run a command and is refused.
    """
    _refuse_pipe(url)
    try:
        with gopen.gopen(url, "rb") as stream:
            files = tar_file_expander([{"url": url, "stream": stream}])
            for sample in group_by_keys(files):
                contents = {ending: data for ending, data in sample.items() if not ending.startswith("__")}
                yield RawSample(shard=url, key=sample["__key__"].removeprefix("./"), files=contents)
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise ShardError(f"{type(error).__name__}: {error.args[0] if error.args else error}") from None


def read_all(shards: ShardSet) -> Iterator[RawSample | Skipped]:
    """The records of a set in its order; what follows damage in a shard is passed over and told as one."""
    for shard in shards.shards:
        try:
            yield from read_shard(shard.url)
        except ShardError as error:
            yield Skipped(shard.url, "the rest of the shard", str(error))


class ShardWriter:
    """Packs records into shards of one source each, with a manifest; a context manager.

    A shard gets its name when it is whole; the manifest is written last. ``folder`` must be empty or absent.
    """

    def __init__(self, folder: Path, *, samples_per_shard: int = 1000) -> None:
        if folder.exists() and any(folder.iterdir()):
            raise UserError(f"{folder} is not empty: name another folder or remove it")
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._limit = samples_per_shard
        self._open: dict[Source, _OpenShard] = {}
        self._written: list[Shard] = []
        self._hashes: list[str] = []

    def __enter__(self) -> ShardWriter:
        return self

    def write(self, key: str, files: dict[str, bytes], *, source: Source) -> None:
        """Add a record; ``files`` by their endings, the annotation as ``json``."""
        shard = self._open.get(source)
        if shard is None:
            number = sum(source in shard.samples for shard in self._written)
            shard = self._open[source] = _OpenShard(self._folder / f"{source}-{number:06d}.tar")
        shard.writer.write({"__key__": key, **files})
        shard.samples += 1
        if shard.samples == self._limit:
            self._close(source)

    def __exit__(self, kind: Any, *_: Any) -> None:
        for source in list(self._open):
            if kind is None:
                self._close(source)
            else:
                self._open[source].discard()
        if kind is None:
            _write_manifest(self._folder, self._written, self._hashes)

    def _close(self, source: Source) -> None:
        shard = self._open.pop(source)
        self._written.append(Shard(shard.path.name, {source: shard.samples}))
        self._hashes.append(shard.finish())


class _OpenShard:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.samples = 0
        self._part = path.with_name(f".{path.name}.part")
        self._file = self._part.open("wb")
        self.writer = TarWriter(self._file, encoder=False, mtime=0, user="anymask", group="anymask")

    def finish(self) -> str:
        """Give the shard its name; returns the hash of its bytes."""
        self.writer.close()
        self._file.close()
        digest = hashlib.sha256(self._part.read_bytes()).hexdigest()
        self._part.replace(self.path)
        return digest

    def discard(self) -> None:
        self.writer.close()
        self._file.close()
        self._part.unlink()


def _write_manifest(folder: Path, shards: list[Shard], hashes: list[str]) -> None:
    entries = [{**asdict(shard), "sha256": digest} for shard, digest in zip(shards, hashes, strict=True)]
    part = folder / f".{MANIFEST}.part"
    part.write_text(json.dumps({**_FORMAT, "shards": entries}, indent=1) + "\n")
    part.replace(folder / MANIFEST)


def _read_manifest(folder: Path, source: Source) -> ShardSet:
    try:
        content = json.loads((folder / MANIFEST).read_text())
        if {key: content[key] for key in _FORMAT} != _FORMAT:
            raise ValueError(f"its format is {content['format']!r} {content['version']!r}")
        shards = tuple(
            Shard(str(folder / entry["url"]), {_known_source(s): int(n) for s, n in entry["samples"].items()})
            for entry in content["shards"]
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{folder / MANIFEST} is not a manifest of shards: {error}") from None
    absent = [shard.url for shard in shards if not Path(shard.url).is_file()]
    if absent:
        raise UserError(f"{folder / MANIFEST} names shards that are not there: {', '.join(absent[:3])}")
    return ShardSet(name_of(folder), shards, source)


def name_of(path: str | Path) -> str:
    """What a set is called: by its folder, which may hold it in ``shards``, and its split where it has some.

    >>> [name_of(path) for path in ("data/coco_val80/shards", "data/sa_mini/shards/held_out", "/sa1b")]
    ['coco_val80', 'sa_mini held_out', 'sa1b']
    """
    parts = [part for part in Path(path).absolute().parts if part != "shards"]
    return " ".join(parts[-2:] if parts[-1] in _SPLITS else parts[-1:])


def _expanded(pattern: str) -> list[str]:
    try:
        return list(braceexpand(pattern))
    except ValueError:
        raise UserError(f"the braces in {pattern!r} do not match: write sa_{{000000..000999}}.tar") from None


def _known_source(name: str) -> Source:
    if name not in SOURCES:
        raise ValueError(f"unknown source {name!r}")
    return name


def _count_photographs(url: str) -> int:
    """From the headers of a local tar; the contents are skipped over, not read."""
    _refuse_pipe(url)
    if not Path(url).is_file():
        raise UserError(f"there is no shard at {url}")
    try:
        with tarfile.open(url, "r:") as tar:
            return sum(member.isreg() and member.name.lower().endswith(_PHOTOGRAPHS) for member in tar)
    except tarfile.TarError as error:
        raise UserError(f"{url} is not a tar file: {error}") from None


def _refuse_pipe(url: str) -> None:
    if url.startswith("pipe:"):
        raise UserError(f"{url!r} would run a command: name a file")


def records_of_source(shard: Shard, source: Source, default: Source) -> Iterator[RawSample]:
    """The records of one source in a shard, in its order."""
    is_mixed = set(shard.samples) != {source}
    return (raw for raw in read_shard(shard.url) if not is_mixed or source_of(raw, default) == source)
