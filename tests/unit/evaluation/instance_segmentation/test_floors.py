from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anymask.evaluation.instance_segmentation.floors import FLOORS, filled_box, filled_ellipse
from anymask.masks import decode

sides = st.floats(0.01, 30, allow_nan=False)
places = st.floats(-15, 25, allow_nan=False)


def _rows(name: str, xywh: tuple[float, float, float, float]) -> list[str]:
    return ["".join("#" if inside else "." for inside in row) for row in decode(FLOORS[name](xywh, (5, 7)))]


def test_by_eye() -> None:
    assert _rows("box", (1.0, 1.0, 5.0, 3.0)) == [".......", ".#####.", ".#####.", ".#####.", "......."]
    assert _rows("box", (1.4, 0.6, 2.0, 1.0)) == [".......", ".##....", ".......", ".......", "......."]
    assert _rows("ellipse", (0.0, 0.0, 7.0, 5.0)) == [".#####.", "#######", "#######", "#######", ".#####."]
    assert _rows("ellipse", (-3.5, 0.0, 7.0, 5.0)) == ["##.....", "###....", "###....", "###....", "##....."]


@given(places, places, sides, sides)
def test_a_pixel_is_inside_where_its_centre_is(x: float, y: float, width: float, height: float) -> None:
    row, column = np.mgrid[:12, :17] + 0.5
    across, down = (column - x - width / 2) / (width / 2), (row - y - height / 2) / (height / 2)
    edge = 1e-9  # a centre on the very edge may go either way
    box = decode(filled_box((x, y, width, height), (12, 17)))
    far = np.maximum(abs(across), abs(down))
    assert not (box & (far > 1 + edge)).any()
    assert not (~box & (far < 1 - edge)).any()
    ellipse = decode(filled_ellipse((x, y, width, height), (12, 17)))
    far = across**2 + down**2
    assert not (ellipse & (far > 1 + edge)).any()
    assert not (~ellipse & (far < 1 - edge)).any()


@pytest.mark.parametrize("floor", FLOORS)
def test_a_box_between_two_centres_and_one_that_is_all_outside_have_no_pixel(floor: str) -> None:
    for xywh in ((1.6, 1.6, 0.8, 0.8), (90.0, 1.0, 5.0, 5.0), (-9.0, -9.0, 5.0, 5.0)):
        assert not decode(FLOORS[floor](xywh, (5, 7))).any()


XYWH = (10.0, 20.0, 300.0, 400.0)


def test_the_ellipse_takes_its_share_of_the_box() -> None:
    box, ellipse = (decode(floor(XYWH, (500, 400))).sum() for floor in (filled_box, filled_ellipse))
    assert box == 300 * 400
    assert ellipse / box == pytest.approx(math.pi / 4, abs=1e-3)
