"""A PNG for each mask: what is not black is the object.

    images/NAME.jpg        masks/NAME/*.png  or  masks/NAME_*.png

A photograph without a mask has no object. Masks are numbered in the order of the names of their files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from anymask.data.folders import files_by_stem
from anymask.data.layouts.labels import PHOTOGRAPHS, read_labels
from anymask.data.packing import Photograph, annotation, key_of, keyed
from anymask.errors import UserError
from anymask.masks import encode

__all__ = ["MaskPngs", "masks_of", "photograph_of_masks", "read_mask"]


@dataclass(frozen=True, slots=True)
class MaskPngs:
    """Photographs with the files of their masks, by key."""

    files: Mapping[str, tuple[Path, tuple[Path, ...]]]

    @classmethod
    def of_folders(cls, images: Path, masks: Path, *, separator: str = "_") -> MaskPngs:
        """``separator`` stands between a photograph's name and what follows it in those of its masks.

        Raises UserError where there are none, and for a mask without a photograph.
        """
        photographs = files_by_stem(images, *PHOTOGRAPHS)
        of = masks_of(photographs, masks, separator)
        return cls(keyed((key_of(name), (file, tuple(of[name]))) for name, file in photographs.items()))

    def items(self) -> Mapping[str, tuple[Path, tuple[Path, ...]]]:
        return self.files

    def read(self, item: tuple[Path, tuple[Path, ...]]) -> Photograph:
        return photograph_of_masks(*item)


def masks_of(photographs: Mapping[str, Path], folder: Path, separator: str) -> dict[str, list[Path]]:
    """The masks of each photograph, by its name. Raises UserError for a mask without a photograph."""
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}")
    of: dict[str, list[Path]] = {name: [] for name in photographs}
    for file in sorted([*folder.glob("*.png"), *folder.glob("*/*.png")]):
        name = file.stem if file.parent == folder else file.parent.name
        while name not in of and separator in name:
            name = name.rpartition(separator)[0]
        if name not in of:
            raise UserError(f"the mask {file} has no photograph")
        of[name].append(file)
    if not any(of.values()):
        raise UserError(f"there is no mask in {folder}")
    return of


def photograph_of_masks(photograph: Path, masks: Sequence[Path]) -> Photograph:
    """A photograph's file with an object for each mask. Raises UserError for masks of two sizes."""
    bitmaps = [read_mask(file) for file in masks]
    for file, bitmap in zip(masks, bitmaps, strict=True):
        if bitmap.shape != bitmaps[0].shape:
            raise UserError(f"{file} is {bitmap.shape} pixels (height, width), {masks[0]} is {bitmaps[0].shape}")
    entries = [annotation(number, encode(bitmap)) for number, bitmap in enumerate(bitmaps) if bitmap.any()]
    about: dict[str, Any] = {"file_name": photograph.name}
    if bitmaps:
        about |= {"height": bitmaps[0].shape[0], "width": bitmaps[0].shape[1]}
    return Photograph(photograph.read_bytes(), about, entries, {"empty masks": len(bitmaps) - len(entries)})


def read_mask(path: Path) -> Bool[np.ndarray, "h w"]:
    """Where a picture is not black. Raises UserError where it has more than one level or colour besides."""
    labels = read_labels(path)
    levels = np.unique(labels[labels != 0])
    if len(levels) > 1:
        raise UserError(f"{path} has {len(levels)} levels beside black; a mask has one")
    return np.asarray(labels != 0)
