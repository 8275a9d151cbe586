"""The task on a small set, against pycocotools and against its definition."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from anymask.data.records import decode_image
from anymask.data.samples import CocoSamples, ShardSamples
from anymask.data.shards import ShardSet
from anymask.errors import UserError
from anymask.evaluation.proposals import task as module
from anymask.evaluation.proposals.protocol import Proposals
from anymask.evaluation.proposals.task import ProposalsTask
from anymask.evaluation.results import Results
from anymask.evaluation.running import run
from anymask.inference import generator
from anymask.inference.generator import MaskGenerator
from anymask.models.sam import Sam
from anymask.structures import Sample

SETTINGS = Proposals(points_per_side=8, proposals=100, floors=("boxes",))


def records_of(task: ProposalsTask) -> list[Any]:
    items = [item for item in task.items(limit=None, rank=0, world=1) if isinstance(item, Sample)]
    return [record for item in items for record in task.records_of(item)]


@pytest.fixture(scope="module")
def records(lively_sam: Sam, lvis: CocoSamples) -> list[Any]:
    return records_of(ProposalsTask(SETTINGS, lvis, lively_sam))


@pytest.fixture(scope="module")
def detections(lively_sam: Sam, lvis: CocoSamples) -> list[dict[str, Any]]:
    """What the public generator finds, for COCO's evaluation."""
    ours = MaskGenerator(
        lively_sam, points_per_side=8, pred_iou_thresh=0.0, stability_score_thresh=0.0, box_nms_thresh=0.9
    )
    return [
        {
            "image_id": image.id,
            "category_id": 1,
            "segmentation": record.to_json()["segmentation"],
            "score": (record.predicted_iou + record.stability_score) / 2,
        }
        for image in lvis.truth.images.values()
        for record in ours.generate(decode_image((lvis.folder / image.file_name).read_bytes()))
    ]


def by_pycocotools(
    lvis: CocoSamples, detections: list[dict[str, Any]], categories: Sequence[int] = (1, 2, 3, 4)
) -> dict[str, float]:
    """AR by COCOeval with a ground truth of some categories."""
    truth = lvis.truth.as_json()
    truth["annotations"] = [a for a in truth["annotations"] if a["category_id"] in categories]
    with contextlib.redirect_stdout(io.StringIO()):
        gt = COCO()
        gt.dataset = truth
        gt.createIndex()
        evaluation = COCOeval(gt, gt.loadRes([dict(found) for found in detections]), "segm")
        evaluation.params.useCats = 0
        evaluation.params.maxDets = [10, 100]
        evaluation.evaluate()
        evaluation.accumulate()
    recall = evaluation.eval["recall"][:, 0].mean(axis=0)  # area, number
    return {"ar": recall[0, 1], "ar@10": recall[0, 0], "ars": recall[1, 1], "arm": recall[2, 1], "arl": recall[3, 1]}


def test_recall_is_pycocotools_without_categories(
    lively_sam: Sam, lvis: CocoSamples, records: list[Any], detections: list[dict[str, Any]]
) -> None:
    numbers = ProposalsTask(SETTINGS, lvis, lively_sam).numbers(records, offered=4)
    expected = by_pycocotools(lvis, detections)
    assert len(set(expected.values())) == 5
    assert min(expected.values()) >= 0
    for name, value in expected.items():
        metric = name if "@" in name else f"{name}@100"
        assert numbers["metrics"][metric] == pytest.approx(value, abs=1e-9)
    assert numbers["counts"]["objects"] == 33
    assert numbers["counts"]["proposals_per_image"] == 100


@pytest.mark.parametrize(("prefix", "categories"), [("arr", [1]), ("arc", [2, 3]), ("arf", [4])])
def test_recall_by_frequency_is_that_of_a_ground_truth_cut_down(
    lively_sam: Sam,
    lvis: CocoSamples,
    records: list[Any],
    detections: list[dict[str, Any]],
    prefix: str,
    categories: list[int],
) -> None:
    found = ProposalsTask(SETTINGS, lvis, lively_sam).numbers(records, offered=4)["metrics"][f"{prefix}@100"]
    assert found == pytest.approx(by_pycocotools(lvis, detections, categories)["ar"], abs=1e-9)


def test_a_record_is_made_of_json_and_small(records: list[Any]) -> None:
    first, last = records[0], records[-1]
    assert json.loads(json.dumps(first, allow_nan=False))["objects"]["all"] == 11
    assert len(first["best"]) == 100
    assert first["best"][0][1] > 0
    assert first["masks"] > 100 == first["model"]["proposals"]
    assert len(json.dumps({**first, "best": []})) < 1000
    assert last["objects"] == {}
    assert last["model"]["by_iou"] == [0] * 10


def test_only_some_images_keep_their_masks(lively_sam: Sam, lvis: CocoSamples, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PICTURED", 2)
    few = Proposals(points_per_side=3, floors=())
    kept = [bool(record["best"]) for record in records_of(ProposalsTask(few, lvis, lively_sam))]
    assert 0 < sum(kept) < 4
    assert kept == [bool(record["best"]) for record in records_of(ProposalsTask(few, lvis, lively_sam))]


def test_memory_does_not_change_the_records(
    lively_sam: Sam, lvis: CocoSamples, records: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generator, "HELD_BYTES", 0)
    assert records_of(ProposalsTask(SETTINGS, lvis, lively_sam)) == records


def test_what_was_stopped_goes_on_and_ends_the_same(lively_sam: Sam, lvis: CocoSamples, tmp_path: Path) -> None:
    def finished(folder: Path) -> Results:
        results = run(ProposalsTask(SETTINGS, lvis, lively_sam), folder, progress=False)
        assert results is not None
        return results

    whole = finished(tmp_path / "whole")
    text = (tmp_path / "whole/records.jsonl").read_text()
    (tmp_path / "stopped").mkdir()
    (tmp_path / "stopped/records.jsonl").write_text(text[: len(text) // 2])
    again = finished(tmp_path / "stopped")
    assert (tmp_path / "stopped/records.jsonl").read_text() == text
    for name in (
        "metrics",
        "standard_errors",
        "floors",
        "verdict",
        "counts",
        "details",
        "protocol",
        "settings",
        "data",
    ):
        assert again[name] == whole[name]
    assert set(whole["latency_ms"]) == {"encode_image", "find_masks", "run_lengths", "boxes"}


def test_shards_have_sizes_by_pixels_and_no_frequencies(sam: Sam, shards: ShardSet) -> None:
    task = ProposalsTask(Proposals(points_per_side=4, proposals=20, floors=()), ShardSamples(shards), sam)
    records = records_of(task)
    assert [record["objects"] for record in records] == [
        {"all": 2, "small": 2},  # 20 x 20 and 14 x 20 pixels; of the third image's masks one is empty
        {"all": 2, "small": 2},
        {"all": 2, "small": 2},
    ]
    numbers = task.numbers(records, offered=3)
    assert set(numbers["metrics"]) == {"ar@20", "ar@10", "ars@20", "arm@20", "arl@20"}
    assert numbers["metrics"]["arl@20"] is None
    assert numbers["verdict"]["beats_every_floor"] is None
    assert task.data == {"name": shards.name, "fingerprint": shards.fingerprint()}
    assert task.offered_by(next(i for i in task.items(limit=1, rank=0, world=1) if isinstance(i, Sample))) == 1


def test_a_single_output_is_a_third_of_the_masks(lively_sam: Sam, lvis: CocoSamples) -> None:
    single = Proposals(points_per_side=8, outputs="single", ranking="random", box_nms_thresh=1.0, floors=())
    [record, *_] = records_of(ProposalsTask(single, lvis, lively_sam))
    assert record["masks"] == 64


def test_damaged_weights_are_told(lvis: CocoSamples, lively_sam: Sam) -> None:
    state = {name: value.clone() for name, value in lively_sam.state_dict().items()}
    broken = type(lively_sam)(lively_sam.architecture)
    for name in ("iou_prediction_head.layers.2.bias", "output_upscaling.0.bias"):
        broken.load_state_dict(state)
        broken.state_dict()[f"mask_decoder.{name}"].fill_(torch.nan)
        with pytest.raises(UserError, match="not finite: its weights are damaged"):
            records_of(ProposalsTask(SETTINGS, lvis, broken))
