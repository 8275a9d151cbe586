from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.morphology import thin as reference

from anymask.metrics.thinning import thin

MAPS = arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9)))


def drawn(*rows: str) -> np.ndarray:
    return np.array([[letter == "#" for letter in row] for row in rows])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (drawn("###", "###", "###"), drawn("...", ".#.", "...")),
        (drawn("#####", "#####", "#####"), drawn(".....", ".###.", ".....")),
        (drawn("#....", ".#...", "..###"), drawn("#....", ".#...", "..###")),  # a line stays
        (drawn("###", "#.#", "###"), drawn(".#.", "#.#", ".#.")),  # and a hole stays a hole
        (drawn("...", "...", "..."), drawn("...", "...", "...")),
    ],
)
def test_hand_drawn_maps(before: np.ndarray, after: np.ndarray) -> None:
    assert (thin(before) == after).all()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (drawn("#.", "##"), drawn("#.", ".#")),  # the first sub-iteration takes off nothing
        (
            drawn(".#.", "###", ".#.", "###"),
            drawn("...", "#..", ".#.", "###"),
        ),  # the second, before the third takes one
    ],
)
def test_only_a_whole_pass_without_a_change_is_the_end(before: np.ndarray, after: np.ndarray) -> None:
    assert (thin(before) == after).all()


def test_all_maps_of_three_by_three_are_thinned_as_in_scikit_image() -> None:
    for code in range(512):
        binary = (code >> np.arange(9) & 1 > 0).reshape(3, 3)
        assert (thin(binary) == reference(binary)).all(), binary


@settings(max_examples=200)
@given(MAPS, st.integers(1, 3), st.integers(1, 3))
def test_thick_maps_are_thinned_as_in_scikit_image(binary: np.ndarray, rows: int, columns: int) -> None:
    thick = binary.repeat(rows, axis=0).repeat(columns, axis=1)
    assert (thin(thick) == reference(thick)).all()


@settings(max_examples=50)
@given(MAPS)
def test_no_line_breaks(binary: np.ndarray) -> None:
    before, after = (
        cv2.connectedComponents(each.astype(np.uint8), connectivity=8)[0] for each in (binary, thin(binary))
    )
    assert before == after


@settings(max_examples=50)
@given(MAPS)
def test_the_order_in_memory_does_not_matter_and_the_map_is_left_alone(binary: np.ndarray) -> None:
    by_columns, copy = np.asfortranarray(binary), binary.copy()
    assert (thin(by_columns) == thin(binary)).all()
    assert (thin(np.pad(binary, 1)[1:-1, 1:-1]) == thin(binary)).all()
    assert (binary == copy).all()
