from __future__ import annotations

import math

import numpy as np
import pytest

from anymask.errors import UserError
from anymask.evaluation.proposals.protocol import Proposals, Ranking
from anymask.evaluation.proposals.ranking import chance_of, first_proposals
from anymask.geometry import Frame
from anymask.inference.candidates import Measured


def measured(ious: list[float], stability: list[float]) -> Measured:
    """As a generator gives them: the highest estimates first."""
    number = len(ious)
    return Measured(
        frame=Frame.of((20, 30), 64),
        ious=np.array(ious, dtype=np.float32),
        stability=np.array(stability, dtype=np.float32),
        boxes=np.zeros((number, 4), dtype=np.int64),
        points=np.zeros((number, 2)),
        origins=np.zeros((number, 2), dtype=np.int64),
    )


@pytest.mark.parametrize(
    ("ranking", "rows"),
    [
        ("mean", [2, 0, 1, 3, 4]),  # .625, and of four times .5 the higher estimate first
        ("predicted_iou", [0, 1, 2, 3, 4]),
        ("stability", [4, 3, 2, 1, 0]),
    ],
)
def test_the_best_come_first(ranking: Ranking, rows: list[int]) -> None:
    found = measured([0.875, 0.75, 0.75, 0.125, 0.0], [0.125, 0.25, 0.5, 0.875, 1.0])
    assert first_proposals(found, Proposals(ranking=ranking), "a").tolist() == rows


def test_no_more_than_asked_for() -> None:
    many = measured([1 - number / 30 for number in range(30)], [0.5] * 30)
    assert first_proposals(many, Proposals(proposals=20), "a").tolist() == list(range(20))
    assert first_proposals(measured([], []), Proposals(), "a").tolist() == []


def test_a_random_order_depends_on_the_image_and_the_seed_alone() -> None:
    many = measured([1 - number / 300 for number in range(300)], [0.5] * 300)

    def order(name: str, seed: int) -> list[int]:
        return first_proposals(many, Proposals(ranking="random", seed=seed), name).tolist()

    orders = [order("a", 0), order("b", 0), order("a", 1)]
    assert order("a", 0) == orders[0]
    assert all(sorted(rows) == list(range(300)) for rows in orders)
    assert orders[0] != orders[1] != orders[2] != orders[0]
    assert order("a", 0)[:3] == [56, 257, 143]  # and not on the process


def test_estimates_that_are_not_finite_are_the_weights_fault() -> None:
    for bad in (math.nan, math.inf):
        with pytest.raises(UserError, match="not finite: its weights are damaged"):
            first_proposals(measured([0.5, bad], [0.5, 0.5]), Proposals(), "a")


def test_names_are_spread_evenly() -> None:
    chances = [chance_of(f"image {number}") for number in range(2000)]
    assert chances[0] == chance_of("image 0")
    assert np.histogram(chances, bins=10, range=(0, 1))[0].tolist() == pytest.approx([200] * 10, abs=60)
