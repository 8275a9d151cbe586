"""Photographs with the boundaries that people drew: BSDS500's own folders, or shards of ``data/bsds/prepare.py``.

A record of such a shard is a photograph and

    {"image": {"width": …, "height": …}, "boundaries": [{"size": [h, w], "counts": "…"}, …]}

with one run-length code per annotator.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import msgspec
import numpy as np
from jaxtyping import Bool, UInt8

from anymask import masks
from anymask.data.bsds import ground_truth
from anymask.data.folders import files_by_stem, pair
from anymask.data.records import BadSample, RawSample, decode_image
from anymask.data.samples import Name
from anymask.data.shards import MANIFEST, Records, ShardSet
from anymask.errors import UserError
from anymask.structures import Skipped

__all__ = ["BsdsFolder", "EdgeImage", "EdgeSet", "EdgeShards", "bsds_folders", "open_edge_set", "parse_boundaries"]

PHOTOGRAPHS = (".jpg", ".jpeg", ".png")


@dataclass(frozen=True, kw_only=True, slots=True)
class EdgeImage:
    """One photograph and what each annotator drew on it."""

    shard: str  # the shard, or the name of the folder of photographs
    key: str
    image: UInt8[np.ndarray, "h w 3"]
    boundaries: tuple[Bool[np.ndarray, "h w"], ...]  # at least one


@runtime_checkable
class EdgeSet(Protocol):
    """A data set that is read in its order, each image once."""

    @property
    def name(self) -> str: ...

    @property
    def keys(self) -> tuple[str, ...]:
        """Of all images that were found, each once; fit to be the name of a file."""
        ...

    def fingerprint(self) -> str:
        """Short hash of what is in it."""
        ...

    def __len__(self) -> int:
        """Images, those that cannot be used among them."""
        ...

    def read(self, *, limit: int | None = None, rank: int = 0, world: int = 1) -> Iterator[EdgeImage | Skipped]:
        """Every ``world``-th of the first ``limit`` images from ``rank`` on."""
        ...

    def find(self, names: set[Name]) -> dict[Name, EdgeImage]:
        """Some images that were read before, for their pictures."""
        ...


@dataclass(frozen=True, slots=True)
class BsdsFolder:
    """Photographs in one folder, ``.mat`` files with ``groundTruth`` in another, in pairs of one name."""

    name: str
    pairs: tuple[tuple[Path, Path], ...]

    @classmethod
    def open(cls, path: Path) -> BsdsFolder:
        """Raises UserError where ``path`` has no such folders, and for files without partners or with strange names."""
        photographs, truths = bsds_folders(path)
        images, boundaries = files_by_stem(photographs, *PHOTOGRAPHS), files_by_stem(truths, ".mat")
        for file in (*images.values(), *boundaries.values()):
            if not _is_utf8(file.name):
                raise UserError(f"a file's name is not UTF-8: {str(file)!a}")
        return cls(_name_of(photographs), tuple(pair(images, boundaries).values()))

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(photograph.stem for photograph, _ in self.pairs)

    def fingerprint(self) -> str:
        """Of the files' names and bytes."""
        digest = hashlib.sha256()
        for path in (path for both in self.pairs for path in both):
            digest.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()[:12]

    def __len__(self) -> int:
        return len(self.pairs)

    def read(self, *, limit: int | None = None, rank: int = 0, world: int = 1) -> Iterator[EdgeImage | Skipped]:
        for photograph, truth in self.pairs[:limit][rank::world]:
            yield _read_pair(photograph, truth)

    def find(self, names: set[Name]) -> dict[Name, EdgeImage]:
        wanted = [both for both in self.pairs if (both[0].parent.name, both[0].stem) in names]
        images = [_read_pair(*both) for both in wanted]
        return {(image.shard, image.key): image for image in images if isinstance(image, EdgeImage)}


@dataclass(frozen=True, slots=True)
class EdgeShards:
    """Records of photographs with ``boundaries``."""

    shards: ShardSet
    keys: tuple[str, ...]

    @classmethod
    def open(cls, path: str) -> EdgeShards:
        """Raises UserError where two records have one key, or a key cannot be the name of a file."""
        shards = ShardSet.open(path)
        keys = tuple(key for _, key in Records(shards.shards, shards.default_source).names())
        if doubles := [key for key, number in Counter(keys).items() if number > 1]:
            raise UserError(f"{path} has two records of the name {doubles[0]!r}")
        if strange := [key for key in keys if not _is_file_name(key)]:
            raise UserError(f"{path} has a record of the name {strange[0]!r}, which cannot be that of a file")
        return cls(shards, keys)

    @property
    def name(self) -> str:
        return self.shards.name

    def fingerprint(self) -> str:
        return self.shards.fingerprint()

    def __len__(self) -> int:
        return self.shards.samples.total()

    def read(self, *, limit: int | None = None, rank: int = 0, world: int = 1) -> Iterator[EdgeImage | Skipped]:
        records = Records(self.shards.shards, self.shards.default_source)
        for number in range(len(records))[:limit][rank::world]:
            record = records.read(number)
            yield record if isinstance(record, Skipped) else _parsed(record)
        records.close()

    def find(self, names: set[Name]) -> dict[Name, EdgeImage]:
        records = Records(self.shards.shards, self.shards.default_source)
        read = {name: records.read(number) for number, name in enumerate(records.names()) if name in names}
        records.close()
        return {name: parse_boundaries(raw) for name, raw in read.items() if isinstance(raw, RawSample)}


def open_edge_set(data: str) -> BsdsFolder | EdgeShards:
    """A folder in BSDS500's layout, or shards as ``ShardSet.open`` takes them.

    Raises UserError where there is nothing to read, for a ``.json``, for a photograph without ground truth or the
    reverse, and for names that are not UTF-8.
    """
    folder = Path(data)
    if _is_bsds(folder):
        return BsdsFolder.open(folder)
    if folder.is_dir() and not (folder / MANIFEST).is_file() and not any(folder.glob("*.tar")):
        raise UserError(f"{data} holds neither BSDS500's folders images and groundTruth nor shards")
    if data.endswith(".json"):
        raise UserError(f"edges takes a folder in BSDS500's layout, or shards, as data: {data} is neither")
    return EdgeShards.open(data)


def bsds_folders(path: Path) -> tuple[Path, Path]:
    """The folders of the photographs and of the ground truth: ``images`` and ``groundTruth``, or ``test`` in each.

    They lie in ``path`` or in its ``data``. Raises UserError where they do not.
    """
    for root in (path, path / "data"):
        for inside in ("test", "."):
            photographs, truths = root / "images" / inside, root / "groundTruth" / inside
            if photographs.is_dir() and truths.is_dir():
                return photographs, truths
    raise UserError(f"{path} has no folders images and groundTruth, as BSDS500 has them")


def parse_boundaries(raw: RawSample) -> EdgeImage:
    """Decode the photograph and every annotator's boundaries. Raises BadSample with the reason."""
    if "json" not in raw.files:
        raise BadSample("there is no annotation (json)")
    photograph = next((raw.files[e] for e in ("jpg", "jpeg", "png") if e in raw.files), None)
    if photograph is None:
        raise BadSample("there is no photograph (jpg, jpeg or png)")
    try:
        record = _RECORD.decode(raw.files["json"])
        size = (record.image.height, record.image.width)
        drawn = [masks.decode(masks.rle_from_json(code, size)) for code in record.boundaries]
    except RecursionError:
        raise BadSample("the annotation is broken: it is nested too deeply") from None
    except ValueError as error:  # msgspec's are, too
        raise BadSample(f"the annotation is broken: {error}") from None
    return _checked(raw.shard, raw.key, decode_image(photograph), drawn)


class _Size(msgspec.Struct):
    width: int
    height: int


class _Record(msgspec.Struct):
    image: _Size
    boundaries: list[Any]


_RECORD = msgspec.json.Decoder(_Record)


def _parsed(raw: RawSample) -> EdgeImage | Skipped:
    try:
        return parse_boundaries(raw)
    except BadSample as error:
        return Skipped(raw.shard, raw.key, str(error))


def _read_pair(photograph: Path, truth: Path) -> EdgeImage | Skipped:
    shard, key = photograph.parent.name, photograph.stem
    try:
        return _checked(shard, key, decode_image(photograph.read_bytes()), ground_truth(truth))
    except (BadSample, UserError) as error:
        return Skipped(shard, key, str(error))


def _checked(
    shard: str, key: str, image: UInt8[np.ndarray, "_ _ 3"], drawn: list[Bool[np.ndarray, "_h _w"]]
) -> EdgeImage:
    sizes = {boundary.shape for boundary in drawn}
    if not drawn:
        raise BadSample("there is no annotator")
    if sizes != {image.shape[:2]}:
        raise BadSample(
            f"the photograph is {image.shape[:2]} pixels (height, width), the boundaries are {sorted(sizes)}"
        )
    return EdgeImage(shard=shard, key=key, image=image, boundaries=tuple(drawn))


def _is_bsds(path: Path) -> bool:
    try:
        bsds_folders(path)
    except UserError:
        return False
    return True


def _is_file_name(key: str) -> bool:
    return Path(key).name == key and key not in (".", "..") and _is_utf8(key)


def _is_utf8(name: str) -> bool:
    """Whether the system's name of a file was; what it was not is a surrogate here."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _name_of(photographs: Path) -> str:
    """What a folder is called: by what holds its images and truth, and its split where it has some.

    >>> [_name_of(Path(path)) for path in ("BSDS500/data/images/test", "/bsds500_test/images")]
    ['BSDS500 test', 'bsds500_test']
    """
    parts = photographs.absolute().parts
    folder = [part for part in parts[: -2 if parts[-1] == "test" else -1] if part not in ("data", "images")][-1]
    return f"{folder} test" if parts[-1] == "test" else folder
