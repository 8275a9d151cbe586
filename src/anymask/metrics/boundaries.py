"""How many boundary pixels of an image were found: the counts of the BSDS500 boundary benchmark (Arbelaez et al. 2011).

A soft map is cut at every threshold, ``value >= threshold``, and what remains is thinned to lines. Each annotator's
boundaries, as they are stored, are compared with the lines one to one within a distance of .0075 of the image's
diagonal. A boundary pixel is found if it has a partner; a line's pixel is right if it has one for any annotator.

Precision, recall and what follows from them are in ``boundary_summary.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
from jaxtyping import Bool, Float, Int, Integer, Shaped

from anymask.errors import UserError
from anymask.metrics.boundary_matching import Correspondence, largest_distance, network
from anymask.metrics.thinning import thin

__all__ = ["HAS_NUMBA", "BoundaryCounts", "boundaries_between", "count_image", "count_segmentations", "pool"]

ROUNDING = 1e-6
"""How far the values of a map may lie beside 0 and 1."""
HAS_NUMBA = find_spec("numba") is not None
Lines = list[Int[np.ndarray, " _"]]
"""Of each threshold, the pixels on the thin map: row x width + column, or places in the order of all of them."""
Change = tuple[Int[np.ndarray, " _"], Int[np.ndarray, " _"]]
"""Places that go and places that come."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BoundaryCounts:
    """Pixels of one image or of several, at T thresholds. The four numbers of the official result files."""

    thresholds: Float[np.ndarray, " t"]
    found: Int[np.ndarray, " t"]  # boundary pixels with a partner, summed over the annotators (cntR)
    boundary: Int[np.ndarray, " t"]  # boundary pixels, summed over the annotators (sumR)
    right: Int[np.ndarray, " t"]  # pixels of the map with a partner for any annotator (cntP)
    drawn: Int[np.ndarray, " t"]  # pixels of the map (sumP)


def count_image(
    soft: Float[np.ndarray, "h w"],
    annotators: Sequence[Bool[np.ndarray, "_h _w"]],
    *,
    thresholds: int = 99,
    machine_code: bool = HAS_NUMBA,
) -> BoundaryCounts:
    """Of a map of values from 0 to 1, at the thresholds k / (``thresholds`` + 1).

    ``machine_code`` needs numba and is ten times as fast; the counts are the same. Raises UserError for other values,
    for annotators of another size and where there is none.
    """
    _check(thresholds, [soft], annotators)
    if not (soft.min() >= -ROUNDING and soft.max() <= 1 + ROUNDING):  # a NaN fails
        raise UserError(f"a boundary map has values from 0 to 1, this one from {soft.min()} to {soft.max()}")
    levels = _levels(thresholds)
    return _count(_lines(soft >= level for level in levels[::-1]), annotators, levels, machine_code)


def count_segmentations(
    segmentations: Sequence[Integer[np.ndarray, "_h _w"]],
    annotators: Sequence[Bool[np.ndarray, "_h _w"]],
    *,
    machine_code: bool = HAS_NUMBA,
) -> BoundaryCounts:
    """Of a list of label maps, which stand in place of thresholds 1, 2, …; raises UserError as ``count_image``."""
    _check(len(segmentations), segmentations, annotators)
    lines = _lines(boundaries_between(labels) for labels in reversed(segmentations))
    return _count(lines, annotators, np.arange(1.0, len(lines) + 1), machine_code)


def boundaries_between(labels: Integer[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Pixels that have another label to their right, below or diagonally below.

    >>> boundaries_between(np.array([[1, 1, 2], [1, 1, 2], [1, 1, 1]])).astype(int)
    array([[0, 1, 0],
           [0, 1, 1],
           [0, 0, 0]])
    """
    wider = np.pad(labels, (0, 1), mode="edge")
    return (labels != wider[:-1, 1:]) | (labels != wider[1:, :-1]) | (labels != wider[1:, 1:])


def pool(counts: Sequence[BoundaryCounts]) -> BoundaryCounts:
    """The sums over images that were counted at the same thresholds."""
    assert all(np.array_equal(one.thresholds, counts[0].thresholds) for one in counts)
    return BoundaryCounts(
        thresholds=counts[0].thresholds,
        found=np.sum([one.found for one in counts], axis=0),
        boundary=np.sum([one.boundary for one in counts], axis=0),
        right=np.sum([one.right for one in counts], axis=0),
        drawn=np.sum([one.drawn for one in counts], axis=0),
    )


def _count(
    lines: Lines,
    annotators: Sequence[Bool[np.ndarray, "h w"]],
    thresholds: Float[np.ndarray, " t"],
    machine_code: bool,
) -> BoundaryCounts:
    """The lines come from the last threshold to the first: few pixels in the beginning, and of those few go again."""
    pixels = np.unique(np.concatenate(lines))
    places = [np.searchsorted(pixels, line) for line in lines]
    changes = list(_changes(places, len(pixels)))
    paired = []
    for salt, boundary in enumerate(annotators):
        net = network(pixels, boundary, largest_distance(boundary.shape), salt)
        paired.append(_course(Correspondence(net, machine_code=machine_code), places, changes))
    by_threshold = [np.stack(flags) for flags in zip(*paired, strict=True)][::-1]
    return BoundaryCounts(
        thresholds=thresholds,
        found=np.array([np.count_nonzero(flags) for flags in by_threshold]),
        boundary=np.full(len(lines), sum(np.count_nonzero(boundary) for boundary in annotators)),
        right=np.array([np.count_nonzero(flags.any(axis=0)) for flags in by_threshold]),
        drawn=np.array([flags.shape[1] for flags in by_threshold]),
    )


def _course(correspondence: Correspondence, places: Lines, changes: list[Change]) -> list[Bool[np.ndarray, " _"]]:
    """Which pixels of each line have a partner, one line after the other."""
    paired = []
    for line, (leaving, entering) in zip(places, changes, strict=True):
        correspondence.advance(leaving, entering)
        paired.append(correspondence.is_paired(line))
    return paired


def _levels(number: int) -> Float[np.ndarray, " t"]:
    """k / (number + 1) with the rounding of MATLAB's ``linspace``: a grey value of a PNG may be exactly a threshold."""
    low, high = 1 / (number + 1), 1 - 1 / (number + 1)
    return np.append(low + np.arange(number - 1) * (high - low) / max(number - 1, 1), high)


def _check(
    thresholds: int, maps: Sequence[Shaped[np.ndarray, "_h _w"]], annotators: Sequence[Bool[np.ndarray, "_h _w"]]
) -> None:
    if thresholds < 1 or not annotators:
        raise UserError(f"boundaries need a threshold and an annotator, here are {thresholds} and {len(annotators)}")
    sizes = {each.shape for each in (*maps, *annotators)}
    if len(sizes) > 1:
        raise UserError(f"the maps and the annotators' boundaries of an image have one size, not {sorted(sizes)}")


def _lines(maps: Iterable[Bool[np.ndarray, "_h _w"]]) -> Lines:
    """The pixels of each map that thinning leaves. Neighbouring thresholds often have the same map."""
    lines: Lines = []
    before = None
    for binary in maps:
        same = before is not None and np.array_equal(binary, before)
        lines.append(lines[-1] if same else np.flatnonzero(thin(binary)))
        before = binary
    return lines


def _changes(places: Lines, pixels: int) -> Iterator[Change]:
    """What makes each line of the one before it, and the first one of none."""
    before = np.zeros(pixels, dtype=bool)
    for line in places:
        now = np.zeros(pixels, dtype=bool)
        now[line] = True
        yield np.flatnonzero(before & ~now), np.flatnonzero(now & ~before)
        before = now
