"""Reading COCO's and LVIS's files: by hand, on real ones beside pycocotools, and everything that can be wrong."""

from __future__ import annotations

import contextlib
import copy
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools.coco import COCO

from anymask.data.coco import (
    Annotation,
    Category,
    GroundTruth,
    photograph,
    read_ground_truth,
    rle_from_segmentation,
)
from anymask.errors import UserError
from anymask.masks import decode, encode, rle_to_json
from anymask.metrics.average_precision import lvis_average_precision

REAL = Path(__file__).resolve().parents[3] / "../shared/data/eval"
needs_real_data = pytest.mark.skipif(not REAL.is_dir(), reason="the real data sets are not at hand (../shared/data)")

Json = dict[str, Any]
Edit = Callable[[Json], object]

SQUARE = [[1.0, 1.0, 3.0, 1.0, 3.0, 3.0, 1.0, 3.0]]
TWO_PARTS = [[0, 0, 2, 0, 2, 1, 0, 1], [4, 2, 6, 2, 6, 4, 4, 4]]
RUNS = {"size": [4, 6], "counts": [4, 8, 12]}  # columns 1 and 2


def _file(path: Path, content: object) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.fixture
def content() -> Json:
    """Two photographs of 4 x 6 pixels, as LVIS has them but for the crowd."""
    shapes = [(7, SQUARE), (7, TWO_PARTS), (3, RUNS), (7, rle_to_json(encode(np.eye(4, 6, dtype=bool))))]
    image = {"height": 4, "width": 6, "not_exhaustive_category_ids": [20], "neg_category_ids": [10]}
    annotations: list[Json] = [
        {"id": number, "image_id": of, "category_id": 10 + 10 * (number % 2), "segmentation": shape}
        for number, (of, shape) in enumerate(shapes)
    ]
    annotations[0] |= {"area": 3.5, "bbox": [1, 1, 2, 2]}
    annotations[2] |= {"iscrowd": 1}
    whole = {
        "images": [
            {"id": 7, **image, "coco_url": "http://images.cocodataset.org/train2017/000000000007.jpg"},
            {"id": 3, **image, "file_name": "COCO_val2014_3.jpg", "coco_url": "http://a.b/val2017/003.jpg"},
        ],
        "categories": [{"id": 20, "name": "cat", "frequency": "r"}, {"id": 10, "name": "dog", "frequency": "f"}],
        "annotations": annotations,
    }
    return copy.deepcopy(whole)  # the tests change it


@pytest.fixture
def truth(tmp_path: Path, content: Json) -> GroundTruth:
    return read_ground_truth(_file(tmp_path / "truth.json", content))


def _rows(annotation: Annotation) -> list[str]:
    return ["".join("#" if inside else "." for inside in row) for row in decode(annotation.mask)]


# ---- the ground truth ----


def test_masks_come_from_polygons_of_several_parts_and_from_both_kinds_of_run_lengths(truth: GroundTruth) -> None:
    square, parts, diagonal = truth.annotations[7]
    assert _rows(square) == ["......", ".##...", ".##...", "......"]
    assert _rows(parts) == ["##....", "......", "....##", "....##"]
    assert _rows(diagonal) == ["#.....", ".#....", "..#...", "...#.."]
    assert _rows(truth.annotations[3][0]) == [".##..."] * 4


def test_what_the_file_says_is_taken_and_what_it_does_not_say_comes_from_the_mask(truth: GroundTruth) -> None:
    square, parts, _ = truth.annotations[7]
    assert (square.area, square.xywh, square.crowd, square.category_id) == (3.5, (1.0, 1.0, 2.0, 2.0), False, 10)
    assert (parts.area, parts.xywh, parts.id, parts.category_id) == (6.0, (0.0, 0.0, 6.0, 4.0), 1, 20)
    assert truth.annotations[3][0].crowd
    assert truth.categories[20] == Category(20, "cat", "r")


def test_lvis_names_its_photographs_by_their_address(truth: GroundTruth, tmp_path: Path) -> None:
    """Version 1 has no file_name; that of version 0.5 is of 2014, when the photographs had other names."""
    in_train, in_val = truth.images[7], truth.images[3]
    assert (in_train.file_name, in_train.folder) == ("000000000007.jpg", "train2017")
    assert (in_val.file_name, in_val.folder) == ("003.jpg", "val2017")
    assert (in_train.negative, in_train.not_exhaustive) == ((10,), (20,))
    nested = _file(tmp_path / "003.jpg", "")
    assert photograph(tmp_path, in_val) == nested
    with pytest.raises(UserError, match=r"there is no photograph .*/000000000007.jpg"):
        photograph(tmp_path, in_train)
    (tmp_path / "train2017").mkdir()
    nested = _file(tmp_path / "train2017/000000000007.jpg", "")
    assert photograph(tmp_path, in_train) == nested


def test_a_name_that_no_file_can_have_is_that_of_no_photograph(tmp_path: Path, content: Json) -> None:
    content["images"] = [{"id": number, "height": 4, "width": 6, "file_name": f"{number}" * 300} for number in (7, 3)]
    truth = read_ground_truth(_file(tmp_path / "truth.json", content))
    with pytest.raises(UserError, match=r"there is no photograph .*/7{300}$"):
        photograph(tmp_path, truth.images[7])


def test_coco_names_its_photographs_by_file_name_and_categories_may_be_unsaid(tmp_path: Path, content: Json) -> None:
    del content["categories"]
    content["images"] = [
        {"id": number, "height": 4, "width": 6, "file_name": f"{number}.png", "coco_url": "http://a.b/c/else.jpg"}
        for number in (7, 3, 5)
    ]
    truth = read_ground_truth(_file(tmp_path / "truth.json", content))
    assert [image.file_name for image in truth.images.values()] == ["7.png", "3.png", "5.png"]
    assert truth.images[7].negative is None
    assert truth.categories == {10: Category(10, "10", None), 20: Category(20, "20", None)}
    assert truth.annotations[5] == ()


def test_what_is_written_is_read_again(truth: GroundTruth, tmp_path: Path) -> None:
    written = truth.as_json()
    again = read_ground_truth(_file(tmp_path / "again.json", written))
    assert again.annotations == truth.annotations
    assert again.categories == truth.categories
    assert again.as_json() == written


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (lambda d: d.pop("images"), "truth.json is not a COCO instances file: Object missing required field `images`"),
        (lambda d: d["images"][0].pop("height"), r"missing required field `height` - at `\$.images\[0\]`"),
        (lambda d: d["images"][0].update(height="4"), r"Expected `int`, got `str` - at `\$.images\[0\].height`"),
        (lambda d: d["images"][0].update(height=0), r"image 7 has the size 0 x 6"),
        (lambda d: d["images"][0].update(coco_url=None), "image 7 has neither file_name nor LVIS's coco_url"),
        (lambda d: d["images"][0].update(id=3), "more than one image with the id 3"),
        (lambda d: d["categories"][0].update(id=10), "more than one category with the id 10"),
        (lambda d: d["categories"][0].update(frequency="x"), "Invalid enum value 'x'"),
        (lambda d: d["annotations"][1].update(id=0), "more than one annotation with the id 0"),
        (lambda d: d["annotations"][1].update(image_id=4), "annotates the image 4, which it does not list"),
        (lambda d: d["annotations"][1].update(category_id=4), "has the category 4, which it does not list"),
        (lambda d: d["annotations"][1].update(bbox=[1, 2, 3]), "Expected `array` of length 4"),
        (lambda d: d["annotations"][1].pop("segmentation"), "missing required field `segmentation`"),
        (
            lambda d: d["annotations"][1].update(segmentation=None),
            "annotation 1: Expected `object | array`, got `null`",
        ),
        (
            lambda d: d["annotations"][1].update(segmentation=[7]),
            r"annotation 1: Expected `array`, got `int` - at `\$\[0\]`",
        ),
        (lambda d: d["annotations"][1].update(segmentation=[[1] * 7]), "annotation 1: a polygon has an odd number"),
        (lambda d: d["annotations"][1].update(segmentation=[["a"] * 6]), r"annotation 1: Expected `float`, got `str`"),
        (lambda d: d["annotations"][1].update(segmentation=[[1e9] * 6]), r"annotation 1: .*beyond 1000000 pixels"),
        (lambda d: d["annotations"][1].update(segmentation={}), "annotation 1: not a run-length code"),
        (lambda d: d["annotations"][2]["segmentation"].update(size=[6, 4]), r"annotation 2: the mask's size \(6, 4\)"),
        (lambda d: d["annotations"][2]["segmentation"].update(counts=[4, 8]), "annotation 2: the runs add up to 12"),
        (lambda d: d["annotations"][2]["segmentation"].update(counts="13"), "annotation 2: the runs add up to 4 "),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, content: Json, edit: Edit, sentence: str) -> None:
    edit(content)
    with pytest.raises(UserError, match=sentence) as caught:
        read_ground_truth(_file(tmp_path / "truth.json", content))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "[" * 10000])
def test_what_is_no_ground_truth_at_all_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(UserError, match=r"truth\.json is not a COCO instances file"):
        read_ground_truth(_file(tmp_path / "truth.json", text))
    with pytest.raises(UserError, match=r"absent\.json is not a COCO instances file"):
        read_ground_truth(tmp_path / "absent.json")


def test_a_text_that_is_no_utf_8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "latin.json").write_bytes(
        b'{"images": [{"id": 1, "height": 4, "width": 4, "file_name": "h\xf6hle.jpg"}], "annotations": []}'
    )
    with pytest.raises(UserError, match=r"latin\.json is not a COCO instances file: 'utf-8' codec"):
        read_ground_truth(tmp_path / "latin.json")


# ---- segmentations ----


@pytest.mark.parametrize("segmentation", [[], [[]], [[1, 1, 3, 3]], [[0, 0, 2, 2], []]])
def test_a_polygon_of_two_corners_is_no_box(segmentation: list[list[float]]) -> None:
    """Which pycocotools takes four numbers for."""
    assert rle_from_segmentation(segmentation, (4, 6)) == encode(np.zeros((4, 6), dtype=bool))
    both = rle_from_segmentation([*segmentation, *SQUARE], (4, 6))
    assert both == rle_from_segmentation(SQUARE, (4, 6))


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 9)), min_size=2, max_size=2, unique=True))
def test_a_rectangle_of_whole_corners_covers_its_pixels(corners: list[tuple[int, int]]) -> None:
    (x0, x1), (y0, y1) = sorted(x for x, _ in corners), sorted(y for _, y in corners)
    expected = np.zeros((9, 12), dtype=bool)
    expected[y0:y1, x0:x1] = True
    drawn = decode(rle_from_segmentation([[x0, y0, x1, y0, x1, y1, x0, y1]], (9, 12)))
    if x0 < x1 and y0 < y1:
        assert np.array_equal(drawn, expected)


# ---- real files ----


@needs_real_data
def test_coco_val80_as_pycocotools_reads_it() -> None:
    path = REAL / "coco_val80/instances_val80.json"
    truth = read_ground_truth(path)
    with contextlib.redirect_stdout(io.StringIO()):
        theirs = COCO(path)
    read = {annotation.id: annotation for some in truth.annotations.values() for annotation in some}
    assert (len(truth.images), len(truth.categories), len(read)) == (80, 80, 815)
    assert sum(annotation.crowd for annotation in read.values()) == 11
    for number, entry in theirs.anns.items():
        assert read[number].mask.counts == theirs.annToRLE(entry)["counts"]
        assert (read[number].area, list(read[number].xywh)) == (entry["area"], entry["bbox"])
    assert all(photograph(REAL / "coco_val80/images", image).is_file() for image in truth.images.values())


@needs_real_data
def test_lvis_val64() -> None:
    truth = read_ground_truth(REAL / "lvis_val64/lvis_val64.json")
    used = {annotation.category_id for some in truth.annotations.values() for annotation in some}
    assert (len(truth.images), sum(map(len, truth.annotations.values())), len(used)) == (64, 674, 142)
    assert {category.frequency for category in truth.categories.values()} == {"r", "c", "f"}
    assert all(photograph(REAL / "lvis_val64/images", image).is_file() for image in truth.images.values())
    perfect = {number: [{"score": 1.0, **e} for e in some] for number, some in _entries(truth).items()}
    assert lvis_average_precision(truth.as_json(), perfect)["AP"] == pytest.approx(1)


def _entries(truth: GroundTruth) -> dict[int, list[Json]]:
    keys = ("category_id", "segmentation")
    entries: dict[int, list[Json]] = {number: [] for number in truth.images}
    for entry in truth.as_json()["annotations"]:
        entries[entry["image_id"]].append({key: entry[key] for key in keys})
    return entries
