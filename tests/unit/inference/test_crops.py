from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anymask.errors import UserError
from anymask.inference.crops import crop_boxes, point_grid


def test_points_are_the_centres_of_equal_cells_row_by_row() -> None:
    assert point_grid(1).tolist() == [[0.5, 0.5]]
    grid = point_grid(4)
    assert grid.shape == (16, 2)
    np.testing.assert_allclose(
        grid[:5], [[1 / 8, 1 / 8], [3 / 8, 1 / 8], [5 / 8, 1 / 8], [7 / 8, 1 / 8], [1 / 8, 3 / 8]]
    )


def test_no_point_per_side_is_an_empty_grid() -> None:
    assert point_grid(0).shape == (0, 2)


def test_without_layers_there_is_the_whole_image() -> None:
    assert list(crop_boxes((100, 200), 0, 0.3)) == [(0, (0, 0, 200, 100))]


def test_a_layer_is_two_by_two_crops_that_overlap() -> None:
    """A fifth of the shorter side, 20 pixels, is shared; columns come before rows."""
    _, *crops = crop_boxes((100, 200), 1, 0.2)
    assert crops == [
        (1, (0, 0, 110, 60)),
        (1, (0, 40, 110, 100)),
        (1, (90, 0, 200, 60)),
        (1, (90, 40, 200, 100)),
    ]


@settings(max_examples=60)
@given(st.integers(64, 300), st.integers(64, 300), st.integers(0, 3), st.floats(0, 0.5))
def test_each_layer_covers_the_image_and_stays_inside(height: int, width: int, layers: int, overlap: float) -> None:
    crops = list(crop_boxes((height, width), layers, overlap))
    for layer in range(layers + 1):
        seen = np.zeros((height, width), dtype=bool)
        own = [box for number, box in crops if number == layer]
        assert len(own) == 4**layer
        for x0, y0, x1, y1 in own:
            assert 0 <= x0 < x1 <= width
            assert 0 <= y0 < y1 <= height
            seen[y0:y1, x0:x1] = True
        assert seen.all()


def test_an_image_too_small_for_its_crops_is_refused() -> None:
    with pytest.raises(UserError, match="3 x 40 pixels is too small for 2 layers"):
        list(crop_boxes((40, 3), 2, 0.3))
