"""AP on COCO, and what it shares with LVIS: numbers known from elsewhere, another implementation, traps by hand."""

from __future__ import annotations

import contextlib
import copy
import io
import math
from collections.abc import Callable, Sequence
from typing import Literal

import cv2
import hotcoco
import numpy as np
import pytest

from anymask.metrics.average_precision import (
    AT_50,
    coco_average_precision,
    lvis_average_precision,
    precision_over_recall,
    summary,
)
from anymask.metrics.verdicts import judge
from tests.unit.metrics.precision_by_definition import (
    REAL,
    SIZE,
    Found,
    Json,
    by_image,
    define,
    draw_case,
    make_found,
    make_truth,
    needs_real_data,
    read_json,
    rectangle,
    same,
    shape,
)


def _by_hotcoco(truth: Json, found: Found, kind: Literal["segm", "bbox"]) -> dict[str, float]:
    """COCO's numbers by another implementation."""
    field = "segmentation" if kind == "segm" else "bbox"
    keep = ("image_id", "category_id", "score", field)
    flat = [{key: entry[key] for key in keep} for some in found.values() for entry in some]
    with contextlib.redirect_stdout(io.StringIO()):
        dataset = hotcoco.COCO(copy.deepcopy(truth))
        evaluation = hotcoco.COCOeval(dataset, dataset.load_res(flat), kind)
        evaluation.run()
    stats = np.asarray(evaluation.stats).tolist()
    names = ["AP", "AP50", "AP75", "APs", "APm", "APl", "AR@1", "AR@10", "AR@100", "ARs@100", "ARm@100", "ARl@100"]
    return {name: value if value >= 0 else math.nan for name, value in zip(names, stats, strict=True)}


@pytest.mark.parametrize("first", range(0, 80, 10))
def test_random_cases_agree_with_the_definition(first: int) -> None:
    for seed in range(first, first + 10):
        truth, found = draw_case(seed, crowds=True)
        assert coco_average_precision(truth, found) == same(define(truth, found, lvis=False))
        truth, found = draw_case(seed, crowds=False)
        assert lvis_average_precision(truth, found) == same(define(truth, found, lvis=True))


def test_random_cases_of_coco_agree_with_another_implementation() -> None:
    compared = 0
    for seed in range(120):
        truth, found = draw_case(seed, crowds=True)
        if not any(found.values()):
            continue
        for kind in ("segm", "bbox"):
            assert coco_average_precision(truth, found, kind) == same(_by_hotcoco(truth, found, kind))
        compared += 1
    assert compared > 90


# ---- numbers known from elsewhere ----


@needs_real_data
@pytest.mark.parametrize(
    ("kind", "known"),
    [
        ("bbox", [0.505, 0.697, 0.573, 0.586, 0.519, 0.501, 0.387, 0.594, 0.595, 0.640, 0.566, 0.564]),
        ("segm", [0.320, 0.562, 0.299, 0.387, 0.310, 0.327, 0.268, 0.415, 0.417, 0.469, 0.377, 0.381]),
    ],
)
def test_the_sample_of_the_coco_api(kind: Literal["segm", "bbox"], known: list[float]) -> None:
    """The numbers that the API's own demonstration prints (``pycocoEvalDemo.ipynb``, ``evalDemo.m``)."""
    folder = REAL / "coco_fake100"
    truth = read_json(folder / "instances_val2014_100.json")
    found = by_image(read_json(folder / f"instances_val2014_fake{kind}100_results.json"))
    assert list(coco_average_precision(truth, found, kind).values()) == pytest.approx(known, abs=5.1e-4)


@needs_real_data
def test_penn_fudan() -> None:
    """Real boxes and masks of a Mask R-CNN; one category, with the id 0."""
    folder = REAL / "pennfudan_34"
    images = read_json(folder / "instances.json")["images"]
    annotations = []
    for image in images:
        labels = cv2.imread(str(folder / "PedMasks" / image["file_name"].replace(".png", "_mask.png")), 0)
        assert labels is not None
        people = [shape(labels == label) for label in range(1, int(labels.max()) + 1)]
        annotations += [{"image_id": image["id"], "category_id": 0, **person} for person in people]
    truth = {"images": images, "categories": [{"id": 0, "name": "person"}], "annotations": annotations}
    found = by_image(read_json(folder / "maskrcnn_results.json"))
    assert len(annotations) == 84
    assert coco_average_precision(truth, found, "bbox")["AP"] == pytest.approx(0.782, abs=5e-4)
    assert coco_average_precision(truth, found, "segm")["AP"] == pytest.approx(0.685, abs=5e-4)


@needs_real_data
def test_real_boxes_on_coco_agree_with_another_implementation() -> None:
    folder = REAL / "coco_val80"
    truth = read_json(folder / "instances_val80.json")
    found = by_image(read_json(folder / "yolact_bbox_7imgs.json"))
    ours = coco_average_precision(truth, found, "bbox")
    assert ours == same(_by_hotcoco(truth, found, "bbox"))
    assert 0 < ours["AP"] < ours["AP50"]


# ---- traps, by hand ----

HERE, THERE = rectangle(0, 0, 10, 10), rectangle(20, 20, 30, 30)
BOTH = pytest.mark.parametrize("evaluate", [coco_average_precision, lvis_average_precision])
Evaluate = Callable[..., dict[str, float]]


@BOTH
def test_ids_decide_nothing(evaluate: Evaluate) -> None:
    """The id 0 would count as never found, and of two objects with one id the last would be there twice."""
    for first, second in ((0, 1), (7, 7)):
        truth = make_truth({**HERE, "id": first}, {**THERE, "id": second})
        assert evaluate(truth, make_found(HERE, THERE))["AP"] == pytest.approx(1)
        half = evaluate(truth, make_found(HERE))
        recall = half["AR@100" if evaluate is coco_average_precision else "AR@300"]
        assert recall == pytest.approx(0.5)


@BOTH
def test_a_box_beside_a_mask_does_not_make_it_larger(evaluate: Evaluate) -> None:
    """Two far pixels that are wrong spoil the small objects, however large the box around them."""
    far = np.zeros(SIZE, dtype=bool)
    far[[0, 39], [0, 39]] = True
    assert shape(far)["bbox"] == [0, 0, 40, 40]
    assert evaluate(make_truth(THERE), make_found(shape(far), THERE))["APs"] == pytest.approx(0.5)


@BOTH
def test_sizes_are_by_the_annotated_area(evaluate: Evaluate) -> None:
    numbers = evaluate(make_truth({**HERE, "area": 5000.0}), make_found(HERE))
    assert math.isnan(numbers["APs"])
    assert numbers["APm"] == pytest.approx(1)


def test_a_hundred_detections_of_a_category_count_on_coco() -> None:
    for before, expected in ((99, 0.01), (100, 0.0)):
        numbers = coco_average_precision(make_truth(HERE), make_found(*[THERE] * before, HERE))
        assert numbers["AP"] == pytest.approx(expected)
        assert numbers["AR@100"] == (before == 99)
        assert numbers["AR@10"] == 0
    others = [{**THERE, "category_id": 2}] * 100
    assert coco_average_precision(make_truth(HERE), make_found(*others, HERE))["AP"] == pytest.approx(1)


def test_a_detection_on_a_crowd_is_neither_right_nor_wrong() -> None:
    truth = make_truth({**THERE, "iscrowd": 1}, {**HERE, "iscrowd": 0})
    inside = rectangle(20, 20, 25, 25)
    assert coco_average_precision(truth, make_found(inside, inside, HERE))["AP"] == pytest.approx(1)
    truth["annotations"][0]["iscrowd"] = 0
    truth["annotations"][0]["ignore"] = 1  # COCO's evaluation does not go by it
    assert coco_average_precision(truth, make_found(THERE, HERE))["AR@100"] == 1
    assert coco_average_precision(truth, make_found(inside, inside, HERE))["AP"] < 0.2


@BOTH
def test_nothing_found_is_0_and_nothing_to_find_is_not_a_number(evaluate: Evaluate) -> None:
    assert evaluate(make_truth(HERE), {})["AP"] == 0
    assert evaluate(make_truth(HERE), {1: []})["AP50"] == 0
    assert all(math.isnan(value) for value in evaluate(make_truth(), make_found(HERE)).values())


@BOTH
def test_what_is_given_stays_as_it_is(evaluate: Evaluate) -> None:
    truth, found = make_truth(HERE, THERE), make_found(HERE, THERE)
    before = copy.deepcopy((truth, found))
    evaluate(truth, found)
    assert (truth, found) == before


@BOTH
def test_what_cannot_be_evaluated_is_refused(evaluate: Evaluate, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="detections on image 3, which the ground truth does not list"):
        evaluate(make_truth(HERE), {1: [], 3: []})
    with pytest.raises(ValueError, match="image 1 has a detection of the category 4"):
        evaluate(make_truth(HERE), make_found({**HERE, "category_id": 4}))
    with pytest.raises(ValueError, match="image 1 has a detection with the score nan"):
        evaluate(make_truth(HERE), make_found({**HERE, "score": math.nan}))
    evaluate(make_truth(HERE), make_found(HERE))
    assert capfd.readouterr() == ("", "")  # nothing is printed either


# ---- images that count more than once ----


def _repeated(truth: Json, found: Found, times: Sequence[int]) -> tuple[Json, Found]:
    """Every image as often as it says, in the order of the images' ids, each copy with an id of its own."""
    ids = sorted(image["id"] for image in truth["images"])
    copies = [number for number, often in zip(ids, times, strict=True) for _ in range(often)]
    of = {image["id"]: image for image in truth["images"]}
    again: Json = {"categories": truth["categories"], "annotations": []}
    again["images"] = [{**of[number], "id": place} for place, number in enumerate(copies, start=1)]
    for place, number in enumerate(copies, start=1):
        objects = [entry for entry in truth["annotations"] if entry["image_id"] == number]
        again["annotations"] += [{**entry, "image_id": place} for entry in objects]
    return again, {place: found.get(number, []) for place, number in enumerate(copies, start=1)}


@BOTH
def test_weights_are_copies_of_the_images(evaluate: Evaluate) -> None:
    """What the standard errors rest on: a draw with repetitions without matching anything again."""
    is_coco = evaluate is coco_average_precision
    for seed in range(60):
        truth, found = draw_case(seed, crowds=is_coco)
        for place, entry in enumerate(entry for some in found.values() for entry in some):
            entry["score"] -= 1e-4 * place  # of equal scores on an image, those of a copy stand after all of the first
        times = np.random.default_rng(seed).integers(0, 4, len(truth["images"]))
        times[0] += times.sum() == 0
        verdicts = judge(truth, found, benchmark="coco" if is_coco else "lvis")
        assert summary(verdicts, times) == same(evaluate(*_repeated(truth, found, times.tolist())))


def test_precision_over_recall_by_hand() -> None:
    """Of two objects the first is found at once, the second after a mistake: precision 1 up to recall .5, then 2/3."""
    far = rectangle(0, 30, 5, 35)
    verdicts = judge(make_truth(HERE, THERE), make_found(HERE, far, THERE), benchmark="coco")
    curve = precision_over_recall(verdicts, AT_50)
    assert curve[:51] == pytest.approx([1] * 51)
    assert curve[51:] == pytest.approx([2 / 3] * 50)
    assert np.isnan(precision_over_recall(judge(make_truth(), {}, benchmark="coco"), AT_50)).all()


def test_the_mean_of_the_curves_is_the_ap() -> None:
    for seed in range(20):
        verdicts = judge(*draw_case(seed, crowds=True), benchmark="coco")
        numbers = summary(verdicts)
        assert precision_over_recall(verdicts, AT_50).mean() == pytest.approx(numbers["AP50"], nan_ok=True)
