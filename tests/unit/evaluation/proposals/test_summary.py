from __future__ import annotations

import json
import re
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import pytest

from anymask.errors import UserError
from anymask.evaluation.proposals.protocol import Proposals
from anymask.evaluation.proposals.records import Found, Record
from anymask.evaluation.proposals.summary import metric_names, numbers, recall_of_image
from anymask.metrics.recall import CUTOFFS, GROUPS, FoundObjects, average_recall, standard_error

NO_FLOOR = Proposals(floors=())


def found(sums: dict[str, list[int]], by_iou: list[int]) -> Found:
    return {"by_cutoff": sums, "by_iou": by_iou, "proposals": 800}


def record(objects: dict[str, int], model: Found, **floors: Found) -> Record:
    return {
        "shard": "s",
        "image": "i",
        "image_size": (4, 4),
        "objects": objects,
        "masks": 900,
        "model": model,
        "floors": floors,
        "best": [],
    }


def two_images() -> list[Record]:
    """Four objects, one of them large and rare; of the first image half is found from the tenth proposal on."""
    half = [0, 0, 0, 10, 10, 10, 10, 15, 15, 15]
    first = found({"all": half, "small": half}, [2, 2, 2, 2, 2, 1, 1, 1, 1, 1])
    second = found({group: [0] * 9 + [5] for group in ("all", "large", "rare")}, [1] * 5 + [0] * 5)
    objects = {"all": 1, "large": 1, "rare": 1}
    return [record({"all": 3, "small": 3}, first), record(objects, second), record({}, found({}, [0] * 10))]


def test_recall_is_pooled_over_objects() -> None:
    made = numbers(two_images(), NO_FLOOR)
    assert made["metrics"] == {
        "ar@1000": pytest.approx((1.5 + 0.5) / 4),
        "ar@100": pytest.approx(1 / 4),
        "ar@10": pytest.approx(1 / 4),
        "ars@1000": pytest.approx(0.5),
        "arm@1000": None,
        "arl@1000": pytest.approx(0.5),
        "arr@1000": pytest.approx(0.5),
        "arc@1000": None,
        "arf@1000": None,
    }
    assert made["details"]["objects"] == {"all": 4, "small": 3, "large": 1, "rare": 1}
    assert made["details"]["recall_by_iou"]["model"] == [0.75] * 5 + [0.25] * 5
    assert [value for value, _ in made["details"]["recall_by_cutoff"]["model"]] == [
        0,
        0,
        0,
        *[0.25] * 4,
        *[0.375] * 2,
        0.5,
    ]
    assert made["counts"] == {"objects": 4, "proposals_per_image": 800, "masks_per_image": 900}
    assert json.loads(json.dumps(made, allow_nan=False))["verdict"]["beats_every_floor"] is None


def test_errors_are_those_of_the_whole_counts() -> None:
    """Records hold the sums over the thresholds alone."""
    chance = np.random.default_rng(0)
    images, records = [], []
    for _ in range(25):
        objects = chance.integers(0, 9, len(GROUPS))
        steps = chance.integers(0, 3, (len(GROUPS), len(CUTOFFS), 10)).cumsum(axis=1)
        counts = FoundObjects(np.minimum(steps, objects[:, None, None]), objects, 800)
        images.append(counts)
        there = [(row, group) for row, group in enumerate(GROUPS) if objects[row]]
        sums = {str(group): counts.found[row].sum(axis=-1).tolist() for row, group in there}
        own = {str(group): int(objects[row]) for row, group in there}
        records.append(record(own, found(sums, counts.found[0, -1].tolist())))
    made = numbers(records, NO_FLOOR)
    for name, (group, cutoff) in metric_names(1000, has_frequencies=True).items():
        assert made["metrics"][name] == pytest.approx(average_recall(reduce(add, images), group, cutoff))
        assert made["standard_errors"][name] == pytest.approx(standard_error(images, group, cutoff))


def test_a_single_image_has_no_error() -> None:
    made = numbers(two_images()[:1], NO_FLOOR)
    assert set(made["standard_errors"].values()) == {None}
    assert "arr@1000" not in made["metrics"]
    assert made["details"]["recall_by_cutoff"]["model"][-1] == [pytest.approx(0.5), None]


@pytest.mark.parametrize(
    ("late", "early", "beats", "said"),
    [
        (4, 0, True, "beats every floor in AR@1000 and AR@100, by at least 0.100"),
        (5, 0, False, r"does not beat boxes in AR@1000 \(0.500 against 0.500\)\."),
        (8, 6, False, r"boxes in AR@1000 .*; boxes in AR@100 \(0.300 against 0.600\)"),
    ],
)
def test_a_floor_is_beaten_among_all_and_among_the_first(late: int, early: int, beats: bool, said: str) -> None:
    ours, theirs = [0] * 6 + [3, 3, 3, 5], [0] * 6 + [early, early, late, late]
    made = numbers(
        [record({"all": 1}, found({"all": ours}, [1] * 10), boxes=found({"all": theirs}, [1] * 10))],
        Proposals(floors=("boxes",)),
    )
    assert made["verdict"]["beats_every_floor"] is beats
    assert re.search(said, made["verdict"]["sentence"])
    assert made["floors"]["boxes"]["ar@1000"] == pytest.approx(late / 10)


def test_fewer_proposals_have_fewer_metrics() -> None:
    assert list(metric_names(50, has_frequencies=False)) == ["ar@50", "ar@10", "ars@50", "arm@50", "arl@50"]
    assert list(metric_names(10, has_frequencies=True))[:2] == ["ar@10", "ars@10"]


def test_without_an_object_there_is_nothing_to_measure() -> None:
    nothing: list[Any] = [record({}, found({}, [0] * 10))]
    with pytest.raises(UserError, match="no object to be found on 1 images"):
        numbers(nothing, NO_FLOOR)


def test_the_recall_of_an_image() -> None:
    first, _, third = two_images()
    assert recall_of_image(first) == pytest.approx(0.5)
    assert recall_of_image(third) is None
