from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from anymask.draws import Draws


def test_the_numbers_are_those_of_splitmix64() -> None:
    """Against the first outputs for the seed 1234567 that are published as a test of the algorithm."""
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    drawn = Draws(torch.tensor([1234567])).uniform(4)[0].tolist()
    assert drawn == [(number >> 11) / 2**53 for number in published]


@given(st.lists(st.integers(0, 2**63 - 1), min_size=2, max_size=6), st.lists(st.integers(1, 90), max_size=4))
def test_an_object_draws_the_same_numbers_beside_any_others(seeds: list[int], columns: list[int]) -> None:
    together = Draws(torch.tensor(seeds))
    alone = [Draws(torch.tensor([seed])) for seed in seeds]
    for number in columns:
        assert torch.equal(together.uniform(number), torch.cat([draws.uniform(number) for draws in alone]))


def test_a_stream_goes_on_where_the_last_draw_ended() -> None:
    pieces = Draws(torch.arange(3))
    whole = Draws(torch.arange(3)).uniform(200)
    assert torch.equal(torch.cat([pieces.uniform(number) for number in (1, 63, 2, 100, 34)], dim=1), whole)


def test_numbers_are_uniform_and_do_not_hang_together() -> None:
    """Of neighbouring seeds and of neighbouring places; bounds of five standard errors."""
    drawn = Draws(torch.arange(2000)).uniform(50)
    assert drawn.min() >= 0
    assert drawn.max() < 1
    counts = torch.histc(drawn, bins=20, min=0, max=1)
    assert ((counts - 5000) ** 2 / 5000).sum() < 19 + 5 * (2 * 19) ** 0.5
    for first, second in ((drawn[:-1], drawn[1:]), (drawn[:, :-1], drawn[:, 1:])):
        both = torch.stack([first.flatten(), second.flatten()])
        assert abs(torch.corrcoef(both)[0, 1]) < 5 / both.shape[1] ** 0.5


def test_normal_numbers_have_mean_0_and_variance_1() -> None:
    drawn = Draws(torch.arange(10_000)).normal(10)
    assert drawn.mean().item() == pytest.approx(0, abs=5 / 100_000**0.5)
    assert drawn.var().item() == pytest.approx(1, abs=5 * (2 / 100_000) ** 0.5)
