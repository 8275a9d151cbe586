"""The section of a report: from results alone, and with the pictures of records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from anymask.drawing import BOX, PREDICTED, TRUE
from anymask.evaluation import view as common
from anymask.evaluation.instance_segmentation import pictures, view
from anymask.evaluation.instance_segmentation.protocol import InstanceSegmentation
from anymask.evaluation.instance_segmentation.task import InstanceSegmentationTask
from anymask.evaluation.journal import read_records
from anymask.evaluation.published import PublishedFile, read_published
from anymask.evaluation.results import Results
from anymask.evaluation.running import run
from anymask.masks import encode
from anymask.models.sam import Sam
from anymask.structures import Sample
from tests.unit.evaluation.instance_segmentation.conftest import Bands

PUBLISHED = Path(__file__).resolve().parents[4] / "eval/instance_segmentation/published.json"


@pytest.fixture
def task(bands: Bands, sam: Sam) -> InstanceSegmentationTask:
    return InstanceSegmentationTask(InstanceSegmentation(bootstrap=3), bands.open(), bands.detections, sam)


@pytest.fixture
def results(task: InstanceSegmentationTask, tmp_path: Path) -> Results:
    found = run(task, tmp_path / "out", progress=False)
    assert found is not None
    return found


def _titles(section: common.Section) -> list[str]:
    return [block.title for block in section.blocks]


def test_everything_but_pictures_comes_from_the_results(results: Results, tmp_path: Path) -> None:
    section = view.section(tmp_path / "nowhere", results, [], PublishedFile(), None)
    assert _titles(section) == ["Model and floors", "Precision and recall"]
    assert [row.name for row in section.blocks[0].tables[0].rows] == ["model", "box", "ellipse"]
    assert [curve.name for curve in _lines(section)[0].curves] == ["model", "box", "ellipse"]
    assert {len(curve.points) for chart in _lines(section) for curve in chart.curves} == {101}
    assert "boxes.json, whose own box AP is 66.3" in section.note


def _lines(section: common.Section) -> list[common.Lines]:
    charts = [chart for chart in section.blocks[1].charts if isinstance(chart, common.Lines)]
    assert len(charts) == 2
    return charts


def test_the_detectors_masks_are_a_row_and_a_curve_but_no_floor(results: Results, tmp_path: Path) -> None:
    own = dict.fromkeys(results["metrics"], 0.25)
    curves = results["details"]["precision_over_recall"]
    details = {**results["details"], "detector": {"box_ap": None, "masks": own}}
    details["precision_over_recall"] = {**curves, "detector": curves["box"]}
    changed: Any = {**results, "details": details}
    section = view.section(tmp_path, changed, [], PublishedFile(), None)
    last = section.blocks[0].tables[0].rows[-1]
    assert last == common.Row("the detector's own masks", ("25.0",) * len(own))
    assert _lines(section)[1].curves[-1].name == "the detector's own masks"
    assert "own box AP is unknown" in section.note


def test_pictures_are_drawn_from_records(task: InstanceSegmentationTask, results: Results, tmp_path: Path) -> None:
    records = read_records(tmp_path / "out" / "records.jsonl")
    section = view.section(tmp_path, results, records, PublishedFile(), task.find)
    assert _titles(section)[-1] == "Pictures"
    groups = dict(section.blocks[-1].pictures)
    assert [name.split()[0] for name in groups] == ["Best", "Median", "Worst"]
    for some in groups.values():
        assert {picture.caption.partition(":")[0] for picture in some} == {"a", "c"}
        assert all(cv2.imdecode(np.frombuffer(picture.jpeg, np.uint8), 1) is not None for picture in some)


def test_a_picture_has_the_objects_left_and_the_best_boxes_right() -> None:
    inside = np.zeros((210, 420), dtype=bool)
    inside[50:150, 50:150] = True
    other = np.roll(inside, 200, axis=1)
    sample = Sample(
        key="a",
        shard="s",
        source="manual",
        image=np.zeros((210, 420, 3), dtype=np.uint8),
        masks=(encode(inside),),
        mask_ids=(1,),
        ignore=(None,),
        crop=(0, 0, 420, 210),
    )
    record: Any = {
        "image_size": (210, 420),
        "scores": [0.1, 0.9],
        "boxes": [(50.0, 50.0, 100.0, 100.0), (240.0, 40.0, 120.0, 120.0)],
        "masks": [encode(inside).counts.decode(), encode(other).counts.decode()],
    }
    drawn = pictures.draw(record, sample)
    left, right = drawn[:, :420].astype(int), drawn[:, -420:].astype(int)
    assert left[100, 100].argmax() == np.argmax(TRUE)
    assert not left[100, 300].any()
    assert right[100, 300].argmax() == np.argmax(PREDICTED)
    assert not right[100, 100].any(), "one object, one box: the best"
    assert tuple(right[40, 300]) == BOX
    assert pictures.shown(record, 0) == [1]
    assert pictures.shown(record, 5) == [1, 0]


def test_titles() -> None:
    assert [view.title(name) for name in ("ap", "ap50", "apm", "apr", "ar")] == [
        "AP",
        "AP50",
        "AP medium",
        "AP rare",
        "AR",
    ]


def test_published_numbers_are_of_our_metrics_and_complete() -> None:
    published = read_published(PUBLISHED)
    assert {name for row in published.rows for name in row.numbers} == {"ap", "aps", "apm", "apl"}
    assert all(0 < value < 1 for row in published.rows for value in row.numbers.values())
    paper = [row for row in published.rows if row.headline]
    assert [(row.model, row.numbers["ap"]) for row in paper if row.dataset == "COCO val2017"] == [
        ("ViTDet-H, supervised", 0.51),
        ("SAM ViT-H", 0.465),
    ]
    settings = InstanceSegmentation.__dataclass_fields__
    assert all(set(one.settings) <= set(settings) and one.metric == "ap" for one in published.expected)
    keys = [(one.sha256, one.images, *sorted(one.settings.items())) for one in published.expected]
    assert len(set(keys)) == len(keys), "two expectations of one run"
