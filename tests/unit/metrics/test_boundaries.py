from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest

from anymask.data import bsds
from anymask.errors import UserError
from anymask.metrics.boundaries import (
    HAS_NUMBA,
    BoundaryCounts,
    boundaries_between,
    count_image,
    count_segmentations,
    pool,
)
from anymask.metrics.boundary_summary import best_point, curve, summarise

OFFICIAL = Path(__file__).parents[4] / "shared/data/eval/bsds_bench"
needs_samples = pytest.mark.skipif(not OFFICIAL.is_dir(), reason="the official sample is not at hand (../shared/data)")
NAMES = ("2018", "3063", "5096", "6046", "8068")
FIELDS = ("found", "boundary", "right", "drawn")


def column(at: int, height: int = 400, width: int = 300) -> np.ndarray:
    """A vertical line; within reach are 3.75 pixels in this size."""
    drawn = np.zeros((height, width), dtype=bool)
    drawn[:, at] = True
    return drawn


def rows(counts: BoundaryCounts) -> list[tuple[int, ...]]:
    return [tuple(int(getattr(counts, name)[place]) for name in FIELDS) for place in range(len(counts.thresholds))]


@pytest.mark.parametrize(
    ("drawn", "truth", "expected"),
    [
        ([10], [10], (400, 400, 400, 400)),
        ([10], [13], (400, 400, 400, 400)),  # 3 pixels beside it
        ([10], [14], (0, 400, 0, 400)),
        ([10, 20], [10], (400, 400, 400, 800)),
        ([10], [10, 20], (400, 800, 400, 400)),
        ([9, 11], [10], (400, 400, 400, 800)),  # one to one: two lines do not find one twice
        ([10], [], (0, 0, 0, 400)),
        ([], [10], (0, 400, 0, 0)),
        ([], [], (0, 0, 0, 0)),
    ],
)
def test_lines_beside_lines(drawn: list[int], truth: list[int], expected: tuple[int, ...]) -> None:
    soft = sum((column(at) for at in drawn), np.zeros((400, 300))) * 0.7
    boundary = np.logical_or.reduce([column(at) for at in truth] or [np.zeros((400, 300), dtype=bool)])
    assert rows(count_image(soft, [boundary], thresholds=1)) == [expected]


def test_a_pixel_is_right_if_any_annotator_agrees_and_found_for_each_that_does() -> None:
    soft = (column(10) | column(20) | column(30)) * 1.0
    counts = count_image(soft, [column(10), column(10) | column(20), column(50)], thresholds=1)
    assert rows(counts) == [(400 + 800 + 0, 400 + 800 + 400, 800, 1200)]


def test_a_value_on_the_threshold_is_above_it() -> None:
    soft = column(10) * 0.25 + column(20) * 0.5 + column(30) * 0.75
    counts = count_image(soft, [column(10)], thresholds=3)
    assert counts.thresholds.tolist() == [0.25, 0.5, 0.75]
    assert rows(counts) == [(400, 400, 400, 1200), (0, 400, 0, 800), (0, 400, 0, 400)]


def test_a_grey_value_of_one_third_is_below_the_second_of_five_thresholds() -> None:
    """MATLAB's ``linspace`` rounds 2/6 up. The official sample's PNGs have that value, and AP moves by 7e-4 with it."""
    counts = count_image(column(10) * (85 / 255), [column(10)], thresholds=5)
    assert counts.drawn.tolist() == [400, 0, 0, 0, 0]


def test_maps_are_thinned_and_annotators_are_not() -> None:
    thick = column(9) | column(10) | column(11)
    ((found, boundary, right, drawn),) = rows(count_image(thick * 1.0, [thick], thresholds=1))
    assert (found, boundary, right, drawn) == (398, 1200, 398, 398)


def test_boundaries_of_labels_are_drawn_at_the_upper_left() -> None:
    labels = np.array([[1, 1, 2, 2], [1, 1, 2, 2], [1, 1, 1, 1], [3, 1, 1, 1]])
    expected = np.array([[0, 1, 0, 0], [0, 1, 1, 1], [1, 0, 0, 0], [1, 0, 0, 0]], dtype=bool)
    assert (boundaries_between(labels) == expected).all()
    corner = np.array([[1, 1], [1, 2]])
    assert boundaries_between(corner).tolist() == [[True, True], [True, False]]


def test_segmentations_stand_in_place_of_thresholds() -> None:
    halves = np.repeat([[1, 2]], 400, axis=0).repeat(150, axis=1)
    counts = count_segmentations([np.ones_like(halves), halves], [column(150)])
    assert counts.thresholds.tolist() == [1, 2]
    assert rows(counts) == [(0, 400, 0, 0), (400, 400, 400, 400)]


def test_counts_are_summed_over_images() -> None:
    one = count_image(column(10) * 0.5, [column(10)], thresholds=3)
    two = count_image(column(10) * 0.8, [column(10), column(90)], thresholds=3)
    assert rows(pool([one, two])) == [(800, 1200, 800, 800), (800, 1200, 800, 800), (400, 1200, 400, 400)]


@pytest.mark.parametrize("value", [-0.1, 1.1, np.nan])
def test_values_that_are_no_probabilities_are_refused(value: float) -> None:
    soft = np.zeros((5, 5))
    soft[2, 2] = value
    with pytest.raises(UserError, match="from 0 to 1, this one"):
        count_image(soft, [np.ones((5, 5), dtype=bool)])


def test_annotators_of_another_size_are_refused() -> None:
    other = np.ones((5, 6), dtype=bool)
    with pytest.raises(UserError, match=r"one size, not \[\(5, 5\), \(5, 6\)\]"):
        count_image(np.zeros((5, 5)), [other])
    with pytest.raises(UserError, match=r"one size, not \[\(5, 5\), \(5, 6\)\]"):
        count_segmentations([np.zeros((5, 5), dtype=int), other.astype(int)], [other])


def test_nothing_to_count_is_refused() -> None:
    with pytest.raises(UserError, match="99 and 0"):
        count_image(np.zeros((5, 5)), [])
    with pytest.raises(UserError, match="0 and 1"):
        count_image(np.zeros((5, 5)), [np.ones((5, 5), dtype=bool)], thresholds=0)
    with pytest.raises(UserError, match="0 and 1"):
        count_segmentations([], [np.ones((5, 5), dtype=bool)])


def relief(seed: int, size: tuple[int, int] = (48, 72)) -> tuple[np.ndarray, list[np.ndarray]]:
    """A soft map and three annotators who nearly agree with it."""
    chance = np.random.default_rng(seed)
    hills = cv2.GaussianBlur(chance.random(size), (0, 0), 3)
    soft = cv2.normalize(np.hypot(*np.gradient(hills)), None, 0, 1, cv2.NORM_MINMAX)
    return soft, [
        boundaries_between((cv2.GaussianBlur(hills, (0, 0), k) > hills.mean()).astype(int)) for k in (1, 2, 3)
    ]


@pytest.mark.skipif(not HAS_NUMBA, reason="numba is not installed")
def test_machine_code_and_python_count_the_same() -> None:
    soft, annotators = relief(0)
    fast, slow = (
        count_image(soft, annotators, thresholds=20, machine_code=machine_code) for machine_code in (True, False)
    )
    assert rows(fast) == rows(slow)
    assert 0 < fast.found[5] < fast.boundary[5]


def test_a_transposed_image_has_the_same_counts_where_nothing_is_thinned() -> None:
    _, annotators = relief(1)
    soft = np.zeros(annotators[0].shape)
    soft[2::3, 1::4] = np.random.default_rng(1).random(soft[2::3, 1::4].shape)  # pixels that do not touch
    for boundary in annotators:
        upright = count_image(soft, [boundary], thresholds=9)
        assert rows(count_image(soft.T, [boundary.T], thresholds=9)) == rows(upright)
        assert upright.found[0] > 0


@cache
def official_case(number: int) -> list[BoundaryCounts]:
    """The five images as the official benchmark was given them in ``test_1`` (ucm2), 2 (png), 3 and 4 (segs)."""
    truths = {name: bsds.ground_truth(OFFICIAL / "groundTruth" / f"{name}.mat") for name in NAMES}
    count: Callable[[str], BoundaryCounts] = {
        1: lambda name: count_image(bsds.ucm2(OFFICIAL / f"ucm2/{name}.mat"), truths[name], thresholds=5),
        2: lambda name: count_image(grey(OFFICIAL / f"png/{name}.png"), truths[name], thresholds=5),
        3: lambda name: count_segmentations(bsds.segmentations(OFFICIAL / f"segs/{name}.mat"), truths[name]),
    }[min(number, 3)]
    return [count(name) for name in NAMES]


def grey(path: Path) -> np.ndarray:
    values = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert values is not None
    return values / np.array(255)


@needs_samples
@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_the_official_samples_summary(number: int) -> None:
    summary = summarise(official_case(number))
    ods, ois = summary.ods, summary.ois
    ours = [ods.threshold, ods.recall, ods.precision, ods.f, ois.recall, ois.precision, ois.f, summary.ap]
    assert ours == pytest.approx(np.loadtxt(OFFICIAL / f"test_{number}/eval_bdry.txt").tolist(), abs=6e-4)


@needs_samples
@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_the_official_samples_thresholds_and_images(number: int) -> None:
    """Of a single image the official benchmark's own runs differ by up to 1.2e-3."""
    images = official_case(number)
    whole = summarise(images).curve
    by_threshold = np.loadtxt(OFFICIAL / f"test_{number}/eval_bdry_thr.txt")[:, :3]
    assert np.abs(np.stack([whole.thresholds, whole.recall, whole.precision], axis=1) - by_threshold).max() < 1e-3
    best = [best_point(curve(image)) for image in images]
    by_image = np.loadtxt(OFFICIAL / f"test_{number}/eval_bdry_img.txt")[:, 1:]
    ours = np.array([[each.threshold or 0, each.recall, each.precision, each.f] for each in best])
    assert np.abs(ours - by_image).max() < 1.5e-3
