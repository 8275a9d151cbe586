from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from anymask.inference.mask_filters import is_cut_off, non_maximum_suppression, remove_small_regions

Bitmap = np.ndarray[Any, np.dtype[np.bool_]]

BOX = st.tuples(*[st.integers(0, 9)] * 4).map(
    lambda b: (min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]), max(b[1], b[3]))
)


def kept(boxes: Sequence[tuple[int, ...]], scores: Sequence[float], threshold: float) -> list[int]:
    return non_maximum_suppression(
        np.array(boxes, dtype=np.int64).reshape(-1, 4), np.array(scores, dtype=np.float32), threshold
    ).tolist()


def test_the_better_of_two_doubles_stays() -> None:
    boxes = [(0, 0, 10, 10), (50, 0, 60, 10), (0, 0, 10, 9)]
    assert kept(boxes, [0.5, 0.6, 0.9], 0.7) == [2, 1]


def test_what_is_suppressed_suppresses_nothing() -> None:
    """Each box shares 7/13 with the next, the first and the last only 4/16."""
    boxes = [(0, 0, 10, 1), (3, 0, 13, 1), (6, 0, 16, 1)]
    assert kept(boxes, [0.9, 0.8, 0.7], 0.5) == [0, 2]
    assert kept(boxes, [0.8, 0.9, 0.7], 0.5) == [1]


def test_of_equal_scores_the_first_is_the_better() -> None:
    assert kept([(0, 0, 10, 9), (0, 0, 10, 10), (0, 0, 9, 10)], [1, 1, 1], 0.7) == [0]


@pytest.mark.parametrize(
    ("inner", "threshold", "stays"),
    [
        ((0, 0, 3, 1), 0.75, True),  # 3/4 is not more than .75
        ((0, 0, 3, 1), 0.7499, False),
        ((0, 0, 2, 1), 0.5, True),
    ],
)
def test_an_overlap_of_just_the_threshold_is_allowed(inner: tuple[int, ...], threshold: float, stays: bool) -> None:
    assert kept([(0, 0, 4, 1), inner], [2, 1], threshold) == ([0, 1] if stays else [0])


def test_overlaps_are_in_single_precision_and_the_threshold_is_not() -> None:
    """3/5 rounds to a little more than .6, 7/10 to a little less than .7; torchvision compares these."""
    assert kept([(0, 0, 5, 1), (0, 0, 3, 1)], [2, 1], 0.6) == [0]
    assert kept([(0, 0, 10, 1), (0, 0, 7, 1)], [2, 1], 0.7) == [0, 1]


def test_boxes_without_area_overlap_nothing() -> None:
    boxes = [(3, 3, 3, 3)] * 3 + [(0, 0, 9, 9)]
    assert kept(boxes, [1, 3, 2, 0], 0.1) == [1, 2, 0, 3]


def test_no_boxes() -> None:
    assert kept([], [], 0.7) == []


@settings(max_examples=200)
@given(st.lists(st.tuples(BOX, st.integers(0, 3)), max_size=12), st.sampled_from([0.1, 0.25, 0.5, 0.7, 0.9]))
def test_suppression_is_that_of_the_definition(found: list[tuple[tuple[int, ...], int]], threshold: float) -> None:
    boxes, scores = [box for box, _ in found], [float(score) for _, score in found]
    expected: list[int] = []
    for row in sorted(range(len(boxes)), key=lambda row: -scores[row]):  # sorted() keeps the order of equal ones
        if not any(_iou(boxes[row], boxes[other]) > threshold for other in expected):
            expected.append(row)
    assert kept(boxes, scores, threshold) == expected


def _iou(a: tuple[int, ...], b: tuple[int, ...]) -> float:
    shared = max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))
    together = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return float(np.float32(shared) / np.float32(together)) if together else 0.0


@pytest.mark.parametrize(
    ("box", "is_near"),
    [
        ((130, 60, 170, 90), False),
        ((120, 60, 170, 90), True),  # 20 pixels from the crop's left edge
        ((121, 60, 170, 90), False),
        ((130, 10, 170, 90), False),  # the crop's upper edge is the image's
        ((130, 60, 199, 90), False),  # and so is the right one
        ((130, 60, 170, 140), True),
        ((0, 0, 0, 0), False),
    ],
)
def test_a_mask_is_cut_off_near_an_edge_of_the_crop_but_not_of_the_image(box: tuple[int, ...], is_near: bool) -> None:
    found = is_cut_off(np.array([box]), (100, 0, 200, 150), (300, 200))
    assert found.tolist() == [is_near]


def _drawn(picture: str) -> Bitmap:
    return np.array([[letter == "#" for letter in line] for line in picture.split()])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("###... #.#..# ###...", "###... ###... ###..."),  # a hole of one pixel, an island of one
        ("##.... ##.... ..##.. ..##..", None),  # corners hold islands together
        ("#####. #.###. ##.##. #####.", "#####. #####. #####. #####."),  # and holes
        ("##.... ...... ....## ....##", "...... ...... ....## ....##"),
        ("#..... ....## ...... #.....", "...... ....## ...... ......"),  # all islands are small: the largest stays
        ("#..... ...... .....#", "#..... ...... ......"),  # of equal ones the first
        ("###### #####. ######", "###### ###### ######"),  # what lies outside is a hole as well
        ("...... ...... ......", None),
        ("###### ###### ######", None),
        ("###... ###... ......", None),
    ],
)
def test_small_holes_are_filled_and_small_islands_taken_away(before: str, after: str | None) -> None:
    found = remove_small_regions(_drawn(before), 4 if before != "###### #####. ######" else 2)
    assert (None if found is None else found.tolist()) == (None if after is None else _drawn(after).tolist())


@settings(max_examples=60)
@given(npst.arrays(np.bool_, npst.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=8)), st.integers(1, 12))
def test_cleaning_is_filling_and_then_taking_away(bitmap: Bitmap, min_area: int) -> None:
    expected = bitmap.copy()
    holes = [hole for hole in _regions(~bitmap) if len(hole) < min_area]
    for hole in holes:
        expected[tuple(zip(*hole, strict=True))] = True
    islands = _regions(expected)
    found = remove_small_regions(bitmap, min_area)
    assert (found is None) == (not holes and all(len(island) >= min_area for island in islands))
    kept = bitmap if found is None else found
    largest = max(map(len, islands), default=0)
    stays = [island for island in islands if len(island) == largest and kept[island[0]]][:1]  # of equal ones, any
    for island in islands:
        if len(island) < min_area and island not in stays:
            expected[tuple(zip(*island, strict=True))] = False
    assert np.array_equal(kept, expected)
    assert kept.any() == bool(islands)


def _regions(bitmap: Bitmap) -> list[list[tuple[int, int]]]:
    """Flood fill over eight neighbours, in reading order."""
    left, regions = {(int(row), int(column)) for row, column in np.argwhere(bitmap)}, []
    while left:
        region = [min(left)]
        left.remove(region[0])
        for row, column in region:
            near = {(row + y, column + x) for y in (-1, 0, 1) for x in (-1, 0, 1)} & left
            region += near
            left -= near
        regions.append(region)
    return regions
