"""A picture of numbers for each photograph: every number is an object, or none where it means background or void.

    images/NAME.jpg        labels/NAME.png

A label picture is grey (8 or 16 bits), has a palette, whose indices count, or is in colours, each of which is a number:
red + 256 green + 65,536 blue. Numbers are taken as they are, not split where an object lies in several parts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from anymask.data.folders import files_by_stem, pair
from anymask.data.layouts.pictures import open_picture
from anymask.data.packing import Photograph, annotation, key_of, keyed
from anymask.data.records import MAX_PIXELS
from anymask.errors import UserError
from anymask.masks import encode_runs
from anymask.structures import Rle

__all__ = [
    "PHOTOGRAPHS",
    "LabelPngs",
    "check_labels",
    "masks_of_labels",
    "pairs_below",
    "photograph_of",
    "read_labels",
]

PHOTOGRAPHS = (".jpg", ".jpeg", ".png")
MOST_NUMBERS = 10_000
"""Of a label picture. A photograph that was taken for one has as many as it has colours, and would take hours."""


@dataclass(frozen=True, slots=True)
class LabelPngs:
    """Photographs with their label pictures, by key. A ``void`` number is no object and is not counted for any."""

    pairs: Mapping[str, tuple[Path, Path]]
    background: frozenset[int] = frozenset({0})
    void: frozenset[int] = frozenset()

    @classmethod
    def of_folders(cls, images: Path, labels: Path, *, background: frozenset[int] = frozenset({0})) -> LabelPngs:
        """A folder of photographs and one of label PNGs with the same names.

        Raises UserError where there are none, or one stands alone.
        """
        pairs = pair(files_by_stem(images, *PHOTOGRAPHS), files_by_stem(labels, ".png"))
        return cls(keyed((key_of(name), files) for name, files in pairs.items()), background)

    def items(self) -> Mapping[str, tuple[Path, Path]]:
        return self.pairs

    def read(self, item: tuple[Path, Path]) -> Photograph:
        photograph, labels = item
        return photograph_of(photograph, read_labels(labels), background=self.background, void=self.void)


def pairs_below(root: Path, labels: str, photograph_of_label: Callable[[str], str]) -> dict[str, tuple[Path, Path]]:
    """Label pictures by a pattern below a folder, each with its photograph, whose path follows from the label's.

    Paths are relative to ``root``. Raises UserError where there are none, or a photograph is missing.
    """
    found = []
    for label in sorted(root.glob(labels)):
        path = photograph_of_label(label.relative_to(root).as_posix())
        if not (root / path).is_file():
            raise UserError(f"{label} has no photograph {root / path}")
        found.append((key_of(path.rpartition(".")[0]), (root / path, label)))
    if not found:
        raise UserError(f"there is no {labels} in {root}")
    return keyed(found)


def photograph_of(
    photograph: Path, labels: Int[np.ndarray, "h w"], *, background: frozenset[int], void: frozenset[int] = frozenset()
) -> Photograph:
    """A photograph's file with an object for each number. Raises UserError where it is absent or has too many."""
    try:
        found, file = masks_of_labels(labels), photograph.read_bytes()
    except OSError:
        raise UserError(f"there is no photograph {photograph}") from None
    except UserError as error:
        raise UserError(f"the labels of {photograph}: {error}") from None
    uncounted = _merged([found[number] for number in sorted(void & found.keys())], labels, void)
    entries = [
        annotation(number, rle, ignore=uncounted)
        for number, rle in found.items()
        if number not in background and number not in void
    ]
    height, width = labels.shape
    about = {"width": width, "height": height, "file_name": photograph.name}
    return Photograph(file, about, entries)


def masks_of_labels(labels: Int[np.ndarray, "h w"]) -> dict[int, Rle]:
    """The mask of every number, by number: from one walk over the picture, however many there are.

    Raises UserError for more numbers than a label picture can have.
    """
    column_by_column = labels.ravel(order="F")
    starts = np.concatenate([[0], np.flatnonzero(np.diff(column_by_column)) + 1])
    ends = np.append(starts[1:], column_by_column.size)
    numbers = column_by_column[starts]
    order = np.argsort(numbers, kind="stable")
    firsts = np.flatnonzero(np.diff(numbers[order], prepend=numbers[order[0]] - 1))
    if len(firsts) > MOST_NUMBERS:
        raise UserError(f"{len(firsts)} numbers or colours are more than the {MOST_NUMBERS} that labels may have")
    groups = np.split(order, firsts[1:])
    size = (labels.shape[0], labels.shape[1])
    return {int(numbers[group[0]]): encode_runs(starts[group], ends[group], size) for group in groups}


def read_labels(path: Path) -> Int[np.ndarray, "h w"]:
    """The numbers of a label picture. Raises UserError for what is none, or has too many pixels."""
    with open_picture(path, str(path)) as picture:
        if any("RGB" in str(tile.args) and "16" in str(tile.args) for tile in getattr(picture, "tile", ())):
            raise UserError(f"{path} has colours of 16 bits, of which half would be lost; labels have 8 bits a colour")
        values = np.asarray(picture)
    if values.ndim == 3 and values.shape[2] in (3, 4):
        red, green, blue = (values[..., channel].astype(np.int64) for channel in range(3))
        return red + 256 * green + 65536 * blue
    if values.ndim != 2 or values.dtype.kind not in "biu":
        raise UserError(f"{path} is no label picture: it is neither grey, nor with a palette, nor in colours")
    return values.astype(np.int64)


def check_labels(shape: tuple[int, ...], kind: np.dtype[Any], name: str) -> None:
    """Of an array in a file of another kind, before it is read. Raises UserError where it cannot be labels."""
    if len(shape) != 2 or not 0 < shape[0] * shape[1] <= MAX_PIXELS or kind.kind not in "iu":
        raise UserError(f"{name} has an array of {shape} {kind}, not one of whole numbers for each pixel")


def _merged(rles: list[Rle], labels: Int[np.ndarray, "h w"], void: frozenset[int]) -> Rle | None:
    if len(rles) <= 1:
        return rles[0] if rles else None
    return masks_of_labels(np.isin(labels, list(void)).astype(np.int64))[1]
