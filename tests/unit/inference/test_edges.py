from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from anymask.inference.edges import EdgeMaps, gradient_outside, scaled, strongest, thinned

Map = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


def _drawn(*rows: str) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    return np.array([[cell == "#" for cell in row] for row in rows])


@pytest.mark.parametrize(
    ("neighbours", "thickness", "rows"),
    [
        (4, 1, ["......", "..#...", ".#.#..", "..#...", "......"]),
        (8, 1, ["......", ".###..", ".#.#..", ".###..", "......"]),
        (4, 2, ["..#...", ".###..", "##.##.", ".###..", "..#..."]),
    ],
)
def test_edges_lie_just_outside_the_mask(neighbours: int, thickness: int, rows: list[str]) -> None:
    mask = _drawn("......", "......", "..#...", "......", "......")
    slope = np.indices(mask.shape)[1].astype(np.float32)  # the same gradient everywhere
    edges = gradient_outside(slope, mask, EdgeMaps(neighbours=neighbours, thickness=thickness))  # type: ignore[arg-type]
    expected = _drawn(*rows) & (np.arange(6) < 5) & (np.arange(6) > 0)  # at the border the slope is half as steep
    assert np.array_equal(edges[:, 1:5] == 8, expected[:, 1:5])
    assert (edges[:, 1:5][~expected[:, 1:5]] == 0).all()


@settings(max_examples=20)
@given(arrays(np.float32, (5, 6), elements=st.floats(0, 1, width=32)), st.sampled_from(["l1", "l2"]))
def test_the_gradient_is_sobels(probabilities: Map, magnitude: str) -> None:
    mask = np.zeros((5, 6), dtype=bool)
    mask[::2, ::2] = True  # every other pixel is just outside
    edges = gradient_outside(probabilities, mask, EdgeMaps(magnitude=magnitude))  # type: ignore[arg-type]
    p = np.pad(probabilities.astype(np.float64), 1, mode="edge")
    for y, x in np.ndindex(5, 6):
        (a, b, c), (d, _, f), (g, h, i) = p[y : y + 3, x : x + 3]
        across, down = c + 2 * f + i - a - 2 * d - g, g + 2 * h + i - a - 2 * b - c
        strength = np.hypot(across, down) if magnitude == "l2" else abs(across) + abs(down)
        assert edges[y, x] == pytest.approx(0 if mask[y, x] else strength, abs=1e-5)


def test_scaling() -> None:
    edges = np.array([[0.5, 1.0, 2.5]], dtype=np.float32)
    assert scaled(edges, EdgeMaps()).tolist() == [[0, 0.25, 1]]
    np.testing.assert_allclose(scaled(edges, EdgeMaps(scale="max")), [[0.2, 0.4, 1]])
    assert scaled(np.zeros((2, 2), dtype=np.float32), EdgeMaps()).tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize("degrees", [0, 20, 45, 70, 90, 120, 135, 160])
@pytest.mark.parametrize("suppression", ["canny", "oriented"])
def test_a_blurred_line_becomes_thin_and_stays_in_place(degrees: int, suppression: str) -> None:
    y, x = np.indices((41, 41)) - 20.0
    angle = np.deg2rad(degrees)
    off = -x * np.sin(angle) + y * np.cos(angle)  # distance from the line through the centre
    edges = np.exp(-(off**2) / 8).astype(np.float32)
    thin = thinned(edges, EdgeMaps(suppression=suppression, fade=0))  # type: ignore[arg-type]
    inner = np.hypot(x, y) < 15
    assert abs(off[inner & (thin > 0)]).max() < 1.1
    along = np.sort((x * np.cos(angle) + y * np.sin(angle))[inner & (thin > 0)])
    assert along[0] < -13
    assert along[-1] > 13
    assert np.diff(along).max() < 1.5  # without a gap: pixels on a diagonal are 1.41 apart
    assert np.array_equal(thin[thin > 0], edges[thin > 0])


def test_a_neighbour_may_be_a_little_stronger() -> None:
    edges = np.array([[1.0, 0.995, 0.5]], dtype=np.float32)
    across = np.zeros((1, 3), dtype=np.float32)
    assert strongest(edges, across, radius=1, slack=1.0).tolist() == [[True, False, False]]
    assert strongest(edges, across, radius=1, slack=1.01).tolist() == [[True, True, False]]
    far = np.array([[0.4, 0.3, 0.5]], dtype=np.float32)
    assert strongest(far, across, radius=2, slack=1.0).tolist() == [[False, False, True]]


def test_the_map_fades_at_the_border() -> None:
    edges = np.zeros((9, 12), dtype=np.float32)
    edges[4] = 1
    thin = thinned(edges, EdgeMaps(fade=3))
    np.testing.assert_allclose(thin[4], [0, 1 / 3, 2 / 3, 1, 1, 1, 1, 1, 1, 2 / 3, 1 / 3, 0], rtol=1e-6)


def test_a_scene_of_two_masks() -> None:
    """A square and a fainter one beside it: each has an edge around it, and the stronger has the value 1."""
    maps = []
    for left, strength in ((4, 1.0), (20, 0.5)):
        mask = np.zeros((32, 40), dtype=bool)
        mask[8:24, left : left + 12] = True
        probabilities = np.where(mask, 0.5 + strength / 2, 0.5 - strength / 2).astype(np.float32)
        part = (slice(5, 27), slice(left - 3, left + 15))
        maps.append((probabilities[part], mask[part], (5, left - 3)))
    edges = EdgeMaps(suppression="none").of(maps, (32, 40))
    assert edges.shape == (32, 40)
    assert edges.max() == 1
    assert edges[15, 3] == edges[7, 10] == pytest.approx(4 / np.hypot(3, 3), abs=0.07)  # a side against a corner
    assert edges[15, 32] == pytest.approx(edges[15, 3] / 2)
    assert edges[8:24, 4:16].max() == 0  # nothing inside
    assert edges[15, 16] == edges[15, 3]
    assert np.count_nonzero(edges) == 2 * (18 * 14 - 16 * 12)
    thin = EdgeMaps().of(maps, (32, 40))
    assert 0 < np.count_nonzero(thin) <= np.count_nonzero(edges)


def test_no_mask_gives_no_edge() -> None:
    assert not EdgeMaps().of([], (5, 6)).any()
