from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from anymask.errors import UserError
from anymask.evaluation.instance_segmentation.protocol import InstanceSegmentation

CONF = Path(__file__).resolve().parents[4] / "conf/evaluate/task/instance_segmentation.yaml"


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"floors": ("box", "circle")}, "unknown floor 'circle': there are box, ellipse"),
        ({"bootstrap": -1}, "bootstrap=-1: a standard error takes two draws"),
        ({"bootstrap": 1}, "bootstrap=1: a standard error takes two draws"),
    ],
)
def test_what_there_is_not_is_refused(wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        InstanceSegmentation(**wrong)


def test_the_identifier_tells_apart_what_changes_numbers() -> None:
    variants: list[dict[str, Any]] = [
        {"multimask": multimask, "refinement": refinement, "benchmark": benchmark}
        for multimask in ("argmax", "single")
        for refinement in (True, False)
        for benchmark in ("coco", "lvis")
    ]
    assert len({InstanceSegmentation(**variant).protocol for variant in variants}) == len(variants)
    plain = InstanceSegmentation().protocol
    assert plain == InstanceSegmentation(floors=(), bootstrap=0).protocol
    assert "300 detections on an image" in InstanceSegmentation(benchmark="lvis").protocol


def test_the_configuration_has_the_defaults() -> None:
    written = OmegaConf.to_container(OmegaConf.load(CONF))
    assert isinstance(written, dict)
    own = InstanceSegmentation()
    expected = {field.name: getattr(own, field.name) for field in fields(own)}
    assert written["instance_segmentation"] == expected | {"floors": list(own.floors)}
