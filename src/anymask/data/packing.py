"""From other people's folders to shards: what the programs ``data/*/prepare.py`` share.

Each program lists its photographs and says how one is read; here a record is checked by the very code that will read
it in training, dealt to a split, written and counted. The folder gets its name when all of it is right.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
from jaxtyping import UInt8
from rich.console import Console
from rich.progress import track

from anymask import masks
from anymask.data.records import BadSample, RawSample, parse
from anymask.data.shards import ShardWriter
from anymask.errors import UserError
from anymask.structures import Rle, Source

__all__ = [
    "Counts",
    "Photograph",
    "annotation",
    "command_line",
    "files_by_stem",
    "is_held_out",
    "pack",
    "pair",
    "read_levels",
]

_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class Photograph:
    """A photograph's own bytes and what SA-1B's form says of it."""

    key: str
    file: bytes
    image: dict[str, Any]  # its width and height, and what else is known
    annotations: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Counts:
    """What was packed, by split; photographs without a mask are left out."""

    photographs: Counter[str] = field(default_factory=Counter)
    masks: Counter[str] = field(default_factory=Counter)
    without_masks: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        splits = ", ".join(f"{s} {n} with {self.masks[s]} masks" for s, n in self.photographs.items() if s)
        left_out = f"; {self.without_masks.total()} photographs without masks left out"
        total = f"{self.photographs.total()} photographs, {self.masks.total()} masks"
        return total + (f" ({splits})" if splits else "") + (left_out if self.without_masks else "")


def command_line(documentation: str) -> argparse.ArgumentParser:
    """A parser that shows the program's own documentation and knows the options that all programs have."""
    parser = argparse.ArgumentParser(
        description=documentation, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the shards, empty or absent")
    parser.add_argument("--expect-images", type=int, help="refuse any other number of photographs")
    parser.add_argument("--expect-masks", type=int, help="refuse any other number of masks")
    return parser


def files_by_stem(folder: Path, *endings: str) -> dict[str, Path]:
    """The files of a folder with one of the endings, by their names without it, in the order of the names.

    Raises UserError where there is no such folder or no such file, or two files share a name.
    """
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}")
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in endings)
    if not files:
        raise UserError(f"there is no {' or '.join(endings)} file in {folder}")
    by_stem = {file.stem: file for file in files}
    if len(by_stem) < len(files):
        raise UserError(f"two photographs of {folder} share one name: {_first_double([f.stem for f in files])}")
    return by_stem


def pair(photographs: dict[str, Path], annotations: dict[str, Path]) -> list[tuple[Path, Path]]:
    """Each photograph with its annotation; raises UserError where one stands alone."""
    alone = sorted(photographs.keys() ^ annotations.keys())
    if alone and alone[0] in photographs:
        raise UserError(f"the photograph {photographs[alone[0]]} has no annotation")
    if alone:
        raise UserError(f"the annotation {annotations[alone[0]]} has no photograph")
    return [(file, annotations[stem]) for stem, file in photographs.items()]


def read_levels(path: Path, levels: set[int]) -> UInt8[np.ndarray, "h w"]:
    """A mask drawn in grey; raises UserError where it is no picture or has a level that means nothing here."""
    grey = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_GRAYSCALE) if path.stat().st_size else None
    if grey is None:
        raise UserError(f"{path} is not a picture that can be read")
    found_levels = set(np.flatnonzero(np.bincount(grey.ravel())).tolist())
    unknown = found_levels - levels
    if unknown or 255 not in found_levels:
        found = f"the level {min(unknown)}" if unknown else "no pixel of 255, the object"
        raise UserError(f"{path} has {found}; a mask has {sorted(levels)}")
    return np.asarray(grey)


def annotation(number: int, rle: Rle, ignore: Rle | None = None) -> dict[str, Any]:
    """One mask in SA-1B's form."""
    counts = masks.runs(rle)
    x0, y0, x1, y1 = masks.box(counts, rle.size[0])
    entry = {
        "id": number,
        "segmentation": masks.rle_to_json(rle),
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "area": masks.area(counts),
    }
    return entry if ignore is None else {**entry, "ignore": masks.rle_to_json(ignore)}


def is_held_out(key: str, share: float) -> bool:
    """By the hash of the key alone: the same photographs on every machine, whatever else is packed."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8]) < share * 2**64


def pack(
    items: Sequence[_Item],
    read: Callable[[_Item], Photograph],
    out: Path,
    *,
    source: Source,
    held_out: float | None = None,
    expected: tuple[int | None, int | None] = (None, None),
) -> Counts:
    """Shards of all that ``read`` makes of the items, in ``out`` or, where a share is held out, in two folders there.

    ``expected`` are the numbers of photographs and masks. Raises UserError where they differ, for a split without
    photographs and for the first photograph that does not match its annotation; then nothing is left behind.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} is not an empty folder: name another or remove it")
    if held_out is not None and not 0 < held_out < 1:
        raise UserError(f"the share held out lies between 0 and 1, not at {held_out}")
    part = out.absolute().with_name(f".{out.absolute().name}.{os.getpid()}.part")
    try:
        counts = _write(items, read, part, source, held_out)
        _check_numbers(counts, expected)
        part.replace(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return counts


def _write(
    items: Sequence[_Item], read: Callable[[_Item], Photograph], folder: Path, source: Source, held_out: float | None
) -> Counts:
    counts, keys = Counts(), set()
    splits = [""] if held_out is None else ["train", "held_out"]
    with ExitStack() as stack:
        writers = {split: stack.enter_context(ShardWriter(folder / split)) for split in splits}
        for item in track(items, "packing", console=Console(stderr=True)):
            photograph = read(item)
            split = "" if held_out is None else splits[is_held_out(photograph.key, held_out)]
            if not photograph.annotations:
                counts.without_masks[split] += 1
                continue
            if photograph.key in keys or "." in photograph.key:
                raise UserError(f"the name {photograph.key!r} has a dot or is not the only one of its kind")
            keys.add(photograph.key)
            writers[split].write(photograph.key, _checked_files(photograph, source), source=source)
            counts.photographs[split] += 1
            counts.masks[split] += len(photograph.annotations)
        for split in splits:
            if not counts.photographs[split]:
                raise UserError(f"no photograph is left for {split or 'the shards'} out of {len(items)}")
    return counts


def _checked_files(photograph: Photograph, source: Source) -> dict[str, bytes]:
    record = {"image": photograph.image, "source": source, "annotations": photograph.annotations}
    ending = "png" if photograph.file.startswith(b"\x89PNG") else "jpg"
    files = {ending: photograph.file, "json": json.dumps(record).encode()}
    try:
        sample = parse(RawSample("", photograph.key, files), source)
        for rle in (*sample.masks, *filter(None, sample.ignore)):
            masks.runs(rle)
    except (BadSample, ValueError) as error:
        raise UserError(f"{photograph.key}: {error}") from None
    return files


def _check_numbers(counts: Counts, expected: tuple[int | None, int | None]) -> None:
    found = counts.photographs.total(), counts.masks.total()
    for what, number, wanted in zip(("photographs", "masks"), found, expected, strict=True):
        if wanted not in (None, number):
            raise UserError(f"there are {number} {what}, not {wanted} as expected")


def _first_double(names: list[str]) -> str:
    return next(name for name, number in Counter(names).items() if number > 1)
