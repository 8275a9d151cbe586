"""From other people's data to shards: what is common to all layouts.

A layout lists its photographs and reads one at a time; here each is checked by the very code that will read it in
training, dealt to a split, written and counted. The folder gets its name when all of it is right; a packing that was
stopped goes on with the shards that it had finished.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import re
import signal
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

from rich.console import Console
from rich.progress import track

from anymask import masks
from anymask.atomic import discard
from anymask.data.records import BadSample, RawSample, parse
from anymask.data.shard_writer import OtherRecordsError, ShardWriter, only_writer
from anymask.data.worker import become_worker
from anymask.errors import UserError
from anymask.structures import Rle, Source

__all__ = ["Counts", "Layout", "Photograph", "annotation", "is_held_out", "key_of", "keyed", "pack"]

Item = TypeVar("Item")
SPLITS = ("train", "held_out")


@dataclass(frozen=True, slots=True)
class Photograph:
    """A photograph's own bytes (JPEG or PNG) and what SA-1B's form says of it."""

    file: bytes
    image: dict[str, Any]  # its width and height, and what else is known
    annotations: list[dict[str, Any]]  # as ``annotation`` makes them
    left_out: dict[str, int] = field(default_factory=dict)  # objects that are no mask, by what they are: {"crowd": 2}


@runtime_checkable
class Layout(Protocol[Item]):
    """A data set in the form in which it is distributed. The processes that read it are forks of the one that lists."""

    def items(self) -> Mapping[str, Item]:
        """What is needed to read each photograph, by the photograph's key, in an order of its own.

        A key has no dot and no slash (see ``key_of``). Raises UserError where there is nothing, or not in this form.
        """
        ...

    def read(self, item: Item) -> Photograph:
        """Raises UserError where a photograph or its annotation is damaged, or they do not belong together."""
        ...


@dataclass(frozen=True, slots=True)
class Counts:
    """What was packed, by split; photographs without a mask are left out."""

    photographs: Counter[str] = field(default_factory=Counter)
    masks: Counter[str] = field(default_factory=Counter)
    without_masks: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)  # objects, by what they are

    def __str__(self) -> str:
        splits = ", ".join(f"{s} {n} with {self.masks[s]} masks" for s, n in self.photographs.items() if s)
        left_out = [f"{number} {what}" for what, number in self.left_out.items() if number]
        left_out += [f"{self.without_masks.total()} photographs without masks"] if self.without_masks else []
        total = f"{self.photographs.total()} photographs, {self.masks.total()} masks"
        return total + (f" ({splits})" if splits else "") + (f"; left out: {', '.join(left_out)}" if left_out else "")


def annotation(number: int, rle: Rle, ignore: Rle | None = None) -> dict[str, Any]:
    """One mask in SA-1B's form; ``ignore`` are pixels that an evaluation must not count."""
    counts = masks.runs(rle)
    x0, y0, x1, y1 = masks.box(counts, rle.size[0])
    entry = {
        "id": number,
        "segmentation": masks.rle_to_json(rle),
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "area": masks.area(counts),
    }
    return entry if ignore is None else {**entry, "ignore": masks.rle_to_json(ignore)}


def key_of(name: str) -> str:
    """A key from a file's path within its data set: what a key may not hold becomes an underscore.

    >>> key_of("aachen/aachen_000000.leftImg8bit")
    'aachen_aachen_000000_leftImg8bit'
    """
    return re.sub(r"[^\w-]", "_", name)


def keyed(items: Iterable[tuple[str, Item]]) -> dict[str, Item]:
    """Raises UserError where two have one key."""
    found: dict[str, Item] = {}
    for key, item in items:
        if key in found:
            raise UserError(f"two photographs have the name {key!r}")
        found[key] = item
    return found


def is_held_out(key: str, share: float) -> bool:
    """By the hash of the key alone: the same photographs on every machine, whatever else is packed."""
    return _hash(key) < share * 2**64


def _hash(key: str) -> int:
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8])


def pack(
    layout: Layout[Item],
    out: Path,
    *,
    source: Source,
    held_out: float | None = None,
    enough_masks: int | None = None,
    expected: tuple[int | None, int | None] = (None, None),
    samples_per_shard: int = 1000,
    workers: int = 1,
) -> Counts:
    """Shards of all photographs, in ``out`` or, where a share is held out, in two folders there.

    With ``enough_masks``, of a draw: photographs in the order of the hashes of their keys, until there are that many
    masks or more. ``expected`` are the numbers of photographs and masks. Raises UserError where they differ, for a
    split without photographs and for the first photograph that does not match its annotation; then nothing is left.

    What a stopped attempt has finished is kept where the records are the same; else the packing begins anew.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} is not an empty folder: name another or remove it")
    if held_out is not None and not 0 < held_out < 1:
        raise UserError(f"the share held out lies between 0 and 1, not at {held_out}")
    items = _in_order(layout.items(), drawn=enough_masks is not None)
    part = out.absolute().with_name(f".{out.absolute().name}.part")

    def attempt() -> Counts:
        _check_splits(part, held_out)
        with _photographs(layout.read, items, source, workers) as photographs:
            return _write(photographs, len(items), part, source, held_out, enough_masks, samples_per_shard)

    part.parent.mkdir(parents=True, exist_ok=True)
    with only_writer(part.with_name(f"{part.name}.lock"), out):
        try:
            try:
                counts = attempt()
            except OtherRecordsError:
                discard(part)
                counts = attempt()
            _check_numbers(counts, expected)
        except UserError:
            discard(part)
            raise
        part.replace(out)
    return counts


def _check_splits(part: Path, held_out: float | None) -> None:
    """Raises OtherRecordsError where an earlier attempt had a split that this one has not."""
    wanted = set() if held_out is None else set(SPLITS)
    if part.exists() and {path.name for path in part.iterdir() if path.is_dir()} != wanted:
        raise OtherRecordsError(f"{part} has other splits")


def _in_order(items: Mapping[str, Item], *, drawn: bool) -> dict[str, Item]:
    bad = next((key for key in items if not re.fullmatch(r"[^./\\\0]{1,200}", key)), None)
    if bad is not None:
        raise UserError(f"the name {bad!r} has a dot or a slash, or not 1 to 200 letters")
    return {key: items[key] for key in (sorted(items, key=_hash) if drawn else items)}


@dataclass(frozen=True, slots=True)
class _Packed:
    """A record that was checked, or why there is none."""

    key: str
    files: dict[str, bytes]  # empty: there is no mask
    masks: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    mistake: str | None = None


@contextmanager
def _photographs(
    read: Callable[[Item], Photograph], items: dict[str, Item], source: Source, workers: int
) -> Iterator[Iterator[_Packed]]:
    """Records in the order of the items, read by ``workers`` processes beside this one where there are several."""
    task = partial(_packed, read, source)
    if workers <= 1:
        yield map(task, items.items())
        return
    context = multiprocessing.get_context("fork")  # the layout is there already: it may be gigabytes of annotations
    with context.Pool(workers, _be_a_worker, (task,)) as pool:
        yield pool.imap(_work, items.items(), chunksize=4)


_TASK: list[Callable[[tuple[str, Any]], _Packed]] = []  # of this process, where it is a worker


def _be_a_worker(task: Callable[[tuple[str, Any]], _Packed]) -> None:
    become_worker(signal.SIG_IGN)
    _TASK.append(task)


def _work(item: tuple[str, Any]) -> _Packed:
    return _TASK[0](item)


def _packed(read: Callable[[Item], Photograph], source: Source, keyed_item: tuple[str, Item]) -> _Packed:
    key, item = keyed_item
    try:
        photograph = read(item)
        files = _checked_files(key, photograph, source) if photograph.annotations else {}
        return _Packed(key, files, len(photograph.annotations), photograph.left_out)
    except (UserError, OSError) as error:  # an exception would lose its place on the way to the first process
        return _Packed(key, {}, mistake=str(error))


def _write(
    photographs: Iterator[_Packed],
    number: int,
    folder: Path,
    source: Source,
    held_out: float | None,
    enough_masks: int | None,
    samples_per_shard: int,
) -> Counts:
    counts = Counts()
    splits = ("",) if held_out is None else SPLITS
    with ExitStack() as stack:
        writers = {
            split: stack.enter_context(ShardWriter(folder / split, samples_per_shard=samples_per_shard, resume=True))
            for split in splits
        }
        for packed in track(photographs, "packing", total=number, console=Console(stderr=True)):
            if packed.mistake is not None:
                raise UserError(packed.mistake)
            split = "" if held_out is None else splits[is_held_out(packed.key, held_out)]
            counts.left_out.update(packed.left_out)
            if not packed.files:
                counts.without_masks[split] += 1
                continue
            writers[split].write(packed.key, packed.files, source=source)
            counts.photographs[split] += 1
            counts.masks[split] += packed.masks
            if enough_masks is not None and counts.masks.total() >= enough_masks:
                break
        for split in splits:
            if not counts.photographs[split]:
                raise UserError(f"no photograph is left for {split or 'the shards'} out of {number}")
    return counts


def _checked_files(key: str, photograph: Photograph, source: Source) -> dict[str, bytes]:
    record = {"image": photograph.image, "source": source, "annotations": photograph.annotations}
    ending = "png" if photograph.file.startswith(b"\x89PNG") else "jpg"
    files = {ending: photograph.file, "json": json.dumps(record).encode()}
    try:
        sample = parse(RawSample("", key, files), source)
        for rle in (*sample.masks, *filter(None, sample.ignore)):
            masks.runs(rle)
    except (BadSample, ValueError) as error:
        raise UserError(f"{key}: {error}") from None
    return files


def _check_numbers(counts: Counts, expected: tuple[int | None, int | None]) -> None:
    found = counts.photographs.total(), counts.masks.total()
    for what, number, wanted in zip(("photographs", "masks"), found, expected, strict=True):
        if wanted not in (None, number):
            raise UserError(f"there are {number} {what}, not {wanted} as expected")
