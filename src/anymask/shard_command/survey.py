"""What is in a data set, mask by mask, and what of it trains badly; nothing is decoded but run lengths."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import msgspec
import numpy as np
from pycocotools import mask as coco_mask

from anymask import masks
from anymask.data.layouts.pictures import open_picture
from anymask.data.packing import Layout
from anymask.data.records import BadSample, RawSample
from anymask.data.shards import Records
from anymask.errors import UserError
from anymask.structures import Rle, Skipped

__all__ = ["Described", "Survey", "described_layout", "described_shards", "survey"]

LARGE = 0.9
"""Share of the photograph; larger masks are passed over in training (SAM, appendix A)."""
SMALL = 16
"""Pixels; fewer leave little of an object at the resolution of the loss."""
ALIKE = 0.95
"""IoU of two masks that are taken for one drawn twice."""


@dataclass(frozen=True, slots=True)
class Described:
    """One photograph's annotation. ``wrong`` says why there is none."""

    key: str
    size: tuple[int, int] = (0, 0)  # height, width
    masks: tuple[Rle, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)  # objects that are no mask, by what they are
    file: bytes = b""  # of the photograph
    wrong: str | None = None


@dataclass(slots=True)
class Survey:
    """Numbers over all photographs, and by warning the keys that gave cause for it, one entry for each cause."""

    photographs: int = 0
    masks_of_photographs: list[int] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)  # of the photograph, by mask
    longest_sides: list[int] = field(default_factory=list)
    warnings: dict[str, list[str]] = field(default_factory=dict)

    def warn(self, what: str, key: str, times: int = 1) -> None:
        """Remember causes for a warning."""
        if times:
            self.warnings.setdefault(what, []).extend([key] * times)


def described_shards(records: Records, numbers: Iterable[int]) -> Iterator[Described]:
    """Some records of a shard set."""
    for number in numbers:
        record = records.read(number)
        if isinstance(record, Skipped):
            yield Described(record.key, wrong=record.reason)
        else:
            yield _described_record(record)


def described_layout(layout: Layout[Any], items: Mapping[str, Any], numbers: Iterable[int]) -> Iterator[Described]:
    """Some photographs of a data set that is not packed yet."""
    keys = list(items)
    for key in (keys[number] for number in numbers):
        try:
            photograph = layout.read(items[key])
            size = (
                (int(photograph.image["height"]), int(photograph.image["width"])) if photograph.annotations else (0, 0)
            )
            found = tuple(masks.rle_from_json(entry["segmentation"], size) for entry in photograph.annotations)
            yield Described(key, size, found, photograph.left_out, photograph.file)
        except (UserError, OSError, ValueError, KeyError) as error:
            yield Described(key, wrong=str(error))


def survey(described: Iterable[Described]) -> Survey:
    """Count, and look for what trains badly."""
    found = Survey()
    for photograph in described:
        found.photographs += 1
        if photograph.wrong is not None:
            found.warn(f"cannot be read: {photograph.wrong.partition(':')[0]}", photograph.key)
            continue
        try:
            areas = np.array([masks.area(masks.runs(mask)) for mask in photograph.masks], dtype=np.int64)
        except ValueError as error:
            found.warn(f"cannot be read: {error}", photograph.key)
            continue
        _count(found, photograph, areas)
    return found


def _described_record(raw: RawSample) -> Described:
    try:
        record = msgspec.json.decode(raw.files["json"])
        size = (int(record["image"]["height"]), int(record["image"]["width"]))
        found = tuple(_rle(entry["segmentation"], size) for entry in record["annotations"])
    except BadSample as error:
        return Described(raw.key, wrong=str(error))
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError, msgspec.MsgspecError) as error:
        return Described(raw.key, wrong=f"the annotation is broken: {error}")
    return Described(raw.key, size, found, file=raw.files.get("jpg", b""))


def _rle(segmentation: Any, size: tuple[int, int]) -> Rle:
    if tuple(segmentation["size"]) != size:
        raise BadSample(f"a mask's size is not its photograph's: {segmentation['size']}, {size}")
    return masks.rle_from_json(segmentation, size)


def _wrong_with_file(photograph: Described) -> str | None:
    """By its header."""
    try:
        with open_picture(BytesIO(photograph.file), photograph.key) as picture:
            size = (picture.height, picture.width)
    except UserError:
        return "photograph that is damaged or too large"
    return None if size == photograph.size else "photograph of another size than its annotation says"


def _count(found: Survey, photograph: Described, areas: np.ndarray[Any, np.dtype[np.int64]]) -> None:
    key, number = photograph.key, len(areas)
    found.masks_of_photographs.append(number)
    for what, times in photograph.left_out.items():
        found.warn(f"left out: {what}", key, times)
    if not number:
        found.warn("photograph without a mask", key)
        return
    if wrong := _wrong_with_file(photograph):
        found.warn(wrong, key)
    found.longest_sides.append(max(photograph.size))
    shares = areas / (photograph.size[0] * photograph.size[1])
    found.shares += shares[areas > 0].tolist()
    found.warn("empty mask", key, int((areas == 0).sum()))
    found.warn(f"mask over {LARGE:.0%} of the photograph: passed over in training", key, int((shares > LARGE).sum()))
    found.warn(f"mask of fewer than {SMALL} pixels", key, int(((areas > 0) & (areas < SMALL)).sum()))
    found.warn("photograph with a single mask", key, int(number == 1))
    found.warn(f"mask drawn twice (IoU over {ALIKE})", key, _doubles(photograph.masks))


def _doubles(found: tuple[Rle, ...]) -> int:
    """Masks that one before them is like."""
    codes = [{"size": list(mask.size), "counts": mask.counts} for mask in found]
    ious = coco_mask.iou(codes, codes, [0] * len(codes))
    return int((np.tril(ious, -1) > ALIKE).any(axis=1).sum())
