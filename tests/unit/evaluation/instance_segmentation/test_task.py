"""The whole task on drawn bands, with random weights and with a model that knows the answer; and on real boxes."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from anymask.data.coco import read_ground_truth
from anymask.data.samples import CocoSamples
from anymask.errors import UserError
from anymask.evaluation.instance_segmentation.protocol import InstanceSegmentation
from anymask.evaluation.instance_segmentation.task import InstanceSegmentationTask
from anymask.evaluation.running import run
from anymask.masks import decode
from anymask.models.sam import Sam
from anymask.structures import Decoded, Prompts, Rle, Sample, Skipped
from tests.unit.evaluation.instance_segmentation.conftest import Bands

REAL = Path(__file__).resolve().parents[4] / "../shared/data/eval"
needs_real_data = pytest.mark.skipif(not REAL.is_dir(), reason="the real data sets are not at hand (../shared/data)")
FEW = InstanceSegmentation(bootstrap=5)


class Knowing:
    """Fills the height of the image between the sides of the box: bands have no corners that could be rounded."""

    def __init__(self, side: int) -> None:
        self.centres = (torch.arange(side) + 0.5) * 4

    def __call__(self, embeddings: Tensor, prompts: Prompts, *, outputs: slice) -> Decoded:
        left, right = prompts.points[:, :1, 0], prompts.points[:, 1:, 0]
        inside = (self.centres > left) & (self.centres < right)
        logits = torch.where(inside, 4.0, -4.0)[:, None, None].expand(-1, 1, len(self.centres), -1)
        return Decoded(logits.clone(), torch.ones(len(logits), 1))


def _items(task: InstanceSegmentationTask) -> list[Sample]:
    items = list(task.items(limit=None, rank=0, world=1))
    assert all(isinstance(item, Sample) for item in items)
    return [item for item in items if isinstance(item, Sample)]


def test_a_model_that_knows_the_answer_finds_all_that_has_a_box(
    bands: Bands, sam: Sam, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four of six bands: precision is 1 at the recall levels 0 to .66 of each category."""
    monkeypatch.setattr(sam, "decode", Knowing(sam.mask_size))
    task = InstanceSegmentationTask(FEW, bands.open(), bands.detections, sam)
    records = [record for item in _items(task) for record in task.records_of(item)]
    numbers = task.numbers(records, len(records))
    for values in (numbers["metrics"], numbers["floors"]["box"]):
        assert (values["ap"], values["ap50"], values["ar"]) == pytest.approx((67 / 101, 67 / 101, 2 / 3))
    assert numbers["details"]["detector"]["box_ap"] == pytest.approx(67 / 101)
    assert (numbers["floors"]["ellipse"]["ap"] or 0) < 0.5
    assert numbers["counts"] == {
        "detections": 4,
        "images_without_detection": 1,
        "objects": 6,
        "crowd_regions": 0,
        "categories": 2,
        "boxes_beyond_the_image": 0,
    }
    assert set(task.watch.medians()) == {"encode_image", "answer_box"}


def test_a_record_says_everything_that_the_numbers_need(bands: Bands, sam: Sam) -> None:
    task = InstanceSegmentationTask(FEW, bands.open(), bands.detections, sam)
    a, b, c = (task.records_of(item) for item in _items(task))
    assert json.loads(json.dumps(a)) == [
        {
            **a[0],
            "shard": "bands.json",
            "image": "a",
            "image_id": 0,
            "image_size": [48, 64],
            "category_ids": [0, 5],
            "scores": [0.9, 0.9],
            "boxes": [[0, 0, 32, 48], [32, 0, 32, 48]],
        }
    ]
    assert [decode(Rle((48, 64), counts.encode())).shape for counts in a[0]["masks"]] == [(48, 64)] * 2
    assert (b[0]["scores"], b[0]["masks"]) == ([], [])
    assert (c[0]["image_id"], len(c[0]["predicted_ious"])) == (2, 2)
    read_again = json.loads(json.dumps([*a, *b, *c]))
    assert task.numbers(read_again, 3) == task.numbers([*a, *b, *c], 3)


def test_a_run_leaves_its_files_and_takes_up_what_is_there(bands: Bands, sam: Sam, tmp_path: Path) -> None:
    whole = run(InstanceSegmentationTask(FEW, bands.open(), bands.detections, sam), tmp_path / "out", progress=False)
    assert whole is not None
    path = tmp_path / "out" / "records.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:-1]) + "\n" + lines[-1][:40])
    again = run(InstanceSegmentationTask(FEW, bands.open(), bands.detections, sam), tmp_path / "out", progress=False)
    assert again is not None
    assert again["metrics"] == whole["metrics"]
    assert again["details"] == whole["details"]
    assert path.read_text().splitlines() == lines
    assert again["data"]["detections"] == "boxes.json"
    assert len(again["data"]["fingerprint_of_detections"]) == 12


def test_of_some_images_only_these_count(bands: Bands, sam: Sam, tmp_path: Path) -> None:
    task = InstanceSegmentationTask(FEW, bands.open(), bands.detections, sam)
    results = run(task, tmp_path / "out", limit=2, progress=False)
    assert results is not None
    assert (results["counts"]["images"], results["counts"]["objects"], results["counts"]["detections"]) == (2, 4, 2)


def test_without_any_detection_on_its_images_there_is_no_verdict(bands: Bands, sam: Sam) -> None:
    task = InstanceSegmentationTask(FEW, bands.open(), bands.detections, sam)
    a, b, _ = (task.records_of(item) for item in _items(task))
    verdict = task.numbers(b, 1)["verdict"]
    assert verdict["beats_every_floor"] is None
    assert verdict["sentence"] == "There was no detection on these images: nothing was measured."
    assert task.numbers([*a, *b], 2)["verdict"]["beats_every_floor"] is not None


def test_a_photograph_that_cannot_be_read_is_skipped(bands: Bands, sam: Sam, tmp_path: Path) -> None:
    (bands.folder / "photos" / "c.jpg").write_bytes(b"nothing")
    task = InstanceSegmentationTask(FEW, bands.open(), bands.detections, sam)
    assert isinstance(list(task.items(limit=None, rank=0, world=1))[-1], Skipped)
    results = run(task, tmp_path / "out", progress=False)
    assert results is not None
    assert [bad["key"] for bad in results["skipped"]] == ["c"]
    assert results["counts"]["objects"] == 4


def test_detections_that_are_all_of_something_else_are_refused(bands: Bands, sam: Sam) -> None:
    bands.edit("boxes.json", lambda entries: [entry.update(category_id=7) for entry in entries])
    with pytest.raises(UserError, match=r"boxes\.json has no detection for this ground truth: 4 of unknown category"):
        InstanceSegmentationTask(FEW, bands.open(), bands.detections, sam)


def _as_lvis(content: Any) -> None:
    for image in content["images"]:
        image |= {"neg_category_ids": [], "not_exhaustive_category_ids": []}
    for category, letter in zip(content["categories"], "rf", strict=True):
        category["frequency"] = letter


def test_the_rules_are_those_of_the_ground_truth(bands: Bands, sam: Sam) -> None:
    coco = InstanceSegmentationTask(FEW, bands.open(), bands.detections, sam)
    assert "rules of COCO" in coco.protocol
    assert coco.settings["benchmark"] == "auto"
    bands.edit("bands.json", _as_lvis)
    lvis = InstanceSegmentationTask(FEW, bands.open(), bands.detections, sam)
    assert "rules of LVIS" in lvis.protocol
    records = [record for item in _items(lvis) for record in lvis.records_of(item)]
    numbers = lvis.numbers(records, 3)
    assert {"apr", "apc", "apf", "ar"} < set(numbers["metrics"])
    assert numbers["metrics"]["apc"] is None
    assert set(numbers["standard_errors"]) == set(numbers["metrics"])
    forced = InstanceSegmentationTask(InstanceSegmentation(benchmark="coco"), bands.open(), bands.detections, sam)
    assert forced.protocol == coco.protocol


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (lambda content: None, "an image lacks neg_category_ids"),
        (lambda content: content["categories"][0].pop("frequency"), "a category lacks its frequency"),
    ],
)
def test_lvis_rules_need_lvis(bands: Bands, sam: Sam, edit: Any, sentence: str) -> None:
    if "frequency" in sentence:
        bands.edit("bands.json", _as_lvis)
    bands.edit("bands.json", edit)
    with pytest.raises(UserError, match=sentence):
        InstanceSegmentationTask(InstanceSegmentation(benchmark="lvis"), bands.open(), bands.detections, sam)


@needs_real_data
def test_a_real_detector_on_penn_fudan(sam: Sam, tmp_path: Path) -> None:
    """Random weights; the detector's boxes and masks have the numbers that pycocotools gives them."""
    folder = REAL / "pennfudan_34"
    truth = _penn_fudan(tmp_path)
    samples = CocoSamples.open(truth, folder / "PNGImages")
    task = InstanceSegmentationTask(FEW, samples, folder / "maskrcnn_results.json", sam)
    records = [record for item in _items(task) for record in task.records_of(item)]
    numbers = task.numbers(records, len(records))
    assert (numbers["counts"]["detections"], numbers["counts"]["objects"]) == (181, 84)
    assert numbers["details"]["detector"]["box_ap"] == pytest.approx(0.782, abs=5e-4)
    assert numbers["details"]["detector"]["masks"]["ap"] == pytest.approx(0.685, abs=5e-4)
    assert not numbers["verdict"]["beats_every_floor"]


def _penn_fudan(folder: Path) -> Path:
    program = runpy.run_path(str(Path(__file__).resolve().parents[4] / "data/pennfudan/prepare.py"))
    content = program["read"](REAL / "pennfudan_34/PNGImages", REAL / "pennfudan_34/PedMasks")
    path = folder / "pennfudan_34.json"
    path.write_text(json.dumps(content))
    truth = read_ground_truth(path)
    assert (len(truth.images), sum(map(len, truth.annotations.values()))) == (34, 84)
    theirs = {
        image["id"]: image["file_name"]
        for image in json.loads((REAL / "pennfudan_34/instances.json").read_text())["images"]
    }
    assert {number: image.file_name for number, image in truth.images.items()} == theirs
    assert np.mean([annotation.area for some in truth.annotations.values() for annotation in some]) > 1000
    return path
