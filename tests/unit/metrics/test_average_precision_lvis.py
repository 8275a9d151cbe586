"""AP on LVIS: the numbers of lvis-api and of another implementation, and its rules by hand."""

from __future__ import annotations

import contextlib
import copy
import io
import math
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Literal

import hotcoco
import numpy as np
import pytest

from anymask.data.coco import rle_from_segmentation
from anymask.errors import UserError
from anymask.masks import decode
from anymask.metrics.average_precision import (
    lvis_average_precision,
)
from tests.unit.metrics.precision_by_definition import (
    REAL,
    Found,
    Json,
    draw_case,
    make_found,
    make_truth,
    needs_real_data,
    read_json,
    rectangle,
    same,
    shape,
)

HERE, THERE = rectangle(0, 0, 10, 10), rectangle(20, 20, 30, 30)


def _by_hotcoco(truth: Json, found: Found) -> dict[str, float]:
    """LVIS's numbers by another implementation, which its authors compare with lvis-api."""
    fields = ("image_id", "category_id", "score", "segmentation")
    evaluation = hotcoco.StreamingEval(copy.deepcopy(truth["categories"]), "segm", lvis_style=True)
    for image in truth["images"]:
        objects = [{**entry, "iscrowd": 0} for entry in truth["annotations"] if entry["image_id"] == image["id"]]
        here = [{key: entry[key] for key in fields} for entry in found.get(image["id"], ())]
        evaluation.update([dict(image)], objects, here)
    finished = evaluation.finalize()
    with contextlib.redirect_stdout(io.StringIO()):
        finished.accumulate()
        finished.summarize()
    results = finished.get_results()
    return {name: value if value >= 0 else math.nan for name, value in results.items() if name.startswith("A")}


def test_random_cases_agree_with_another_implementation() -> None:
    for seed in range(100):
        truth, found = draw_case(seed, crowds=False)
        theirs = _by_hotcoco(truth, found)
        ours = lvis_average_precision(truth, found)
        assert ours == same({name: theirs[name] for name in ours})


@cache
def _lvis_moved() -> tuple[Json, Found]:
    """The ground truth, and detections: its masks twice, moved a little, some with another category; ties."""
    truth, found = read_json(REAL / "lvis_val64/lvis_val64.json"), defaultdict(list)
    images = {image["id"]: image for image in truth["images"]}
    for n, annotation in enumerate(truth["annotations"]):
        image = images[annotation["image_id"]]
        bitmap = decode(rle_from_segmentation(annotation["segmentation"], (image["height"], image["width"])))
        others = [*image["neg_category_ids"], *image["not_exhaustive_category_ids"], 1]
        for k in range(2):
            category = others[n % len(others)] if (n + k) % 5 == 0 else annotation["category_id"]
            its_shape = shape(np.roll(bitmap, ((7 * n + 5 * k) % 9 - 4, (3 * n + 2 * k) % 7 - 3), (0, 1)))
            entry = {
                "category_id": category,
                "score": (37 * n + 11 * k) % 50 / 50,
                "segmentation": its_shape["segmentation"],
            }
            found[image["id"]].append({**entry, "bbox": its_shape["bbox"]})
    return truth, found


LVIS_API = {
    "segm": {
        "AP": 0.4482638390949675,
        "AP50": 0.6943645162678604,
        "AP75": 0.4486054635622039,
        "APs": 0.21949456046954566,
        "APm": 0.6401924275317864,
        "APl": 0.88101100110011,
        "APr": 0.85,
        "APc": 0.50740099009901,
        "APf": 0.4374803944792098,
        "AR@300": 0.5528666203146216,
        "ARs@300": 0.29415415248106586,
        "ARm@300": 0.728006692726842,
        "ARl@300": 0.9164814814814815,
    },
    "bbox": {
        "AP": 0.5172868542068861,
        "AP50": 0.7358844687954165,
        "AP75": 0.5305496270130113,
        "APs": 0.3871849879982811,
        "APm": 0.7250739809506618,
        "APl": 0.7577502750275027,
        "APr": 0.95,
        "APc": 0.5313196163366337,
        "APf": 0.5120289554879336,
        "AR@300": 0.6402591249418276,
        "ARs@300": 0.46371690481021605,
        "ARm@300": 0.8163723051409618,
        "ARl@300": 0.8401851851851851,
    },
}


@needs_real_data
@pytest.mark.parametrize("kind", ["segm", "bbox"])
def test_lvis_masks_moved_by_some_pixels(kind: Literal["segm", "bbox"]) -> None:
    """The numbers are those of lvis-api 0.5.3 (as published but for ``np.float``) on the very same detections."""
    truth, found = _lvis_moved()
    assert lvis_average_precision(truth, found, kind) == same(LVIS_API[kind])


def test_three_hundred_detections_of_all_categories_count_on_lvis() -> None:
    others = [{**THERE, "category_id": 2}] * 300
    assert lvis_average_precision(make_truth(HERE), make_found(*others[1:], HERE))["AR@300"] == 1
    assert lvis_average_precision(make_truth(HERE), make_found(*others, HERE))["AR@300"] == 0


def test_lvis_has_no_crowds() -> None:
    assert lvis_average_precision(make_truth({**HERE, "iscrowd": 1}), make_found(HERE))["AP"] == pytest.approx(1)


@pytest.mark.parametrize(("not_exhaustive", "expected"), [([], 0.5), ([1], 1.0)])
def test_a_detection_is_wrong_only_where_all_objects_of_its_category_are_annotated(
    not_exhaustive: list[int], expected: float
) -> None:
    truth = make_truth(HERE, not_exhaustive=not_exhaustive)
    assert lvis_average_precision(truth, make_found(THERE, HERE))["AP"] == pytest.approx(expected)


@pytest.mark.parametrize(("negative", "expected"), [([], 1.0), ([2], 0.5)])
def test_a_detection_is_wrong_only_where_its_category_was_looked_for(negative: list[int], expected: float) -> None:
    """An object of category 2 on another image is found after a detection of category 2 on image 1, which has none."""
    truth = make_truth(HERE, negative=negative)
    truth["annotations"].append({**HERE, "id": 2, "image_id": 2, "category_id": 2})
    found = make_found({**THERE, "category_id": 2}) | {2: [{**HERE, "category_id": 2, "score": 0.5}]}
    assert lvis_average_precision(truth, found)["APc"] == pytest.approx(expected)


def test_lvis_categories_are_averaged_by_frequency() -> None:
    truth = make_truth(HERE, {**THERE, "category_id": 2}, {**HERE, "category_id": 3}, frequencies="rcc")
    numbers = lvis_average_precision(truth, make_found(HERE, {**THERE, "category_id": 2}))
    assert numbers["APr"] == pytest.approx(1)
    assert numbers["APc"] == pytest.approx(0.5)
    assert math.isnan(numbers["APf"])
    assert numbers["AP"] == pytest.approx(2 / 3)


def test_a_ground_truth_that_is_not_lvis_is_refused() -> None:
    without_list, without_letter = make_truth(HERE), make_truth(HERE)
    del without_list["images"][1]["not_exhaustive_category_ids"]
    del without_letter["categories"][0]["frequency"]
    with pytest.raises(UserError, match="an image lacks neg_category_ids or not_exhaustive_category_ids"):
        lvis_average_precision(without_list, {})
    with pytest.raises(UserError, match="a category lacks its frequency"):
        lvis_average_precision(without_letter, {})


class Shelf(Mapping[int, list[Json]]):
    """Makes an image's detections when it is asked, and watches how many images' masks somebody else holds."""

    def __init__(self, numbers: Sequence[int]) -> None:
        self.numbers = numbers
        self.made: list[Json] = []
        self.kept = 0

    def __getitem__(self, image: int) -> list[Json]:
        held = [sys.getrefcount(code) > 3 for code in self.made]  # the list, the loop and the call hold it too
        self.kept = max(self.kept, sum(held))
        self.made.append(dict(HERE["segmentation"]))
        return [{"category_id": 1, "score": 0.5, "segmentation": self.made[-1]}]

    def __iter__(self) -> Iterator[int]:
        return iter(self.numbers)

    def __len__(self) -> int:
        return len(self.numbers)


def test_the_masks_of_no_image_are_kept_but_of_the_one_before() -> None:
    """A mapping may read them from a file: those of all the images would not fit in memory."""
    truth = make_truth(HERE)
    truth["images"] += [{**truth["images"][1], "id": number} for number in range(3, 10)]
    shelf = Shelf(range(1, 10))
    assert lvis_average_precision(truth, shelf)["AP"] == pytest.approx(1)
    assert len(shelf.made) >= 9
    assert shelf.kept == 1
