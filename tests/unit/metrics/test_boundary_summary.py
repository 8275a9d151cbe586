from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anymask.metrics.boundaries import BoundaryCounts
from anymask.metrics.boundary_summary import Curve, average_precision, best_point, recall_at_half, summarise


def counts(*rows: tuple[int, int, int, int]) -> BoundaryCounts:
    """Of (found, boundary, right, drawn) at each threshold."""
    found, boundary, right, drawn = np.array(rows).T
    thresholds = np.arange(1, len(rows) + 1) / (len(rows) + 1)
    return BoundaryCounts(thresholds=thresholds, found=found, boundary=boundary, right=right, drawn=drawn)


def of(recall: list[float], precision: list[float]) -> Curve:
    thresholds = np.arange(1, len(recall) + 1) / (len(recall) + 1)
    return Curve(thresholds=thresholds, recall=np.array(recall), precision=np.array(precision))


@st.composite
def sets(draw: st.DrawFn) -> list[BoundaryCounts]:
    """Up to three images at up to five thresholds, with the same recalls and precisions more often than by chance."""
    thresholds = draw(st.integers(1, 5))
    images = []
    for _ in range(draw(st.integers(1, 3))):
        boundary = draw(st.integers(0, 6))
        drawn = draw(st.lists(st.integers(0, 6), min_size=thresholds, max_size=thresholds))
        rows = [(draw(st.integers(0, boundary)), boundary, draw(st.integers(0, each)), each) for each in drawn]
        images.append(counts(*rows))
    return images


def ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def f(recall: float, precision: float) -> float:
    return ratio(2 * recall * precision, recall + precision)


def line(x: float, points: dict[float, float]) -> float | None:
    """The broken line through the points; None beside them."""
    for left, right in zip(sorted(points), sorted(points)[1:], strict=False):
        if left <= x <= right:
            return points[left] + (points[right] - points[left]) * (x - left) / (right - left)
    return points.get(x)


@settings(max_examples=300)
@given(sets())
def test_the_summary_is_what_the_definitions_say(images: list[BoundaryCounts]) -> None:
    number = len(images[0].thresholds)
    sums = {name: [sum(getattr(i, name)[t] for i in images) for t in range(number)] for name in COUNTS}
    recall = [ratio(sums["found"][t], sums["boundary"][t]) for t in range(number)]
    precision = [ratio(sums["right"][t], sums["drawn"][t]) for t in range(number)]
    summary = summarise(images)
    assert summary.curve.recall.tolist() == recall
    assert summary.curve.precision.tolist() == precision

    best = max(f(recall[t], precision[t]) for t in range(number))
    for t in range(number - 1):
        for step in range(100):
            d = step / 99
            r, p = (each[t] + d * (each[t + 1] - each[t]) for each in (recall, precision))
            best = max(best, f(r, p))
    assert summary.ods.f == pytest.approx(best)

    chosen = dict.fromkeys(COUNTS, 0)
    for image in images:
        scores = [
            f(ratio(image.found[t], image.boundary[t]), ratio(image.right[t], image.drawn[t])) for t in range(number)
        ]
        for name in COUNTS:
            chosen[name] += getattr(image, name)[scores.index(max(scores))]
    expected = f(ratio(chosen["found"], chosen["boundary"]), ratio(chosen["right"], chosen["drawn"]))
    assert summary.ois.f == pytest.approx(expected)

    by_recall: dict[float, float] = {}
    for r, p in zip(recall, precision, strict=True):
        by_recall.setdefault(r, p)
    assert summary.ap == pytest.approx(sum(line(k / 100, by_recall) or 0.0 for k in range(101)) / 100)

    by_precision: dict[float, float] = {}
    for r in sorted(by_recall, reverse=True):
        by_precision.setdefault(by_recall[r], r)
    assert summary.r50 == pytest.approx(line(max(0.5, min(by_precision)), by_precision) or 0.0)


COUNTS = ("found", "boundary", "right", "drawn")


def test_the_best_f_may_lie_between_two_thresholds() -> None:
    point = best_point(of([1.0, 0.0], [0.0, 1.0]))  # F is 0 at either, .5 half way
    assert (point.recall, point.precision) == pytest.approx((0.5, 0.5), abs=0.01)
    assert point.threshold == pytest.approx(0.5, abs=0.01)
    assert point.f == pytest.approx(0.5, abs=1e-4)


def test_of_equal_ones_the_first_threshold_is_the_best() -> None:
    assert best_point(of([0.5, 0.5, 0.5], [0.5, 0.5, 0.5])).threshold == 0.25


def test_ois_pools_counts_and_does_not_average() -> None:
    first = counts((90, 100, 90, 100), (0, 100, 0, 0))
    second = counts((0, 10, 0, 10), (5, 10, 5, 10))
    ois = summarise([first, second]).ois
    assert (ois.recall, ois.precision) == (95 / 110, 95 / 110)
    assert ois.threshold is None


def test_average_precision_adds_up_101_values_over_100() -> None:
    assert average_precision(of([1.0, 0.0], [1.0, 1.0])) == pytest.approx(1.01)


def test_nothing_is_added_where_the_curve_was_not_measured() -> None:
    assert average_precision(of([0.6, 0.4], [1.0, 1.0])) == pytest.approx(0.21)  # .40, .41, … .60


def test_recall_at_a_precision_of_one_half() -> None:
    assert recall_at_half(of([0.8, 0.4], [0.3, 0.7])) == pytest.approx(0.6)
    assert recall_at_half(of([0.8, 0.4], [0.6, 0.7])) == pytest.approx(0.8)  # the lowest precision there is
    assert recall_at_half(of([0.8, 0.4], [0.1, 0.2])) == 0.0  # never reached


def test_nothing_drawn_and_nothing_to_find_is_zero() -> None:
    summary = summarise([counts((0, 0, 0, 0), (0, 0, 0, 0))])
    assert (summary.ods.f, summary.ois.f, summary.ap, summary.r50) == (0.0, 0.0, 0.0, 0.0)


def test_a_perfect_result() -> None:
    summary = summarise([counts((10, 10, 10, 10), (5, 10, 5, 5))])
    assert (summary.ods.recall, summary.ods.precision, summary.ods.f) == (1.0, 1.0, 1.0)
    assert summary.ods.threshold == pytest.approx(1 / 3)
    assert summary.r50 == 1.0
