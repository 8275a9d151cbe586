from __future__ import annotations

import numpy as np
import pytest

from anymask.evaluation.edges.floors import FLOORS
from anymask.inference.edges import EdgeMaps

MAPS = EdgeMaps(fade=0)


def step(left: int, right: int) -> np.ndarray:
    image = np.full((40, 50, 3), left, dtype=np.uint8)
    image[:, 25:] = right
    return image


@pytest.mark.parametrize("floor", FLOORS)
@pytest.mark.parametrize("way", [1, -1])
def test_a_change_of_brightness_is_one_thin_edge_where_it_is(floor: str, way: int) -> None:
    edges = FLOORS[floor](np.ascontiguousarray(step(60, 160)[:, ::way]), MAPS)
    assert edges.dtype == np.float32
    assert 0 < edges.max() <= 1
    inner = edges[5:-5] > 0.1
    assert (inner.sum(axis=1) >= 1).all()
    assert (inner.sum(axis=1) <= 2).all()
    assert set(np.flatnonzero(inner.any(axis=0)).tolist()) <= {23, 24, 25, 26}


@pytest.mark.parametrize("floor", FLOORS)
def test_nothing_is_seen_where_nothing_is(floor: str) -> None:
    assert not FLOORS[floor](step(90, 90), MAPS).any()


@pytest.mark.parametrize("floor", FLOORS)
def test_a_stronger_edge_is_stronger(floor: str) -> None:
    """Two steps in one photograph, the second four times as high."""
    image = step(20, 50)
    image[:, 37:] = 170
    edges = FLOORS[floor](image, MAPS)[20]
    assert edges[35:40].max() > 1.5 * edges[22:28].max() > 0


@pytest.mark.parametrize("floor", FLOORS)
def test_it_does_not_matter_which_way_a_photograph_is_turned(floor: str) -> None:
    chance = np.random.default_rng(0)
    image = np.kron(chance.integers(0, 256, (5, 6, 3), dtype=np.uint8), np.ones((10, 10, 1), np.uint8))
    upright, turned = FLOORS[floor](image, MAPS) > 0.2, FLOORS[floor](image.transpose(1, 0, 2).copy(), MAPS).T > 0.2
    assert (upright != turned).sum() < 0.1 * upright.sum()


def test_canny_is_not_scaled() -> None:
    """Its values are shares of thresholds: a weak photograph stays weak."""
    assert FLOORS["canny"](step(100, 110), MAPS).max() < FLOORS["canny"](step(0, 255), MAPS).max()
    assert FLOORS["sobel"](step(100, 110), MAPS).max() == 1
