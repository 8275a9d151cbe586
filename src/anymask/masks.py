"""Run-length encoded masks: to bitmaps, straight to coarse grids, to boxes, and back.

The format is COCO's: pixels are counted column by column, the runs alternate between outside and inside and the first
is outside. The compressed form writes each count in 5-bit digits, from the third on as the difference to the count two
places before. Everything works on the runs, so that a mask of any size costs what its outline costs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Bool, Int
from pycocotools import mask as coco_mask

from anymask.structures import Rle

__all__ = ["Lattice", "area", "box", "decode", "encode", "encode_runs", "rle_from_json", "rle_to_json", "runs"]


LONGEST_CODE = 2**22
"""Characters of a mask's run lengths: those of SA-1B have thousands. More would take gigabytes to read."""


def runs(rle: Rle) -> Int[np.ndarray, " runs"]:
    """The run lengths, outside first; their sum is height x width.

    Raises ValueError for a text that is no run-length code or does not fill its size.
    """
    if len(rle.counts) > LONGEST_CODE:
        raise ValueError(f"the run-length code has {len(rle.counts)} characters, over the limit of {LONGEST_CODE}")
    text = np.frombuffer(rle.counts, dtype=np.uint8).astype(np.int64) - 48
    if len(text) == 0 or text.min() < 0 or text.max() > 63 or text[-1] & 32:
        raise ValueError(f"the run-length code {rle.counts[:20]!r} is damaged")
    last = (text & 32) == 0
    number = np.cumsum(last) - last  # of each digit: the count that it belongs to
    ends = np.flatnonzero(last)
    starts = np.concatenate([[0], ends[:-1] + 1])
    place = np.arange(len(text)) - starts[number]
    if place.max() > 7:
        raise ValueError(f"the run-length code {rle.counts[:20]!r} has a count of more than 8 digits")
    counts = np.zeros(len(ends), dtype=np.int64)
    np.add.at(counts, number, (text & 31) << (5 * place))
    negative = (text[ends] & 16) != 0
    counts[negative] -= np.int64(1) << (5 * (place[ends][negative] + 1))
    counts[1::2] = np.cumsum(counts[1::2])
    counts[2::2] = np.cumsum(counts[2::2])
    height, width = rle.size
    if counts.min() < 0 or counts.max() > height * width:  # sums of larger ones could overflow to the right number
        raise ValueError(f"the run-length code {rle.counts[:20]!r} has a run outside 0 to {height * width} pixels")
    if counts.sum() != height * width:
        raise ValueError(f"the runs add up to {counts.sum()} pixels, the size {height} x {width} to {height * width}")
    return counts


def decode(rle: Rle) -> Bool[np.ndarray, "h w"]:
    """The whole bitmap.

    >>> decode(Rle((2, 2), b"112")).astype(int).tolist()
    [[0, 0], [1, 0]]
    """
    counts = runs(rle)
    inside = np.arange(len(counts)) % 2 == 1
    return np.repeat(inside, counts).reshape(rle.size[::-1]).T


def encode(bitmap: Bool[np.ndarray, "h w"]) -> Rle:
    """The compressed run-length code of a bitmap."""
    encoded = coco_mask.encode(np.asfortranarray(bitmap, dtype=np.uint8))
    return Rle(bitmap.shape, encoded["counts"])


def encode_runs(starts: Int[np.ndarray, " k"], ends: Int[np.ndarray, " k"], size: tuple[int, int]) -> Rle:
    """The compressed run-length code of a mask from its runs inside, in rising order; a run may go on in the next.

    Places are counted column by column; an end is the place after the run's last pixel.
    """
    apart = ends[:-1] != starts[1:]
    starts, ends = starts[np.append(True, apart)[: len(starts)]], ends[np.append(apart, True)[: len(ends)]]
    bounds = np.stack([starts, ends], axis=1).ravel()
    counts = np.diff(bounds, prepend=0, append=size[0] * size[1])
    if len(bounds) and counts[-1] == 0:  # a run outside comes last only where there is one
        counts = counts[:-1]
    return Rle(size, coco_mask.frPyObjects({"size": list(size), "counts": counts}, *size)["counts"])


def area(counts: Int[np.ndarray, " runs"]) -> int:
    """Pixels inside, from the runs."""
    return int(counts[1::2].sum())


def box(counts: Int[np.ndarray, " runs"], height: int) -> tuple[int, int, int, int]:
    """XYXY around the pixels inside, right and lower edge excluded; (0, 0, 0, 0) for an empty mask."""
    ends = np.cumsum(counts)
    first, last = ends[0 : len(counts) - 1 : 2], ends[1::2] - 1
    some = last >= first
    first, last = first[some], last[some]
    if len(first) == 0:
        return 0, 0, 0, 0
    x0, x1 = int(first[0] // height), int(last[-1] // height) + 1
    if np.any(first // height != last // height):  # a run that goes on in the next column touches both edges
        return x0, 0, x1, height
    return x0, int((first % height).min()), x1, int((last % height).max()) + 1


class Lattice:
    """Chosen rows and columns of an image's masks: ``bitmap[rows][:, columns]`` without the bitmap.

    Each boundary between two runs is looked up once: how many of the wanted pixels come before it. 64 masks of a
    1500 x 2250 photograph take milliseconds instead of a second and a half. One lattice serves all masks of an image.
    """

    def __init__(self, size: tuple[int, int], rows: Int[np.ndarray, " a"], columns: Int[np.ndarray, " b"]) -> None:
        """``size`` is the image's; rows and columns in any order, repeats allowed."""
        self.height, width = size
        some_rows, self.row_of = np.unique(rows, return_inverse=True)
        some_columns, self.column_of = np.unique(columns, return_inverse=True)
        self.shape = (len(some_rows), len(some_columns))
        self.rising = np.array_equal(some_rows, rows) and np.array_equal(some_columns, columns)
        self.rows_before = np.searchsorted(some_rows, np.arange(self.height))
        # A last boundary lies at the end of the image, in the column after the last.
        self.pixels_before = np.searchsorted(some_columns, np.arange(width + 1)) * len(some_rows)
        self.is_wanted = np.isin(np.arange(width + 1), some_columns)

    def bitmap(self, counts: Int[np.ndarray, " runs"]) -> Bool[np.ndarray, "a b"]:
        """The wanted pixels of the mask with these runs."""
        column, row = np.divmod(np.cumsum(counts)[:-1], self.height)
        rank = self.pixels_before[column] + self.is_wanted[column] * self.rows_before[row]
        lengths = np.diff(rank, prepend=0, append=self.shape[0] * self.shape[1])
        inside = np.arange(len(counts)) % 2 == 1
        small = np.repeat(inside, lengths).reshape(self.shape[::-1]).T
        return small if self.rising else small[self.row_of][:, self.column_of]


def rle_from_json(segmentation: Any, size: tuple[int, int]) -> Rle:
    """Read ``{"size": [height, width], "counts": text or list}``; a list is COCO's uncompressed form.

    Raises ValueError for anything else, and for a mask whose size is not that of its image.
    """
    try:
        stated = tuple(int(side) for side in segmentation["size"])
        counts = segmentation["counts"]
    except (KeyError, TypeError, ValueError, OverflowError):
        raise ValueError(f"not a run-length code: {str(segmentation)[:60]}") from None
    if stated != size:
        raise ValueError(f"the mask's size {stated} is not the image's {size}")
    if isinstance(counts, str):
        return Rle(size, counts.encode("ascii", "replace"))
    if not isinstance(counts, list) or not all(isinstance(count, int) and count >= 0 for count in counts):
        raise ValueError(f"not run lengths: {str(counts)[:60]}")
    if sum(counts) != size[0] * size[1]:
        raise ValueError(f"the runs add up to {sum(counts)} pixels, the size {size} to {size[0] * size[1]}")
    inside = np.arange(len(counts)) % 2 == 1
    return encode(np.repeat(inside, counts).reshape(size[::-1]).T)


def rle_to_json(rle: Rle) -> dict[str, Any]:
    """The inverse of ``rle_from_json``, compressed."""
    return {"size": list(rle.size), "counts": rle.counts.decode("ascii")}
