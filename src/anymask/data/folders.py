"""Finding and reading the files of other people's folders."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from anymask.errors import UserError

__all__ = ["files_by_stem", "listed", "pair", "read_levels"]


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


def listed(path: Path) -> list[str]:
    """The lines of a list of names. Raises UserError where there is none, it is empty, or a name leaves the folder."""
    try:
        names = [line.split()[0] for line in path.read_text().splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError):
        raise UserError(f"{path} is not a list of names") from None
    if not names:
        raise UserError(f"{path} lists no names")
    if bad := next((name for name in names if name.startswith("/") or ".." in name.split("/")), None):
        raise UserError(f"{path} lists {bad!r}, which leaves the folder")
    return names


def pair(photographs: dict[str, Path], annotations: dict[str, Path]) -> dict[str, tuple[Path, Path]]:
    """Each photograph with its annotation, by their name; raises UserError where one stands alone."""
    alone = sorted(photographs.keys() ^ annotations.keys())
    if alone and alone[0] in photographs:
        raise UserError(f"the photograph {photographs[alone[0]]} has no annotation")
    if alone:
        raise UserError(f"the annotation {annotations[alone[0]]} has no photograph")
    return {stem: (file, annotations[stem]) for stem, file in photographs.items()}


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


def _first_double(names: list[str]) -> str:
    return next(name for name, number in Counter(names).items() if number > 1)
