"""A first look at a data set: photographs with their masks, histograms, and what trains badly, on one page."""

from __future__ import annotations

import colorsys
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Int, UInt8

from anymask import masks
from anymask.atomic import write_atomically
from anymask.data.records import BadSample, decode_image
from anymask.drawing import jpeg, overlay, tile
from anymask.errors import UserError
from anymask.evaluation.page import Page, write_page
from anymask.evaluation.view import Bars, Block, Picture, Row, Table
from anymask.shard_command.survey import Described, Survey

__all__ = ["chosen_numbers", "write_contact_sheet"]

SIDE = 400
"""Longest side of a pictured photograph."""
IN_A_ROW = 6
KEYS_NAMED = 5
SHARES = (0.0, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 0.5, 0.9, 1.0)
COUNTS = (0, 1, 2, 5, 10, 20, 50, 100, 200, 1000)
SIDES = (0, 128, 256, 512, 1024, 1500, 2250, 4096)


def chosen_numbers(total: int, wanted: int, seed: int) -> list[int]:
    """All, or so many of them by chance, rising."""
    return sorted(random.Random(seed).sample(range(total), min(wanted, total)))


def write_contact_sheet(path: Path, name: str, total: int, found: Survey, pictured: Iterable[Described]) -> None:
    """A page (``.html``, with its tables as ``.md`` beside it) or a picture of the photographs alone (``.jpg``)."""
    pictures = [(_caption(photograph), picture_of(photograph)) for photograph in pictured if photograph.wrong is None]
    if path.suffix.lower() in (".jpg", ".jpeg"):
        if not pictures:
            raise UserError(f"{name} has no photograph that could be pictured")
        rows = [[picture for _, picture in pictures[n : n + IN_A_ROW]] for n in range(0, len(pictures), IN_A_ROW)]
        data = jpeg(tile(rows))
        write_atomically(path, lambda part: part.write_bytes(data))
        return
    write_page(path.with_suffix(""), _page(name, total, found, pictures))


def _caption(photograph: Described) -> str:
    height, width = photograph.size
    return f"{photograph.key}: {width} x {height}, {len(photograph.masks)} masks"


def picture_of(photograph: Described) -> UInt8[np.ndarray, "h w 3"]:
    """A small photograph with every mask in a colour of its own, the largest first; grey where it is damaged."""
    try:
        image = decode_image(photograph.file)
    except BadSample:
        return np.full((SIDE * 3 // 4, SIDE, 3), 128, dtype=np.uint8)
    scale = min(1.0, SIDE / max(image.shape[:2]))
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
    if photograph.masks and photograph.size != image.shape[:2]:
        return small  # the survey counts it; the masks belong to another photograph
    lattice = masks.Lattice(image.shape[:2], _nearest(size[1], image.shape[0]), _nearest(size[0], image.shape[1]))
    bitmaps = []
    for mask in photograph.masks:
        with suppress(ValueError):  # a code that is damaged, which the survey counts
            bitmaps.append(lattice.bitmap(masks.runs(mask)))
    bitmaps.sort(key=lambda bitmap: -int(bitmap.sum()))
    for number, bitmap in enumerate(bitmaps):
        small = overlay(small, bitmap, _colour(number))
    return small


def _nearest(small: int, large: int) -> Int[np.ndarray, " k"]:
    """Rows or columns of the photograph that are shown."""
    return np.minimum((np.arange(small) + 0.5) * large / small, large - 1).astype(np.int64)


def _colour(number: int) -> tuple[int, int, int]:
    """Hues by the golden ratio: neighbours differ most."""
    red, green, blue = colorsys.hsv_to_rgb(number * 0.618034 % 1, 0.85, 0.9)
    return round(255 * red), round(255 * green), round(255 * blue)


def _page(name: str, total: int, found: Survey, pictures: Sequence[tuple[str, UInt8[np.ndarray, "_ _ 3"]]]) -> Page:
    looked_at = "all of them" if found.photographs == total else f"of {found.photographs:,} of them, drawn by chance"
    number = sum(found.masks_of_photographs)
    lead = f"{total:,} photographs; the numbers below are {looked_at}: {number:,} masks."
    shown = tuple(Picture(jpeg(picture), said, f"{said}, in colours") for said, picture in pictures)
    blocks = (
        Block(title="What trains badly", tables=(_warnings(found),)),
        Block(title="Sizes and counts", charts=_histograms(found)),
        Block(title="Photographs", pictures=(("", shown),)),
    )
    return Page(f"{name}: a first look", lead, blocks, ())


def _warnings(found: Survey) -> Table:
    rows = []
    for what, keys in sorted(found.warnings.items(), key=lambda warning: -len(warning[1])):
        of_keys = Counter(keys)
        first = ", ".join(list(of_keys)[:KEYS_NAMED]) + (" …" if len(of_keys) > KEYS_NAMED else "")
        rows.append(Row(what, (f"{len(keys):,}", f"{len(of_keys):,}", first)))
    rows = rows or [Row("nothing was found", ("0", "0", ""))]
    return Table(columns=("what", "how often", "photographs", "the first"), rows=tuple(rows), texts=(3,))


def _histograms(found: Survey) -> tuple[Bars, ...]:
    return (
        _bars("Sizes of the masks", "share of the photograph", "masks", found.shares, SHARES, "{:g}"),
        _bars("Masks of a photograph", "masks", "photographs", found.masks_of_photographs, COUNTS, "{:d}"),
        _bars("Longest sides", "pixels", "photographs", found.longest_sides, SIDES, "{:d}"),
    )


def _bars(title: str, x: str, y: str, values: Sequence[float | int], edges: Sequence[float | int], form: str) -> Bars:
    """A value on an edge belongs to the bar that begins there; what lies beyond the last edge is in the last bar."""
    bars = np.searchsorted(edges[1:-1], values, side="right")
    counts = np.bincount(bars, minlength=len(edges) - 1)
    named = tuple(form.format(edge) for edge in edges)
    return Bars(title=title, x_title=x, y_title=y, edges=named, counts=tuple(counts.tolist()))
