"""The MATLAB files of BSDS500 (Arbelaez et al. 2011): what people drew, and results in the benchmark's own forms.

Every reader raises UserError where a file is missing, damaged or of another kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from scipy.io import loadmat

from anymask.errors import UserError

__all__ = ["ground_truth", "segmentations", "ucm2"]

Array = Shaped[np.ndarray, "..."]


def ground_truth(path: Path) -> list[Bool[np.ndarray, "h w"]]:
    """The boundaries that each annotator drew, at the photograph's size."""
    cells = _cells(path, "groundTruth")
    if any(cell.size != 1 or "Boundaries" not in (cell.dtype.names or ()) for cell in cells):
        raise UserError(f"{path}: an annotator of groundTruth has no Boundaries")
    return [drawn > 0 for drawn in _maps(path, [cell["Boundaries"].item() for cell in cells])]


def segmentations(path: Path) -> list[Int[np.ndarray, "h w"]]:
    """Label maps (``segs``) at the photograph's size, which stand in place of thresholds."""
    return [labels.astype(np.int64) for labels in _maps(path, _cells(path, "segs"))]


def ucm2(path: Path) -> Float[np.ndarray, "h w"]:
    """A contour map (``ucm2``), brought to the photograph's size as the benchmark does it.

    The file has a row for every row of the photograph, one between any two, and one at either end; so it has columns.
    Every second value from the third on is read.
    """
    (values,) = _maps(path, [_variable(path, "ucm2")])
    if values.dtype.kind != "f" or min(values.shape) < 3 or not all(side % 2 for side in values.shape):
        raise UserError(
            f"{path}: ucm2 has fractions and odd sides of at least 3, not {values.dtype} and {values.shape}"
        )
    return np.ascontiguousarray(values[2::2, 2::2])


def _variable(path: Path, name: str) -> Array:
    try:
        content = loadmat(path, appendmat=False, variable_names=[name])
    except Exception as error:  # what scipy raises depends on the byte that is wrong
        raise UserError(f"{path} cannot be read as a MATLAB file: {error}") from None
    if name not in content:
        raise UserError(f"{path} has no variable {name}")
    return content[name]


def _cells(path: Path, name: str) -> list[Array]:
    array = _variable(path, name)
    if array.dtype != object or not array.size:
        raise UserError(f"{path}: {name} is a list of at least one element, not {array.shape} of {array.dtype}")
    return list(array.ravel())


def _maps(path: Path, maps: Sequence[Array]) -> list[Shaped[np.ndarray, "h w"]]:
    """Checked to be numbers in two dimensions, of one size; row by row, where MATLAB goes by columns."""
    kinds = {f"{each.dtype} {each.shape}" for each in maps if each.ndim != 2 or each.dtype.kind not in "biuf"}
    sizes = {str(each.shape) for each in maps}
    if kinds or len(sizes) > 1:
        raise UserError(
            f"{path}: maps are numbers in two dimensions of one size, not {', '.join(sorted(kinds or sizes))}"
        )
    return [np.ascontiguousarray(each) for each in maps]
