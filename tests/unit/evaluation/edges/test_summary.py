from __future__ import annotations

import numpy as np
import pytest

from anymask.evaluation.edges import summary
from anymask.evaluation.edges.records import EdgeCounts
from anymask.metrics.boundaries import count_image


def test_the_numbers_of_one_image_by_hand() -> None:
    """Recall and precision are 1 and .5 at the first threshold, .5 and 1 at the second."""
    stored: EdgeCounts = {
        "boundary": 10,
        "found": [10, 5],
        "drawn": [20, 5],
        "right": [10, 5],
        "best_threshold": 1 / 3,
        "best_f": 2 / 3,
    }
    numbers = summary.metrics([summary.counts_of(stored)])
    assert numbers["ods"] == pytest.approx(0.75, abs=1e-4)  # half-way, both are .75
    assert numbers["ois"] == pytest.approx(2 / 3)
    assert numbers["ap"] == pytest.approx(51 * 0.75 / 100)  # at 51 recalls from .5 to 1
    assert numbers["r50"] == 1
    told = summary.details([summary.counts_of(stored)])
    assert told["curve"] == [[1, 0.5], [0.5, 1]]
    assert told["ods_threshold"] == pytest.approx(0.5, abs=0.01)
    assert (told["ods_recall"], told["ods_precision"]) == pytest.approx((0.75, 0.75), abs=0.01)
    assert (told["ois_recall"], told["ois_precision"]) == (1, 0.5)


def test_counts_are_those_of_the_benchmark() -> None:
    chance = np.random.default_rng(0)
    people = [chance.random((20, 30)) < 0.1 for _ in range(3)]
    soft = 0.6 * chance.random((20, 30)) + 0.4 * people[0]
    stored, direct = summary.counted(soft, people, 9), count_image(soft, people, thresholds=9)
    back = summary.counts_of(stored)
    for name in ("found", "boundary", "right", "drawn"):
        assert np.array_equal(getattr(back, name), getattr(direct, name))
    np.testing.assert_allclose(back.thresholds, direct.thresholds)
    assert summary.metrics([back]) == summary.metrics([direct])
    by_hand = []
    for found, drawn, right in zip(stored["found"], stored["drawn"], stored["right"], strict=True):
        recall, precision = found / stored["boundary"], right / drawn
        by_hand.append(2 * recall * precision / (recall + precision))
    assert stored["best_f"] == pytest.approx(max(by_hand), abs=1e-6)
    assert 0 < by_hand.index(max(by_hand)) < 8
    assert stored["best_threshold"] == pytest.approx((by_hand.index(max(by_hand)) + 1) / 10)


def test_an_image_where_nobody_drew_anything_and_a_map_without_an_edge() -> None:
    nothing = np.zeros((5, 6))
    stored = summary.counted(nothing, [nothing > 0], 3)
    assert stored == {
        "boundary": 0,
        "found": [0, 0, 0],
        "drawn": [0, 0, 0],
        "right": [0, 0, 0],
        "best_threshold": 0.25,
        "best_f": 0.0,
    }
    assert summary.metrics([summary.counts_of(stored)]) == {"ods": 0, "ois": 0, "ap": 0, "r50": 0}


def test_standard_errors_shrink_with_the_number_of_images() -> None:
    chance = np.random.default_rng(0)
    people = [np.eye(24, dtype=bool)]
    images = []
    for _ in range(36):
        noise = chance.random((24, 24)) * (chance.random((24, 24)) < 0.2 * chance.random())
        images.append(summary.counts_of(summary.counted(np.maximum(noise, 0.5 * np.eye(24)), people, 9)))
    few, many = summary.errors(images[:9], 100)["ods"], summary.errors(images, 100)["ods"]
    assert few is not None
    assert many is not None
    assert 0 < many < few
    assert summary.errors(images, 0) == dict.fromkeys(summary.METRICS)
    assert summary.errors(images[:1], 5) == dict.fromkeys(summary.METRICS)


def test_the_verdict() -> None:
    good, bad = dict.fromkeys(summary.METRICS, 0.7), dict.fromkeys(summary.METRICS, 0.5)
    assert summary.verdict(good, {})["beats_every_floor"] is None
    assert summary.verdict(good, {"sobel": bad}) == {
        "beats_every_floor": True,
        "sentence": "The edges beat every floor in all numbers, by at least 0.200.",
    }
    told = summary.verdict(
        good, {"sobel": bad | {"ods": 0.725, "ap": 0.9}, "laplace": bad, "canny": bad | {"r50": 0.7}}
    )
    assert told == {
        "beats_every_floor": False,
        "sentence": "The edges do not beat sobel in ODS (0.025 below), AP (0.200 below); "
        "nor canny in R50 (0.000 below).",
    }
