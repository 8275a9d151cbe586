"""Edge maps as files: those that are kept beside the results, and those that another method drew.

A map is a file with its image's name: ``.npy`` with fractions, a grey ``.png`` of 8 or 16 bits whose white is 1, or a
``.mat`` with a ``ucm2``. What is measured is what the file says.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from anymask.atomic import write_atomically
from anymask.data.bsds import ucm2
from anymask.errors import UserError
from anymask.evaluation.edges.protocol import Keep
from anymask.metrics.boundaries import ROUNDING

__all__ = ["READERS", "Predictions", "as_kept", "find_map", "keep_map", "read_map"]

Map = Float[np.ndarray, "h w"]

ENDINGS: dict[Keep, str] = {"float": ".npy", "8bit": ".png"}
LEVELS = 255


@dataclass(frozen=True, slots=True)
class Predictions:
    """A folder with a map for every image of a data set."""

    folder: Path
    files: dict[str, Path]  # by the image's key

    @classmethod
    def open(cls, folder: Path, keys: Sequence[str]) -> Predictions:
        """Every file is read once, so that a mistake is found before the work.

        Raises UserError where a map is missing, stands alone or cannot be read.
        """
        if not folder.is_dir():
            raise UserError(f"there is no folder {folder}")
        there = sorted(folder.iterdir())
        files = [file for file in there if file.suffix in READERS]
        if doubles := [stem for stem, number in Counter(file.stem for file in files).items() if number > 1]:
            raise UserError(f"{folder} has more than one map of {doubles[0]}")
        by_key = {file.stem: file for file in files}
        if odd := by_key.keys() ^ set(keys):
            raise UserError(f"{folder} needs one map for each of {len(keys)} images; {_told(odd, by_key, there)}")
        for file in files:
            read_map(file)
        return cls(folder, by_key)

    def fingerprint(self) -> str:
        """Short hash of the files' names and bytes."""
        digest = hashlib.sha256()
        for _, file in sorted(self.files.items()):
            digest.update(file.name.encode() + hashlib.sha256(file.read_bytes()).digest())
        return digest.hexdigest()[:12]


def read_map(path: Path) -> Map:
    """Values from 0 to 1. Raises UserError for a file that is missing, damaged or of another kind."""
    soft = READERS[path.suffix](path)
    if not (soft.min(initial=0) >= -ROUNDING and soft.max(initial=0) <= 1 + ROUNDING):  # a NaN fails
        raise UserError(f"{path} has values from {soft.min()} to {soft.max()}: those of an edge map are from 0 to 1")
    return soft


def as_kept(soft: Map, keep: Keep) -> Map:
    """What is left of a map in the file."""
    if keep == "float":
        return soft.astype(np.float32)
    return np.asarray(_grey(soft) / LEVELS)


def keep_map(folder: Path, key: str, soft: Map, keep: Keep) -> Map:
    """Write a map, whole or not at all, in the place of one that is there; what is left of it is returned."""
    kept = as_kept(soft, keep)
    if keep == "float":
        write_atomically(folder / f"{key}.npy", lambda part: _save(part, kept))
    else:
        encoded = cv2.imencode(".png", _grey(kept))[1].tobytes()
        write_atomically(folder / f"{key}.png", lambda part: part.write_bytes(encoded))
    return kept


def find_map(folder: Path, key: str) -> Path | None:
    """The file of an image's map, where there is one."""
    return next((path for ending in READERS if (path := folder / f"{key}{ending}").is_file()), None)


def _grey(soft: Map) -> UInt8[np.ndarray, "h w"]:
    return np.asarray(np.rint(soft.astype(np.float64) * LEVELS).astype(np.uint8))


def _save(path: Path, values: Map) -> None:
    with path.open("wb") as file:  # by its name alone NumPy would add an ending
        np.save(file, values)


def _told(odd: set[str], maps: dict[str, Path], there: Sequence[Path]) -> str:
    """What is missing, what is too much, and what may have been meant by a file that is not looked at."""
    missing, alone = sorted(odd - maps.keys()), sorted(odd & maps.keys())
    strange = [file.name for file in there if file.stem in missing]
    parts = [
        f"{what} {', '.join(names[:5])}"
        for what, names in (
            ("missing:", missing),
            (f"of another ending than {', '.join(READERS)}:", strange),
            ("without an image:", alone),
        )
        if names
    ]
    return "; ".join(parts)


def _png(path: Path) -> Map:
    try:
        values = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    except (OSError, cv2.error):
        values = None
    if values is None or values.dtype.kind != "u":
        raise UserError(f"{path} is no grey PNG that can be read")
    if values.ndim != 2:
        raise UserError(f"{path} is no grey PNG: it has {values.shape[2]} channels")
    return np.asarray(values / np.iinfo(values.dtype).max)


def _npy(path: Path) -> Map:
    try:
        with path.open("rb") as file:
            values = np.lib.format.read_array(file, allow_pickle=False)
    except (OSError, ValueError, EOFError, MemoryError, OverflowError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    if values.ndim != 2 or values.dtype.kind != "f":
        raise UserError(f"{path} has {values.dtype} {values.shape}, not fractions in two dimensions")
    return values


READERS: dict[str, Callable[[Path], Map]] = {".npy": _npy, ".png": _png, ".mat": ucm2}
"""By the ending of the file's name."""
