"""SLURM's ranges of an array."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anymask.errors import UserError
from anymask.launching.slurm import as_text, indices


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (7, [7]),
        ("7", [7]),
        ("0-3", [0, 1, 2, 3]),
        ("1,5,7", [1, 5, 7]),
        ([1, 5, 7], [1, 5, 7]),
        ("0-6:2", [0, 2, 4, 6]),
        ("0-5:2", [0, 2, 4]),
        ("0-9%2", list(range(10))),
        ("8,0-2,1-3%1", [0, 1, 2, 3, 8]),
    ],
)
def test_ranges(array: str | int | list[int], expected: list[int]) -> None:
    assert indices(array) == expected


@given(st.lists(st.integers(0, 10**6), min_size=1, unique=True))
def test_a_list_is_told_to_sbatch_as_it_is_read(numbers: list[int]) -> None:
    assert indices(as_text(numbers)) == sorted(numbers)


@pytest.mark.parametrize(
    "array", ["", "a", "-1", "3-", "0-3:0", "0-3%", "0-3%x", "0-3%%2", "0..3", "1, 2", "3-1", "0-99999999", -1, [], "٣"]
)
def test_anything_else_is_refused(array: str | int | list[int]) -> None:
    with pytest.raises(UserError, match=r"launcher\.array="):
        indices(array)
