"""Polygons on a photograph of 10 x 20 pixels (height, width)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anymask.data.layouts.polygons import mask_of_polygons, union
from anymask.errors import UserError
from anymask.masks import decode, encode

SIZE = (10, 20)


def _box(y0: int, y1: int, x0: int, x1: int) -> np.ndarray[Any, Any]:
    bitmap = np.zeros(SIZE, dtype=bool)
    bitmap[y0:y1, x0:x1] = True
    return bitmap


def _corners(x0: float, y0: float, x1: float, y1: float) -> list[list[float]]:
    return [[float(x), float(y)] for x, y in ((x0, y0), (x1, y0), (x1, y1), (x0, y1))]


def test_polygons_are_one_object_without_those_of_two_corners() -> None:
    mask = mask_of_polygons([_corners(2, 1, 6, 4), [], [[0.0, 0.0], [9.0, 9.0]], _corners(10, 5, 12, 9)], SIZE, "a")
    assert np.array_equal(decode(mask), _box(1, 4, 2, 6) | _box(5, 9, 10, 12))
    assert not decode(mask_of_polygons([], SIZE, "a")).any()


def test_a_tenth_of_the_side_may_lie_outside_and_is_cut_off() -> None:
    assert np.array_equal(decode(mask_of_polygons([_corners(-2, -1, 22, 3)], SIZE, "a")), _box(0, 3, 0, 20))
    assert np.array_equal(decode(mask_of_polygons([_corners(15, 8, 22, 11)], SIZE, "a")), _box(8, 10, 15, 20))


@pytest.mark.parametrize(
    "corner", [[22.5, 3.0], [3.0, 11.5], [-2.5, 3.0], [3.0, -1.5], [float("nan"), 3.0], [3.0], [1.0, 2.0, 3.0]]
)
def test_a_corner_of_another_photograph_is_refused(corner: list[float]) -> None:
    with pytest.raises(UserError, match="b has the corner"):
        mask_of_polygons([[[1.0, 1.0], corner, [9.0, 9.0]]], SIZE, "b")


def test_an_outline_that_would_take_hours_is_refused() -> None:
    with pytest.raises(UserError, match="b: the outline of the polygons is longer"):
        mask_of_polygons([[[0.0, 0.0], [900_000.0, 0.0]] * 2], SIZE, "b", farthest_out=1e6)


@given(st.lists(st.binary(min_size=200, max_size=200), min_size=1, max_size=4))
def test_the_union_is_what_any_covers(drawn: list[bytes]) -> None:
    bitmaps = [np.frombuffer(data, np.uint8).reshape(SIZE) % 2 == 1 for data in drawn]
    assert np.array_equal(decode(union([encode(bitmap) for bitmap in bitmaps])), np.any(bitmaps, axis=0))
