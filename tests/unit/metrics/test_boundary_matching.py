"""The pairs are proven in three ways: by their prices, by scipy, and by coming to the same maps on different ways."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching, min_weight_full_bipartite_matching

from anymask.data import bsds
from anymask.metrics.boundaries import HAS_NUMBA
from anymask.metrics.boundary_matching import NOISE, Correspondence, largest_distance, network
from anymask.metrics.dual_prices import FAR, FREE, Network
from anymask.metrics.thinning import thin

SAMPLES = Path(__file__).resolve().parents[4] / "shared/data/eval/bsds_bench"
needs_samples = pytest.mark.skipif(not SAMPLES.is_dir(), reason="the official sample is not at hand (../shared/data)")

NONE = np.array([], dtype=np.int64)


def costs(boundary: np.ndarray, reach: float) -> dict[tuple[int, int], int]:
    """Of every pair in reach, (map pixel, boundary pixel) as row x width + column: straight from the definition."""
    width = boundary.shape[1]
    spots = [(row, column) for row, column in np.ndindex(boundary.shape) if boundary[row, column]]
    return {
        (row * width + column, y * width + x): round(100 * math.dist((row, column), (y, x)))
        for row, column in np.ndindex(boundary.shape)
        for y, x in spots
        if math.dist((row, column), (y, x)) <= reach
    }


def alone(reach: float) -> int:
    return math.ceil(100 * 100 * reach)


@st.composite
def courses(draw: st.DrawFn) -> tuple[np.ndarray, list[np.ndarray], float]:
    """A boundary map, the maps that follow one another beside it, and a reach."""
    size = draw(st.tuples(st.integers(1, 7), st.integers(1, 7)))
    boundary = draw(arrays(bool, size))
    maps = draw(st.lists(arrays(bool, size), min_size=1, max_size=4))
    return boundary, maps, draw(st.sampled_from([0.5, 1.0, 1.5, 2.33706, 3.0]))


def played(
    boundary: np.ndarray, maps: list[np.ndarray], reach: float, *, salt: int = 0, machine_code: bool = False
) -> Iterator[tuple[np.ndarray, Correspondence]]:
    """Every map with the correspondence after it; a pixel's place in the order is its place in the map."""
    net = network(np.arange(boundary.size), boundary, reach, salt)
    correspondence, before = Correspondence(net, machine_code=machine_code), np.zeros(boundary.shape, dtype=bool)
    for now in maps:
        correspondence.advance(np.flatnonzero(before & ~now), np.flatnonzero(now & ~before))
        yield now, correspondence
        before = now


def paired(boundary: np.ndarray, maps: list[np.ndarray], reach: float, **how: Any) -> list[np.ndarray]:
    """Of each map, which pixels have a partner."""
    return [
        correspondence.is_paired(np.flatnonzero(now)) for now, correspondence in played(boundary, maps, reach, **how)
    ]


def pairs(net: Network, boundary: np.ndarray) -> list[tuple[int, int]]:
    spots = np.flatnonzero(boundary)
    found = [(pixel, net.partner[pixel]) for pixel in range(boundary.size) if net.partner[pixel] != FREE]
    assert all(net.partner[other] == pixel for pixel, other in found)
    assert len({other for _, other in found}) == len(found)
    assert sum(partner != FREE for partner in net.partner) == 2 * len(found)
    return [(pixel, int(spots[other - boundary.size])) for pixel, other in found]


def edges(net: Network) -> dict[tuple[int, int], int]:
    """What each is worth; every one stands here twice, from either node."""
    first, neighbour, worth = (np.array(each).tolist() for each in (net.first, net.neighbour, net.worth))
    return {
        (node, neighbour[edge]): worth[edge]
        for node in range(len(first) - 1)
        for edge in range(first[node], first[node + 1])
    }


def check_prices(net: Network, now: np.ndarray, boundary: np.ndarray) -> None:
    """Feasible, and what is gained by the pairs is the sum of the prices: then no other pairing gains more."""
    first, neighbour, worth, price, partner, distance = (np.array(each, dtype=np.int64) for each in net[:6])
    node = np.arange(len(price)).repeat(np.diff(first))
    here = np.append(now.ravel(), np.ones(int(boundary.sum()), dtype=bool))
    assert (price[~here] == FAR).all()
    assert (price[here] >= 0).all()
    assert (price[node] + price[neighbour] >= worth).all()
    pair = partner[node] == neighbour
    assert (partner[~here] == FREE).all()
    assert np.count_nonzero(pair) == np.count_nonzero(partner != FREE)
    assert worth[pair].sum() == 2 * price[here].sum()
    assert (distance == FAR).all()


@settings(max_examples=60)
@given(courses(), st.integers(0, 9))
def test_edges_are_the_pairs_in_reach_with_noise_below_one_unit(
    course: tuple[np.ndarray, list[np.ndarray], float], salt: int
) -> None:
    boundary, _, reach = course
    net = network(np.arange(boundary.size), boundary, reach, salt)
    spots, size, forth, back = np.flatnonzero(boundary).tolist(), boundary.size, {}, {}
    for (node, other), worth in edges(net).items():
        cost = alone(reach) - -(-worth // NOISE)
        if node < size:
            forth[node, spots[other - size]] = cost
        else:
            back[other, spots[node - size]] = cost
    assert forth == back == costs(boundary, reach)


@settings(max_examples=150)
@given(courses())
def test_prices_prove_after_every_map_that_no_pairing_is_worth_more(
    course: tuple[np.ndarray, list[np.ndarray], float],
) -> None:
    boundary, maps, reach = course
    for now, correspondence in played(boundary, maps, reach):
        check_prices(correspondence.net, now, boundary)


@settings(max_examples=100)
@given(courses())
def test_cost_and_number_of_pairs_are_scipys(course: tuple[np.ndarray, list[np.ndarray], float]) -> None:
    boundary, maps, reach = course
    for now, correspondence in played(boundary, maps, reach):
        cost = {pair: each for pair, each in costs(boundary, reach).items() if now.flat[pair[0]]}
        found = pairs(correspondence.net, boundary)
        assert all(pair in cost for pair in found)
        left = int(now.sum()) + int(boundary.sum()) - 2 * len(found)
        total, most = by_scipy(now, boundary, cost, alone(reach))
        assert (2 * sum(cost[pair] for pair in found) + left * alone(reach), len(found)) == (total, most)


def by_scipy(now: np.ndarray, boundary: np.ndarray, cost: dict[tuple[int, int], int], lone: int) -> tuple[int, int]:
    """The smallest cost and the largest number of pairs. Every node can have itself, on the other side, for partner.

    Edges of a pair count on both sides, hence twice; scipy takes no zeros, hence the 1 that is taken off again.
    """
    nodes = {(side, int(spot)): None for side, each in ((0, now), (1, boundary)) for spot in np.flatnonzero(each)}
    number = {node: place for place, node in enumerate(nodes)}
    if not number:
        return 0, 0
    full = np.zeros((len(number), len(number)), dtype=np.int64)
    for (pixel, spot), each in cost.items():
        full[number[0, pixel], number[1, spot]] = full[number[1, spot], number[0, pixel]] = each + 1
    only_pairs = csr_array(full[: int(now.sum()), int(now.sum()) :])
    full[np.diag_indices(len(number))] = lone + 1
    rows, columns = min_weight_full_bipartite_matching(csr_array(full))
    most = int((maximum_bipartite_matching(only_pairs) >= 0).sum()) if only_pairs.nnz else 0
    return int(full[rows, columns].sum()) - len(number), most


@settings(max_examples=40)
@given(courses())
def test_the_way_to_a_map_does_not_matter(course: tuple[np.ndarray, list[np.ndarray], float]) -> None:
    boundary, maps, reach = course
    assert (paired(boundary, maps, reach)[-1] == paired(boundary, maps[-1:], reach)[0]).all()


@settings(max_examples=40)
@given(courses())
def test_a_transposed_image_has_as_many_pairs(course: tuple[np.ndarray, list[np.ndarray], float]) -> None:
    boundary, maps, reach = course
    turned = paired(boundary.T, [each.T for each in maps], reach)
    assert [each.sum() for each in turned] == [each.sum() for each in paired(boundary, maps, reach)]


def test_machine_code_and_python_find_the_same_pairs() -> None:
    pytest.importorskip("numba")
    chance = np.random.default_rng(0)
    for density in (0.05, 0.2, 0.6):
        boundary = chance.random((30, 40)) < density
        maps = list(chance.random((4, 30, 40)) < density)
        for slow, fast in zip(played(boundary, maps, 3.2), played(boundary, maps, 3.2, machine_code=True), strict=True):
            for one, other in zip(slow[1].net, fast[1].net, strict=True):
                assert np.array_equal(one, other)


@needs_samples
def test_prices_prove_the_pairs_of_a_photograph_at_every_threshold() -> None:
    soft, boundary = bsds.ucm2(SAMPLES / "ucm2/5096.mat"), bsds.ground_truth(SAMPLES / "groundTruth/5096.mat")[0]
    maps, reach = [thin(soft >= k / 20) for k in range(19, 0, -1)], largest_distance(soft.shape)
    for now, correspondence in played(boundary, maps, reach, machine_code=HAS_NUMBA):
        check_prices(correspondence.net, now, boundary)
    assert len(pairs(correspondence.net, boundary)) > 3000


def test_the_nearer_pixel_is_paired() -> None:
    boundary = np.zeros((1, 9), dtype=bool)
    boundary[0, 4] = True
    now = np.zeros((1, 9), dtype=bool)
    now[0, [2, 5]] = True
    assert paired(boundary, [now], 3.0)[0].tolist() == [False, True]


def test_many_pairs_are_better_than_near_ones() -> None:
    boundary = np.array([[False, True, False, True]])
    now = np.array([[True, True, False, False]])  # the first needs what the second lies on
    assert paired(boundary, [now], 2.0)[0].tolist() == [True, True]


def test_a_pair_out_of_reach_is_none() -> None:
    boundary = np.array([[True, False, False]])
    now = np.array([[False, False, True]])
    assert paired(boundary, [now], 1.99)[0].tolist() == [False]
    assert paired(boundary, [now], 2.0)[0].tolist() == [True]


def test_annotators_decide_independently_between_equals() -> None:
    boundary = np.array([[False, True, False]])
    now = np.array([[True, False, True]])
    choices = {tuple(paired(boundary, [now], 1.0, salt=salt)[0].tolist()) for salt in range(20)}
    assert choices == {(True, False), (False, True)}


def test_a_network_of_nothing() -> None:
    boundary = np.zeros((3, 4), dtype=bool)
    correspondence = Correspondence(network(NONE, boundary, 1.0, 0), machine_code=False)
    correspondence.advance(NONE, NONE)
    assert correspondence.is_paired(NONE).tolist() == []


def test_the_largest_distance_is_a_part_of_the_diagonal() -> None:
    assert largest_distance((300, 400)) == pytest.approx(3.75)
    assert largest_distance((400, 300), 0.011) == pytest.approx(5.5)
