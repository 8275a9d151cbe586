"""The shuffled order: each number once, by chance, and the same everywhere."""

from __future__ import annotations

import time
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anymask.data.permutation import Permutation


@given(length=st.integers(1, 3000), seed=st.integers())
def test_every_number_comes_once(length: int, seed: int) -> None:
    assert sorted(Permutation(length, seed)[place] for place in range(length)) == list(range(length))


def test_it_depends_on_its_seed_and_on_nothing_else() -> None:
    orders = [
        [Permutation(1000, *seed)[place] for place in range(20)] for seed in (("a", 1), ("a", 1), ("a", 2), ("a1",))
    ]
    assert orders[0] == orders[1]
    assert orders[0] != orders[2]
    assert orders[0] != orders[3]
    assert orders[0][:5] == [194, 177, 565, 128, 536]  # that of every run


@pytest.mark.parametrize("length", [2, 3, 4, 7])
def test_no_number_is_more_likely_at_a_place_than_another(length: int) -> None:
    """Chi-square of places against numbers over many seeds, with a bound of 5 standard deviations."""
    seeds = 4000
    table = Counter((place, Permutation(length, seed)[place]) for seed in range(seeds) for place in range(length))
    expected = seeds / length
    chi_square = sum((table[place, n] - expected) ** 2 / expected for place in range(length) for n in range(length))
    freedom = (length - 1) ** 2
    assert chi_square < freedom + 5 * (2 * freedom) ** 0.5 + 5


def test_neighbours_are_strewn() -> None:
    """The mean distance of what follows one another is a third of the length, as of an order by chance."""
    length = 100_000
    order = [Permutation(length, "strewn")[place] for place in range(20_000)]
    mean = sum(abs(a - b) for a, b in pairwise(order)) / (len(order) - 1)
    assert mean / length == pytest.approx(1 / 3, abs=0.01)


def test_eleven_million_are_no_more_work_than_a_hundred() -> None:
    permutation = Permutation(11_185_362, 0)
    begin = time.process_time()
    numbers = [permutation[place] for place in range(11_185_362 - 2000, 11_185_362)]
    assert time.process_time() - begin < 2  # a list of them all would take longer to be made
    assert len(set(numbers)) == 2000
    assert max(numbers) < 11_185_362


@pytest.mark.parametrize("place", [-1, 5])
def test_there_is_nothing_beyond_the_end(place: int) -> None:
    with pytest.raises(IndexError, match=f"no place {place} among 5"):
        Permutation(5, 0)[place]
