from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from anymask.errors import UserError
from anymask.evaluation.point_to_mask.protocol import PointToMask


def test_the_defaults_are_the_papers() -> None:
    task = PointToMask()
    assert task.report_at == (1, 2, 3, 5, 9)
    assert (task.multimask, task.first_click, task.feed_previous_mask) == ("first", "centre", True)
    assert task.oracle_at == (1,)
    assert task.floor_clicks == (1, 2, 3, 5)
    assert task.pictured == (1, 5)


@pytest.mark.parametrize(
    ("ious", "expected"),
    [
        ([0.95] * 8, True),  # up to the last reported click everyone gets one
        ([0.95] * 9, False),  # every threshold is reached
        ([0.89] * 9, True),
        ([0.95] + [0.1] * 8, False),  # reached once is reached
        ([0.1] * 19, True),
        ([0.1] * 20, False),
    ],
)
def test_who_gets_another_click(ious: list[float], expected: bool) -> None:
    assert PointToMask().wants_more(ious) is expected


def test_without_thresholds_nobody_clicks_beyond_the_report() -> None:
    assert PointToMask(noc=()).wants_more([0.1] * 9) is False


VARIANTS: list[dict[str, Any]] = [
    {"multimask": "always"},
    {"multimask": "never"},
    {"feed_previous_mask": False},
    {"first_click": "random"},
    {"first_click": "random", "seed": 1},
    {"clicks": 10},
]


def test_every_variant_has_an_identifier_of_its_own() -> None:
    told = {PointToMask().protocol, *(replace(PointToMask(), **variant).protocol for variant in VARIANTS)}
    assert len(told) == 1 + len(VARIANTS)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"report_at": ()}, r"not \(\)"),
        ({"report_at": (3, 1)}, r"\(3, 1\)"),
        ({"report_at": (0, 1)}, r"\(0, 1\)"),
        ({"clicks": 5}, "clicks=5"),
        ({"noc": (0.8, 85.0)}, "85"),
        ({"floors": ("dics",)}, "'dics'"),
        ({"report_at": (9,)}, "floors"),
    ],
)
def test_contradictions_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        PointToMask(**settings)
