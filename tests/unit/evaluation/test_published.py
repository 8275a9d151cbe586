from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any, cast, get_args, get_type_hints

import pytest

from anymask.evaluation.published import Expectation, read_published
from anymask.evaluation.report import VIEWS
from anymask.evaluation.results import Results
from anymask.evaluation.task import TASKS, TaskName
from anymask.settings import Evaluation

EVAL = Path(__file__).resolve().parents[3] / "eval"
EXPECTED = Expectation(
    model="SAM",
    sha256="abc",
    dataset="all",
    data="val",
    images=3,
    metric="ap",
    value=0.5,
    tolerance=0.1,
    settings={"refinement": True},
    details={"detector.box_ap": 0.587},
    reason="none",
)


def result(**changes: Any) -> Results:
    own = {
        "checkpoint": {"path": "sam.pth", "sha256": "abc"},
        "image_size": 1024,
        "limit": None,
        "data": {"name": "Instances_Val"},
        "counts": {"images": 3},
        "settings": {"refinement": True, "seed": 0},
        "details": {"detector": {"box_ap": 0.5871}},
        "metrics": {"ap": 0.55},
    }
    return cast(Results, own | changes)


def test_it_is_for_these_weights_data_and_settings() -> None:
    assert EXPECTED.applies_to(result())


@pytest.mark.parametrize(
    "changes",
    [
        {"checkpoint": None},
        {"checkpoint": {"path": "sam.pth", "sha256": "abd"}},
        {"counts": {"images": 2}},
        {"image_size": 512},
        {"limit": 3},
        {"data": {"name": "train"}},
        {"settings": {"refinement": False}},
        {"details": {"detector": {"box_ap": 0.6}}},
        {"details": {}},
    ],
)
def test_it_is_for_nothing_else(changes: dict[str, Any]) -> None:
    assert not EXPECTED.applies_to(result(**changes))


@pytest.mark.parametrize(
    ("value", "is_met"), [(0.4001, True), (0.5999, True), (0.39, False), (0.61, False), (None, False)]
)
def test_what_is_within_the_tolerance_passes(value: float | None, is_met: bool) -> None:
    assert EXPECTED.is_met_by(result(metrics={"ap": value})) is is_met


def _kind_of(task: TaskName) -> Any:
    """The class of the task's settings."""
    return get_args(get_type_hints(Evaluation)[task])[0]


@pytest.mark.parametrize("task", TASKS)
def test_the_published_rows_of_the_project_can_be_compared(task: TaskName) -> None:
    published = read_published(EVAL / task / "published.json")
    headlines = set(VIEWS[task].HEADLINES)
    assert any(row.headline for row in published.rows)
    for row in published.rows:
        assert row.numbers
        assert row.source
        assert row.setup
        assert not row.headline or headlines & row.numbers.keys()
    assert published.expected
    for one in published.expected:
        assert one.metric in headlines | {"miou@1", "miou@3", "miou@5"}
        assert one.settings.keys() <= {field.name for field in fields(_kind_of(task))}
        assert len(one.sha256) == 64
