"""Numbers from records that were drawn by hand or at random, beside pycocotools alone."""

from __future__ import annotations

import contextlib
import io
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from anymask.data.coco import Annotation, Category, GroundTruth, Image
from anymask.data.detections import Detection, Detections
from anymask.evaluation.instance_segmentation import summary
from anymask.evaluation.instance_segmentation.protocol import InstanceSegmentation
from anymask.evaluation.instance_segmentation.records import Record
from anymask.evaluation.results import Numbers
from anymask.masks import encode

SIZE = (120, 130)
COCO_RULES = InstanceSegmentation(benchmark="coco", bootstrap=0)
Xywh = tuple[float, float, float, float]


def _mask(xywh: Xywh, *, round_it: bool = False) -> Any:
    y, x = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    across, down = (x - xywh[0] - xywh[2] / 2) / (xywh[2] / 2), (y - xywh[1] - xywh[3] / 2) / (xywh[3] / 2)
    return encode(across**2 + down**2 <= 1 if round_it else np.maximum(abs(across), abs(down)) <= 1)


def _case(seed: int) -> tuple[GroundTruth, list[Record], Detections]:
    """Ellipses; the model's masks are ellipses moved by some pixels, the detector's own are the boxes."""
    chance = np.random.default_rng(seed)
    images = {n: Image(id=n, size=SIZE, file_name=f"{n}.jpg", folder="", negative=None, not_exhaustive=None)
              for n in range(4)}  # fmt: skip
    annotations, records, by_image = {}, [], {}
    for number in images:
        objects, entries = [], []
        for _ in range(chance.integers(0, 5)):
            x, y, width, height = (float(side) for side in chance.integers([0, 0, 8, 8], [60, 60, 65, 58]))
            rle = _mask((x, y, width, height), round_it=True)
            category, crowd = int(chance.integers(0, 2)), bool(chance.random() < 0.1)
            objects.append(
                Annotation(
                    id=int(chance.integers(10**9)),
                    category_id=category,
                    mask=rle,
                    area=width * height * 0.78,
                    xywh=(x, y, width, height),
                    crowd=crowd,
                )
            )
            for _ in range(chance.integers(0, 3)):
                dx, dy, wider, higher = (float(by) for by in chance.integers(-3, 4, 4))
                moved = (x + dx, y + dy, width + wider, height + higher)
                entries.append((category, float(chance.random()), moved))
        annotations[number] = tuple(objects)
        records.append(_record(number, entries))
        some = [Detection(category_id=c, score=s, xywh=b, mask=_mask(b)) for c, s, b in entries]
        if some:
            by_image[number] = tuple(some)
    truth = GroundTruth(images, {0: Category(0, "zero", None), 1: Category(1, "one", None)}, annotations)
    return truth, records, Detections(by_image, Counter())


def _record(number: int, entries: list[tuple[int, float, Any]]) -> Record:
    return {
        "shard": "truth.json",
        "image": str(number),
        "image_id": number,
        "image_size": SIZE,
        "category_ids": [category for category, _, _ in entries],
        "scores": [score for _, score, _ in entries],
        "boxes": [box for _, _, box in entries],
        "predicted_ious": [0.5] * len(entries),
        "masks": [_mask(box, round_it=True).counts.decode() for _, _, box in entries],
    }


def _by_pycocotools(truth: GroundTruth, records: list[Record]) -> dict[str, float | None]:
    """AP of what is in the records, with nothing of ours but the ground truth's form; ids from 1."""
    content = truth.as_json()
    for number, entry in enumerate(content["annotations"], start=1):
        entry["id"] = number
    results = []
    for record in records:
        said = zip(record["category_ids"], record["scores"], record["masks"], strict=True)
        for category, score, counts in said:
            segmentation = {"size": list(record["image_size"]), "counts": counts}
            entry = {"image_id": record["image_id"], "category_id": category, "score": score}
            results.append(entry | {"segmentation": segmentation})
    with contextlib.redirect_stdout(io.StringIO()):
        gt = COCO()
        gt.dataset = content
        gt.createIndex()
        evaluation = COCOeval(gt, gt.loadRes(results), "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    names = ("ap", "ap50", "ap75", "aps", "apm", "apl")
    stats = [*evaluation.stats[:6], evaluation.stats[8]]
    return {name: None if value < 0 else float(value) for name, value in zip((*names, "ar"), stats, strict=True)}


def _numbers(truth: GroundTruth, records: list[Record], found: Detections, **settings: Any) -> Numbers:
    return summary.numbers(records, truth, found, replace(COCO_RULES, **settings))


def test_random_records_have_the_numbers_of_pycocotools() -> None:
    seen = []
    for seed in range(25):
        truth, records, found = _case(seed)
        if not any(record["scores"] for record in records):
            continue
        metrics = _numbers(truth, records, found)["metrics"]
        assert metrics == pytest.approx(_by_pycocotools(truth, records), abs=1e-9)
        seen.append(metrics["ap"] or 0.0)
    assert 0.1 < np.mean(seen) < 0.9


def test_floors_and_the_detectors_masks_are_measured_on_the_same_boxes() -> None:
    truth, records, found = _case(3)
    numbers = _numbers(truth, records, found)
    as_boxes = [{**record, "masks": [_mask(box).counts.decode() for box in record["boxes"]]} for record in records]
    expected = pytest.approx(_by_pycocotools(truth, as_boxes), abs=1e-9)  # type: ignore[arg-type]
    assert numbers["floors"]["box"] == expected
    assert numbers["details"]["detector"]["masks"] == expected
    assert numbers["floors"]["ellipse"] == numbers["metrics"], "the model draws ellipses, too"
    assert not numbers["verdict"]["beats_every_floor"]
    without = {
        number: tuple(replace(one, mask=None) if place == 0 else one for place, one in enumerate(some))
        for number, some in found.by_image.items()
    }
    assert _numbers(truth, records, Detections(without, Counter()))["details"]["detector"]["masks"] is None


def test_images_without_a_record_are_not_there() -> None:
    truth, records, found = _case(3)
    some = records[:2]
    images = {number: truth.images[number] for number in (0, 1)}
    part = replace(truth, images=images, annotations={number: truth.annotations[number] for number in images})
    assert _numbers(truth, some, found)["metrics"] == pytest.approx(_by_pycocotools(part, some), abs=1e-9)


def test_counts_are_of_what_was_measured() -> None:
    truth, records, found = _case(3)
    left_out = Counter({"unknown image": 2})
    counts = _numbers(truth, records, Detections(found.by_image, left_out))["counts"]
    everything = [annotation for some in truth.annotations.values() for annotation in some]
    assert counts == {
        "detections": sum(map(len, found.by_image.values())),
        "images_without_detection": 4 - len(found.by_image),
        "objects": sum(not annotation.crowd for annotation in everything),
        "crowd_regions": sum(annotation.crowd for annotation in everything),
        "categories": 2,
        "boxes_beyond_the_image": sum(
            x < 0 or y < 0 or x + w > SIZE[1] or y + h > SIZE[0] for r in records for x, y, w, h in r["boxes"]
        ),
        "left_out_for_unknown_image": 2,
    }


def test_standard_errors_come_with_draws_and_are_none_without() -> None:
    truth, records, found = _case(3)
    numbers = _numbers(truth, records, found, bootstrap=40)
    assert set(numbers["standard_errors"]) == set(numbers["metrics"])
    assert 0 < (numbers["standard_errors"]["ap"] or 0) < 0.5
    assert "40 draws" in numbers["errors_are"]
    assert numbers["floor_standard_errors"]["ellipse"] == numbers["standard_errors"]
    none = _numbers(truth, records, found)
    assert set(none["standard_errors"].values()) == {None}


def test_a_perfect_model_has_the_recall_of_the_boxes() -> None:
    """Masks that are the objects: of two in three objects there is a box, without a wrong one."""
    truth, _, _ = _case(3)
    boxes: Xywh = (10.0, 10.0, 40.0, 40.0)
    object_ = Annotation(id=0, category_id=0, mask=_mask(boxes, round_it=True), area=1300.0, xywh=boxes, crowd=False)
    truth = replace(truth, annotations={0: (object_,), 1: (object_,), 2: (object_,), 3: ()})
    records = [_record(0, [(0, 0.9, boxes)]), _record(1, [(0, 0.8, boxes)]), _record(2, []), _record(3, [])]
    numbers = _numbers(truth, records, Detections({}, Counter()))
    level = 67 / 101  # of the recall levels 0, .01, … 1 those up to 2/3
    assert numbers["metrics"]["ap"] == pytest.approx(level)
    assert numbers["metrics"]["ar"] == pytest.approx(2 / 3)
    assert numbers["details"]["detector"]["box_ap"] == pytest.approx(level)
    assert numbers["details"]["precision_over_recall"]["model"]["75"] == [1.0] * 67 + [0.0] * 34
    assert summary.overlaps(records, truth) == {0: 1.0, 1: 1.0, 2: 0.0}
    assert [name for _, name, _ in numbers["details"]["pictured"]["best"]] == ["0", "1"]


def test_the_overlap_of_an_image_is_of_each_object_with_the_nearest_mask_of_its_category() -> None:
    truth, _, _ = _case(3)

    def of(category: int, box: Xywh, *, crowd: bool = False) -> Annotation:
        return Annotation(id=0, category_id=category, mask=_mask(box, round_it=True), area=1.0, xywh=box, crowd=crowd)

    here, there = (0.0, 0.0, 40.0, 40.0), (60.0, 60.0, 40.0, 40.0)
    truth = replace(truth, annotations={0: (of(0, here), of(1, there), of(1, here, crowd=True))})
    records = [_record(0, [(0, 0.1, here), (0, 0.9, there), (1, 0.5, here)])]
    assert summary.overlaps(records, truth) == {0: pytest.approx(0.5)}


METRICS: summary.Values = {"ap": 0.5, "aps": None, "apm": 0.4, "apl": 0.6}


def test_the_verdict_says_where_a_floor_is_not_beaten() -> None:
    low: summary.Values = {"ap": 0.3, "aps": 0.9, "apm": 0.1, "apl": 0.2}
    level: summary.Values = {"ap": 0.2, "aps": None, "apm": 0.4, "apl": 0.2}
    beaten = summary.verdict(METRICS, {"box": low})
    assert beaten == {
        "beats_every_floor": True,
        "sentence": "The model beats every floor at objects of every size, by at least 0.200 of AP.",
    }
    unbeaten = summary.verdict(METRICS, {"box": low, "ellipse": level})
    assert unbeaten["beats_every_floor"] is False
    assert unbeaten["sentence"].endswith("it does not beat the ellipse in APm (0.400 against 0.400).")
    assert summary.verdict(METRICS, {})["beats_every_floor"] is None
    nothing: summary.Values = dict.fromkeys(METRICS)
    assert summary.verdict(nothing, {"box": nothing})["beats_every_floor"] is None
