"""Reading a detector's boxes: by hand, real ones, and everything that can be wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from anymask.data.coco import GroundTruth, read_ground_truth
from anymask.data.detections import read_detections
from anymask.errors import UserError
from anymask.masks import area, rle_to_json, runs
from anymask.metrics.average_precision import coco_average_precision

REAL = Path(__file__).resolve().parents[3] / "../shared/data/eval"
needs_real_data = pytest.mark.skipif(not REAL.is_dir(), reason="the real data sets are not at hand (../shared/data)")

Json = dict[str, Any]

SQUARE = [[1.0, 1.0, 3.0, 1.0, 3.0, 3.0, 1.0, 3.0]]
RUNS = {"size": [4, 6], "counts": [4, 8, 12]}  # columns 1 and 2


def _file(path: Path, content: object) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.fixture
def truth(tmp_path: Path) -> GroundTruth:
    """Photographs 7 and 3 of 4 x 6 pixels, categories 10 and 20."""
    content = {
        "images": [{"id": number, "height": 4, "width": 6, "file_name": f"{number}.jpg"} for number in (7, 3)],
        "categories": [{"id": 20, "name": "cat"}, {"id": 10, "name": "dog"}],
        "annotations": [{"id": 1, "image_id": 7, "category_id": 10, "segmentation": SQUARE}],
    }
    return read_ground_truth(_file(tmp_path / "truth.json", content))


def _detect(tmp_path: Path, truth: GroundTruth, *entries: Json | str) -> Any:
    whole = [entry if isinstance(entry, str) else {"image_id": 7, "category_id": 10, "score": 0.5, **entry}
             for entry in entries]  # fmt: skip
    return read_detections(_file(tmp_path / "found.json", whole), truth)


def test_boxes_are_x_y_width_height_and_prompts_want_corners(tmp_path: Path, truth: GroundTruth) -> None:
    found = _detect(tmp_path, truth, {"bbox": [1, 0.5, 4, 2]}, {"image_id": 3, "bbox": [0, 0, 1, 1]})
    (detection,) = found.by_image[7]
    assert (detection.xywh, detection.xyxy, detection.score, detection.mask) == (
        (1, 0.5, 4, 2),
        (1, 0.5, 5, 2.5),
        0.5,
        None,
    )
    assert detection.as_json() == {"category_id": 10, "score": 0.5, "bbox": [1, 0.5, 4, 2]}
    assert list(found.by_image) == [7, 3]
    assert not found.left_out


def test_those_of_an_image_stay_in_order_wherever_they_stand(tmp_path: Path, truth: GroundTruth) -> None:
    order = [(7, 0.1), (3, 0.9), (7, 0.8), (3, 0.2), (7, 0.8)]
    entries = [{"image_id": image, "score": score, "bbox": [0, 0, 1, 1]} for image, score in order]
    found = _detect(tmp_path, truth, *entries)
    assert [detection.score for detection in found.by_image[7]] == [0.1, 0.8, 0.8]
    assert [detection.score for detection in found.by_image[3]] == [0.9, 0.2]


def test_a_mask_without_a_box_has_the_one_around_it(tmp_path: Path, truth: GroundTruth) -> None:
    found = _detect(tmp_path, truth, {"segmentation": SQUARE}, {"segmentation": RUNS, "bbox": [0, 0, 6, 4]})
    square, columns = found.by_image[7]
    assert (square.xywh, columns.xywh) == ((1, 1, 2, 2), (0, 0, 6, 4))
    assert (area(runs(square.mask)), area(runs(columns.mask))) == (4, 8)
    assert square.as_json()["segmentation"] == rle_to_json(square.mask)


def test_what_a_good_file_can_have_is_left_out_and_counted(tmp_path: Path, truth: GroundTruth) -> None:
    found = _detect(
        tmp_path,
        truth,
        {"bbox": [0, 0, 1, 1]},
        {"bbox": [0, 0, 1, 1], "image_id": 8},
        {"bbox": [0, 0, 1, 1], "category_id": 11},
        *[{"bbox": box} for box in ([1, 1, 0, 2], [1, 1, 2, -1], [6, 0, 2, 2], [0, 4, 2, 2], [-2, 0, 2, 2])],
        *[{"bbox": box} for box in ([5.5, 3.5, 9, 9], [-2, -2, 2.5, 2.5])],  # these reach into the image
        {"segmentation": [[]]},
    )
    assert len(found.by_image[7]) == 3
    assert found.left_out == {"unknown image": 1, "unknown category": 1, "box without a pixel of the image": 6}


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ({"bbox": None}, "found.json, detection 1 has neither bbox nor segmentation"),
        ({"bbox": [1, 2, 3]}, r"Expected `array` of length 4 - at `\$\[1\].bbox`"),
        ({"bbox": [0, 0, 1, 1], "score": None}, r"Expected `float`, got `null` - at `\$\[1\].score`"),
        ({"bbox": [0, 0, 1, 1], "score": float("nan")}, r"found.json is not a list of COCO detections: JSON is malf"),
        ({"bbox": [0, 0, 1, float("inf")]}, r"found.json is not a list of COCO detections: JSON is malformed"),
        ({"segmentation": {"size": [4, 6], "counts": "13"}}, "found.json, detection 1: the runs add up to 4 pixels"),
        ({"bbox": [0, 0, 1000000.5, 1]}, r"detection 1 has a box with a coordinate or side beyond 1000000 pixels"),
        (
            {"bbox": [-1e30, 0, 2e30, 1]},
            r"detection 1 has a box .* beyond 1000000 pixels: \[-1e\+30, 0.0, 2e\+30, 1.0\]",
        ),
        ({"bbox": [0, 1e39, 1, 1]}, "detection 1 has a box .* beyond 1000000 pixels"),
        ({"bbox": [0, 0, 1, -1e39]}, "detection 1 has a box .* beyond 1000000 pixels"),
        ("text", r"Expected `object`, got `str` - at `\$\[1\]`"),
    ],
)
def test_a_wrong_detection_is_named(tmp_path: Path, truth: GroundTruth, entry: Json | str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        _detect(tmp_path, truth, {"bbox": [0, 0, 1, 1]}, entry)


def test_a_box_may_reach_as_far_as_a_polygon(tmp_path: Path, truth: GroundTruth) -> None:
    (detection,) = _detect(tmp_path, truth, {"bbox": [-999999, 0, 1000000, 4]}).by_image[7]
    assert detection.xyxy == (-999999, 0, 1, 4)


def test_a_number_that_is_too_large_is_refused(tmp_path: Path, truth: GroundTruth) -> None:
    text = '[{"image_id": 7, "category_id": 10, "bbox": [0, 0, 1, 1], "score": 1e999}]'
    with pytest.raises(UserError, match="Number out of range"):
        read_detections(_file(tmp_path / "found.json", text), truth)


def test_a_file_without_any_detection_is_refused(tmp_path: Path, truth: GroundTruth) -> None:
    with pytest.raises(UserError, match=r"found.json has no detection for this ground truth$"):
        _detect(tmp_path, truth)
    with pytest.raises(UserError, match=r"no detection for this ground truth: 2 of unknown image$"):
        _detect(tmp_path, truth, *[{"image_id": 9, "bbox": [0, 0, 1, 1]}] * 2)


@needs_real_data
def test_real_boxes_of_coco_val80() -> None:
    truth = read_ground_truth(REAL / "coco_val80/instances_val80.json")
    found = read_detections(REAL / "coco_val80/yolact_bbox_7imgs.json", truth)
    assert (len(found.by_image), sum(map(len, found.by_image.values())) + found.left_out.total()) == (7, 700)
    assert set(found.left_out) <= {"box without a pixel of the image"}


@needs_real_data
def test_what_is_read_gives_the_number_of_what_is_in_the_file() -> None:
    """The sample of the COCO API: AP .320 on masks."""
    folder = REAL / "coco_fake100"
    truth = read_ground_truth(folder / "instances_val2014_100.json")
    found = read_detections(folder / "instances_val2014_fakesegm100_results.json", truth)
    assert not found.left_out
    by_image = {image: [detection.as_json() for detection in some] for image, some in found.by_image.items()}
    numbers = coco_average_precision(truth.as_json(), by_image)
    assert [numbers[name] for name in ("AP", "AP50", "AP75")] == pytest.approx([0.320, 0.562, 0.299], abs=5e-4)
