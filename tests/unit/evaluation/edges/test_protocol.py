from __future__ import annotations

from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from omegaconf import OmegaConf

from anymask.errors import UserError
from anymask.evaluation.edges.protocol import Edges
from anymask.evaluation.published import read_published
from anymask.inference.edges import EdgeMaps

PROJECT = Path(__file__).resolve().parents[4]


@pytest.mark.parametrize(
    ("setting", "value", "sentence"),
    [
        ("points_per_side", 0, "points_per_side must be 1 or more, not 0"),
        ("points_per_batch", -1, "points_per_batch must be 1 or more, not -1"),
        ("thresholds", 0, "thresholds must be 1 or more, not 0"),
        ("box_nms_thresh", 0.0, "box_nms_thresh must lie above 0 and up to 1, not at 0.0"),
        ("box_nms_thresh", float("nan"), "not at nan"),
        ("bootstrap", -3, "bootstrap=-3: a standard error takes two draws or more, or 0 for none"),
        ("bootstrap", 1, "bootstrap=1: a standard error takes two draws or more, or 0 for none"),
        ("floors", ("sobel", "roberts"), "unknown floor 'roberts': there are sobel, canny"),
    ],
)
def test_nonsense_is_refused(setting: str, value: Any, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        replace(Edges(), **{setting: value})


OTHERS: dict[str, Any] = {
    "points_per_side": 8,
    "box_nms_thresh": 0.9,
    "maps": EdgeMaps(neighbours=4),
    "keep": "8bit",
    "thresholds": 5,
}


def test_the_protocol_names_what_a_number_depends_on() -> None:
    """What it does not name: the order of the work, the floors, and the draws of the standard errors."""
    unnamed = {"points_per_batch", "floors", "bootstrap"}
    assert {field.name for field in fields(Edges)} == OTHERS.keys() | unnamed
    assert len({Edges().protocol, *(replace(Edges(), **{k: v}).protocol for k, v in OTHERS.items())}) == 6
    others = [replace(Edges(), **{k: v}).protocol_of_predictions for k, v in OTHERS.items() if k != "thresholds"]
    assert {Edges().protocol_of_predictions} == set(others)
    assert Edges(thresholds=5).protocol_of_predictions != Edges().protocol_of_predictions


def test_settings_of_predictions_are_those_that_were_used() -> None:
    assert Edges(floors=(), thresholds=5).settings_of_predictions == {"thresholds": 5, "floors": (), "bootstrap": 200}
    with_floor = Edges(floors=("canny",), keep="8bit", maps=EdgeMaps(radius=2)).settings_of_predictions
    assert with_floor.keys() == {"thresholds", "floors", "bootstrap", "maps", "keep"}
    assert (with_floor["keep"], with_floor["maps"]["radius"]) == ("8bit", 2)


@pytest.mark.parametrize(
    "other",
    [
        EdgeMaps(magnitude="l1"),
        EdgeMaps(thickness=2),
        EdgeMaps(scale="max"),
        EdgeMaps(suppression="canny"),
        EdgeMaps(suppression="none"),
        EdgeMaps(radius=2),
        EdgeMaps(slack=1.0),
        EdgeMaps(fade=0),
    ],
)
def test_the_protocol_names_how_maps_are_drawn(other: EdgeMaps) -> None:
    assert Edges(maps=other).protocol != Edges().protocol


def test_the_configuration_says_all_defaults() -> None:
    config = OmegaConf.load(PROJECT / "conf/evaluate/task/edges.yaml")
    stated = OmegaConf.to_container(config)
    assert isinstance(stated, dict)
    assert stated["edges"].keys() == asdict(Edges()).keys()
    assert stated["edges"]["maps"].keys() == asdict(EdgeMaps()).keys()
    assert msgspec.convert(stated["edges"], Edges) == Edges()


def test_what_official_weights_must_reach() -> None:
    """By the default settings; the paper's number and the repetition pass, what lies outside both does not."""
    published = read_published(PROJECT / "eval/edges/published.json")
    (expected,) = published.expected
    results: Any = {
        "checkpoint": {"sha256": expected.sha256},
        "image_size": 1024,
        "limit": None,
        "data": {"name": "BSDS500 test"},
        "counts": {"images": 200},
        "details": {},
        "settings": asdict(Edges()),
        "metrics": {},
    }
    assert expected.applies_to(results)
    assert not expected.applies_to(results | {"settings": asdict(Edges(points_per_side=8))})
    assert not expected.applies_to(results | {"settings": asdict(Edges(maps=EdgeMaps(suppression="canny")))})
    for value, passes in ((0.768, True), (0.746, True), (0.771, False), (0.729, False)):
        assert expected.is_met_by(results | {"metrics": {"ods": value}}) == passes
    printed = {row.model: row.numbers for row in published.rows}
    assert printed["SAM ViT-H"] == {"ods": 0.768, "ois": 0.786, "ap": 0.794, "r50": 0.928}
    assert printed["Sobel filter"] == {"ods": 0.539}
    assert all(0 < value < 1 for numbers in printed.values() for value in numbers.values())
