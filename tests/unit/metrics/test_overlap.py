from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anymask.metrics.overlap import clicks_to_reach, iou, iou_after, mean_and_error, size_class


def test_iou_of_hand_drawn_masks() -> None:
    upper = np.array([[1, 1], [0, 0]], dtype=bool)
    left = np.array([[1, 0], [1, 0]], dtype=bool)
    empty = np.zeros((2, 2), dtype=bool)
    assert iou(upper, left) == pytest.approx(1 / 3)
    assert iou(upper, upper) == 1.0
    assert iou(upper, ~upper) == 0.0
    assert iou(empty, upper) == 0.0
    assert iou(empty, empty) == 1.0


def test_a_course_that_ends_early_holds_its_last_value() -> None:
    assert [iou_after([0.25, 0.5, 1.0], click) for click in (1, 2, 3, 5, 20)] == [0.25, 0.5, 1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("course", "threshold", "expected"),
    [
        ([0.95], 0.9, 1),
        ([0.5, 0.9, 0.95], 0.9, 2),  # reaching it exactly is enough
        ([0.5, 0.92, 0.1], 0.9, 2),  # what comes after does not matter
        ([0.5, 0.6, 0.7], 0.9, None),
        ([0.0] * 20 + [1.0], 0.9, None),  # beyond the limit
        ([0.0] * 19 + [0.9], 0.9, 20),
    ],
)
def test_number_of_clicks(course: list[float], threshold: float, expected: int | None) -> None:
    assert clicks_to_reach(course, threshold, limit=20) == expected


@settings(max_examples=50)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=40))
def test_mean_and_standard_error_are_numpys(values: list[float]) -> None:
    mean, error = mean_and_error(values)
    assert mean == pytest.approx(np.mean(values))
    assert error == pytest.approx(np.std(values, ddof=1) / math.sqrt(len(values)), abs=1e-12)


def test_a_single_value_has_no_standard_error() -> None:
    mean, error = mean_and_error([0.5])
    assert mean == 0.5
    assert math.isnan(error)


@pytest.mark.parametrize(
    ("area", "expected"), [(1, "small"), (1023, "small"), (1024, "medium"), (9215, "medium"), (9216, "large")]
)
def test_size_classes_are_cocos(area: int, expected: str) -> None:
    assert size_class(area) == expected
