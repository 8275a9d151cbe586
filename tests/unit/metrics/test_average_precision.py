"""AP on COCO and LVIS: numbers known from elsewhere, a second implementation, the definition, and traps by hand.

The definition is written out here on bitmaps and lists, far from what pycocotools and hotcoco do.
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
import math
import sys
import weakref
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

import cv2
import hotcoco
import numpy as np
import pytest

from anymask.data.coco import rle_from_segmentation
from anymask.errors import UserError
from anymask.masks import decode, encode, rle_to_json
from anymask.metrics.average_precision import coco_average_precision, lvis_average_precision
from anymask.structures import Rle

REAL = Path(__file__).resolve().parents[3] / "../shared/data/eval"
needs_real_data = pytest.mark.skipif(not REAL.is_dir(), reason="the real data sets are not at hand (../shared/data)")

Json = dict[str, Any]
Bitmap = np.ndarray[Any, np.dtype[np.bool_]]
Found = dict[int, list[Json]]
SIZE = (40, 40)


def _json(path: Path) -> Any:
    return json.loads(path.read_text())


def _by_image(entries: Iterable[Json]) -> Found:
    found: Found = defaultdict(list)
    for entry in entries:
        found[entry["image_id"]].append(entry)
    return found


def _rectangle(x0: int, y0: int, x1: int, y1: int, size: tuple[int, int] = SIZE) -> Json:
    bitmap = np.zeros(size, dtype=bool)
    bitmap[y0:y1, x0:x1] = True
    return _shape(bitmap)


def _shape(bitmap: Bitmap) -> Json:
    rows, columns = np.nonzero(bitmap)
    box = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1] if len(rows) else [0, 0, 0, 0]
    area = float(bitmap.sum())
    return {"segmentation": rle_to_json(encode(bitmap)), "bbox": [float(side) for side in box], "area": area}


def _rle(entry: Json) -> Rle:
    segmentation = entry["segmentation"]
    return Rle(tuple(segmentation["size"]), segmentation["counts"].encode())


def _truth(
    *objects: Json, frequencies: str = "rcf", negative: Sequence[int] = (), not_exhaustive: Sequence[int] = ()
) -> Json:
    """Image 1 with objects and lists of categories, and image 2 without."""
    size = {"height": SIZE[0], "width": SIZE[1]}
    return {
        "images": [
            {"id": 1, **size, "neg_category_ids": [*negative], "not_exhaustive_category_ids": [*not_exhaustive]},
            {"id": 2, **size, "neg_category_ids": [], "not_exhaustive_category_ids": []},
        ],
        "categories": [{"id": k, "name": str(k), "frequency": letter} for k, letter in enumerate(frequencies, start=1)],
        "annotations": [
            {"id": number, "image_id": 1, "category_id": 1, **entry} for number, entry in enumerate(objects, start=1)
        ],
    }


def _found(*entries: Json) -> Found:
    """On image 1, by falling score."""
    return {1: [{"category_id": 1, "score": 1.0 - 0.001 * place, **entry} for place, entry in enumerate(entries)]}


# ---- the definition ----

THRESHOLDS = [0.5 + 0.05 * k for k in range(10)]
LEVELS = np.linspace(0, 1, 101).tolist()
AREAS = {"": (0, 1e10), "s": (0, 1024), "m": (1024, 9216), "l": (9216, 1e10)}
Pair = tuple[float | None, float | None]


def _define(truth: Json, found: Found, *, lvis: bool) -> dict[str, float]:
    """Every number, from precision and recall of each category, threshold and size class."""
    cut = {image: _best(some, 300) for image, some in found.items()} if lvis else found
    limit = 300 if lvis else 100
    tables = {name: _table(truth, cut, bounds, limit, lvis=lvis) for name, bounds in AREAS.items()}
    every = [c["id"] for c in truth["categories"]]
    numbers = {f"AP{name}": _mean(tables[name], 0, every, THRESHOLDS) for name in AREAS}
    numbers |= {f"AP{round(100 * t)}": _mean(tables[""], 0, every, [t]) for t in (THRESHOLDS[0], THRESHOLDS[5])}
    numbers |= {f"AR{name}@{limit}": _mean(tables[name], 1, every, THRESHOLDS) for name in AREAS}
    if lvis:
        of = {letter: [c["id"] for c in truth["categories"] if c["frequency"] == letter] for letter in "rcf"}
        return numbers | {f"AP{letter}": _mean(tables[""], 0, some, THRESHOLDS) for letter, some in of.items()}
    few = {n: _table(truth, found, AREAS[""], n, lvis=False) for n in (1, 10)}
    return numbers | {f"AR@{n}": _mean(table, 1, every, THRESHOLDS) for n, table in few.items()}


def _best(some: Sequence[Json], number: int) -> list[Json]:
    return sorted(some, key=lambda d: -d["score"])[:number]


def _mean(table: dict[tuple[int, float], Pair], which: int, categories: Sequence[int], at: Sequence[float]) -> float:
    values = [value for c in categories for t in at if (value := table[c, t][which]) is not None]
    return math.fsum(values) / len(values) if values else math.nan


def _table(
    truth: Json, found: Found, bounds: tuple[float, float], limit: int, *, lvis: bool
) -> dict[tuple[int, float], Pair]:
    table = {}
    for category in (c["id"] for c in truth["categories"]):
        images = []
        for image in sorted(truth["images"], key=lambda image: image["id"]):  # of equal scores, that image comes first
            number = image["id"]
            objects = [a for a in truth["annotations"] if (a["image_id"], a["category_id"]) == (number, category)]
            found_here = [d for d in found.get(number, ()) if d["category_id"] == category]
            if lvis and not objects and category not in image["neg_category_ids"]:
                found_here = []
            lenient = lvis and category in image["not_exhaustive_category_ids"]
            images.append((objects, _best(found_here, limit), lenient))
        for threshold in THRESHOLDS:
            table[category, threshold] = _precision_and_recall(images, bounds, threshold, lvis=lvis)
    return table


def _precision_and_recall(
    images: Sequence[tuple[list[Json], list[Json], bool]], bounds: tuple[float, float], threshold: float, *, lvis: bool
) -> Pair:
    """None where there is no object."""
    total, verdicts = 0, []
    for objects, found, lenient in images:
        ignored = [(not lvis and o.get("iscrowd", 0)) or not bounds[0] <= o["area"] <= bounds[1] for o in objects]
        total += ignored.count(False)
        verdicts += _verdicts(objects, ignored, found, threshold, bounds, lenient=lenient)
    if not total:
        return None, None
    hits = [is_hit for _, is_hit in sorted(verdicts, key=lambda verdict: -verdict[0])]
    points = [(sum(hits[:n]) / total, sum(hits[:n]) / n) for n in range(1, len(hits) + 1)]
    best = {recall: max(p for r, p in points if r >= recall) for recall, _ in points}
    at = [next((best[recall] for recall in sorted(best) if recall >= level), 0.0) for level in LEVELS]
    return math.fsum(at) / 101, sum(hits) / total


def _verdicts(
    objects: list[Json],
    ignored: list[bool],
    found: list[Json],
    threshold: float,
    bounds: tuple[float, float],
    *,
    lenient: bool,
) -> list[tuple[float, bool]]:
    """Score, and right or wrong, of the detections that count."""
    free, verdicts = set(range(len(objects))), []
    for detection in found:
        candidates = []
        for place in free:
            overlap = _overlap(_rle(detection), _rle(objects[place]), bool(objects[place].get("iscrowd", 0)))
            if overlap >= threshold - 1e-12:
                candidates.append((not ignored[place], overlap, place))
        if candidates:  # regular before ignored, then the overlap, then the later one
            is_regular, _, place = max(candidates)
            free -= set() if objects[place].get("iscrowd", 0) else {place}
            verdicts += [(detection["score"], True)] if is_regular else []
        elif bounds[0] <= _pixels(_rle(detection)) <= bounds[1] and not lenient:
            verdicts.append((detection["score"], False))
    return verdicts


@cache
def _pixels(rle: Rle) -> int:
    return int(decode(rle).sum())


@cache
def _overlap(detection: Rle, truth: Rle, crowd: bool) -> float:
    """Of a crowd, the share of the detection inside."""
    one, other = decode(detection), decode(truth)
    whole = one.sum() if crowd else (one | other).sum()
    return float((one & other).sum() / whole) if whole else 0.0


def _draw(seed: int, *, crowds: bool) -> tuple[Json, Found]:
    """Few pixels, few scores: many ties; images in any order, some with nothing; federated lists at random."""
    chance = np.random.default_rng(seed)
    side = int(chance.choice([12, 50, 120]))
    categories = int(chance.integers(1, 5))

    def some_rectangle() -> Bitmap:
        x0, y0 = chance.integers(0, side // 2, 2)
        width, height = chance.choice([2, 4, 32, 96, side // 2], 2)
        bitmap = np.zeros((side, side + 3), dtype=bool)
        bitmap[y0 : y0 + height, x0 : x0 + width] = True
        return bitmap

    images, annotations, found = [], [], {}
    for number in chance.permutation(range(1, int(chance.integers(2, 5)))).tolist():
        drawn = [(some_rectangle(), int(chance.integers(1, categories + 1))) for _ in range(chance.integers(0, 6))]
        here = [_some_detection(chance, some_rectangle, drawn, categories) for _ in range(chance.integers(0, 12))]
        images.append({"id": number, "height": side, "width": side + 3})
        present = {category for _, category in drawn}
        absent = sorted(set(range(1, categories + 1)) - present)
        images[-1]["neg_category_ids"] = [category for category in absent if chance.random() < 0.5]
        images[-1]["not_exhaustive_category_ids"] = [c for c in sorted(present) if chance.random() < 0.3]
        found[number] = [{**entry, "image_id": number} for entry in here]
        for bitmap, category in drawn:
            annotations.append({"image_id": number, "category_id": category, **_shape(bitmap)})
            annotations[-1] |= {"iscrowd": int(chance.random() < 0.2)} if crowds else {}
    letters = [str(letter) for letter in chance.choice(["r", "c", "f"], categories)]
    listed = [{"id": k, "name": str(k), "frequency": letter} for k, letter in enumerate(letters, start=1)]
    numbered = [{"id": number, **annotation} for number, annotation in enumerate(annotations, start=1)]
    return {"images": images, "annotations": numbered, "categories": listed}, found


def _some_detection(
    chance: np.random.Generator, rectangle: Callable[[], Bitmap], drawn: list[tuple[Bitmap, int]], categories: int
) -> Json:
    bitmap, category = rectangle(), int(chance.integers(1, categories + 1))
    if drawn and chance.random() < 0.8:
        bitmap, its = drawn[int(chance.integers(len(drawn)))]
        bitmap = np.roll(bitmap, chance.integers(-1, 2, 2), (0, 1))
        category = its if chance.random() < 0.8 else category
    shape = _shape(bitmap)
    del shape["area"]
    return {"category_id": category, "score": float(chance.choice([0.1, 0.5, 0.9])), **shape}


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


def _same(expected: dict[str, float]) -> Any:
    return pytest.approx(expected, rel=0, abs=1e-9, nan_ok=True)


@pytest.mark.parametrize("first", range(0, 80, 10))
def test_random_cases_agree_with_the_definition(first: int) -> None:
    for seed in range(first, first + 10):
        truth, found = _draw(seed, crowds=True)
        assert coco_average_precision(truth, found) == _same(_define(truth, found, lvis=False))
        truth, found = _draw(seed, crowds=False)
        assert lvis_average_precision(truth, found) == _same(_define(truth, found, lvis=True))


def test_random_cases_of_coco_agree_with_another_implementation() -> None:
    compared = 0
    for seed in range(120):
        truth, found = _draw(seed, crowds=True)
        if not any(found.values()):
            continue
        for kind in ("segm", "bbox"):
            assert coco_average_precision(truth, found, kind) == _same(_by_hotcoco(truth, found, kind))
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
    truth = _json(folder / "instances_val2014_100.json")
    found = _by_image(_json(folder / f"instances_val2014_fake{kind}100_results.json"))
    assert list(coco_average_precision(truth, found, kind).values()) == pytest.approx(known, abs=5.1e-4)


@needs_real_data
def test_penn_fudan() -> None:
    """Real boxes and masks of a Mask R-CNN; one category, with the id 0."""
    folder = REAL / "pennfudan_34"
    images = _json(folder / "instances.json")["images"]
    annotations = []
    for image in images:
        labels = cv2.imread(str(folder / "PedMasks" / image["file_name"].replace(".png", "_mask.png")), 0)
        assert labels is not None
        people = [_shape(labels == label) for label in range(1, int(labels.max()) + 1)]
        annotations += [{"image_id": image["id"], "category_id": 0, **person} for person in people]
    truth = {"images": images, "categories": [{"id": 0, "name": "person"}], "annotations": annotations}
    found = _by_image(_json(folder / "maskrcnn_results.json"))
    assert len(annotations) == 84
    assert coco_average_precision(truth, found, "bbox")["AP"] == pytest.approx(0.782, abs=5e-4)
    assert coco_average_precision(truth, found, "segm")["AP"] == pytest.approx(0.685, abs=5e-4)


@needs_real_data
def test_real_boxes_on_coco_agree_with_another_implementation() -> None:
    folder = REAL / "coco_val80"
    truth = _json(folder / "instances_val80.json")
    found = _by_image(_json(folder / "yolact_bbox_7imgs.json"))
    ours = coco_average_precision(truth, found, "bbox")
    assert ours == _same(_by_hotcoco(truth, found, "bbox"))
    assert 0 < ours["AP"] < ours["AP50"]


@cache
def _lvis_moved() -> tuple[Json, Found]:
    """The ground truth, and detections: its masks twice, moved a little, some with another category; ties."""
    truth, found = _json(REAL / "lvis_val64/lvis_val64.json"), defaultdict(list)
    images = {image["id"]: image for image in truth["images"]}
    for n, annotation in enumerate(truth["annotations"]):
        image = images[annotation["image_id"]]
        bitmap = decode(rle_from_segmentation(annotation["segmentation"], (image["height"], image["width"])))
        others = [*image["neg_category_ids"], *image["not_exhaustive_category_ids"], 1]
        for k in range(2):
            category = others[n % len(others)] if (n + k) % 5 == 0 else annotation["category_id"]
            shape = _shape(np.roll(bitmap, ((7 * n + 5 * k) % 9 - 4, (3 * n + 2 * k) % 7 - 3), (0, 1)))
            entry = {
                "category_id": category,
                "score": (37 * n + 11 * k) % 50 / 50,
                "segmentation": shape["segmentation"],
            }
            found[image["id"]].append({**entry, "bbox": shape["bbox"]})
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
    assert lvis_average_precision(truth, found, kind) == _same(LVIS_API[kind])


# ---- traps, by hand ----

HERE, THERE = _rectangle(0, 0, 10, 10), _rectangle(20, 20, 30, 30)
BOTH = pytest.mark.parametrize("evaluate", [coco_average_precision, lvis_average_precision])
Evaluate = Callable[..., dict[str, float]]


@BOTH
def test_ids_decide_nothing(evaluate: Evaluate) -> None:
    """The id 0 would count as never found, and of two objects with one id the last would be there twice."""
    for first, second in ((0, 1), (7, 7)):
        truth = _truth({**HERE, "id": first}, {**THERE, "id": second})
        assert evaluate(truth, _found(HERE, THERE))["AP"] == pytest.approx(1)
        half = evaluate(truth, _found(HERE))
        recall = half["AR@100" if evaluate is coco_average_precision else "AR@300"]
        assert recall == pytest.approx(0.5)


@BOTH
def test_a_box_beside_a_mask_does_not_make_it_larger(evaluate: Evaluate) -> None:
    """Two far pixels that are wrong spoil the small objects, however large the box around them."""
    far = np.zeros(SIZE, dtype=bool)
    far[[0, 39], [0, 39]] = True
    assert _shape(far)["bbox"] == [0, 0, 40, 40]
    assert evaluate(_truth(THERE), _found(_shape(far), THERE))["APs"] == pytest.approx(0.5)


@BOTH
def test_sizes_are_by_the_annotated_area(evaluate: Evaluate) -> None:
    numbers = evaluate(_truth({**HERE, "area": 5000.0}), _found(HERE))
    assert math.isnan(numbers["APs"])
    assert numbers["APm"] == pytest.approx(1)


def test_a_hundred_detections_of_a_category_count_on_coco() -> None:
    for before, expected in ((99, 0.01), (100, 0.0)):
        numbers = coco_average_precision(_truth(HERE), _found(*[THERE] * before, HERE))
        assert numbers["AP"] == pytest.approx(expected)
        assert numbers["AR@100"] == (before == 99)
        assert numbers["AR@10"] == 0
    others = [{**THERE, "category_id": 2}] * 100
    assert coco_average_precision(_truth(HERE), _found(*others, HERE))["AP"] == pytest.approx(1)


def test_three_hundred_detections_of_all_categories_count_on_lvis() -> None:
    others = [{**THERE, "category_id": 2}] * 300
    assert lvis_average_precision(_truth(HERE), _found(*others[1:], HERE))["AR@300"] == 1
    assert lvis_average_precision(_truth(HERE), _found(*others, HERE))["AR@300"] == 0


def test_a_detection_on_a_crowd_is_neither_right_nor_wrong() -> None:
    truth = _truth({**THERE, "iscrowd": 1}, {**HERE, "iscrowd": 0})
    inside = _rectangle(20, 20, 25, 25)
    assert coco_average_precision(truth, _found(inside, inside, HERE))["AP"] == pytest.approx(1)
    truth["annotations"][0]["iscrowd"] = 0
    truth["annotations"][0]["ignore"] = 1  # COCO's evaluation does not go by it
    assert coco_average_precision(truth, _found(THERE, HERE))["AR@100"] == 1
    assert coco_average_precision(truth, _found(inside, inside, HERE))["AP"] < 0.2


def test_lvis_has_no_crowds() -> None:
    assert lvis_average_precision(_truth({**HERE, "iscrowd": 1}), _found(HERE))["AP"] == pytest.approx(1)


@pytest.mark.parametrize(("not_exhaustive", "expected"), [([], 0.5), ([1], 1.0)])
def test_a_detection_is_wrong_only_where_all_objects_of_its_category_are_annotated(
    not_exhaustive: list[int], expected: float
) -> None:
    truth = _truth(HERE, not_exhaustive=not_exhaustive)
    assert lvis_average_precision(truth, _found(THERE, HERE))["AP"] == pytest.approx(expected)


@pytest.mark.parametrize(("negative", "expected"), [([], 1.0), ([2], 0.5)])
def test_a_detection_is_wrong_only_where_its_category_was_looked_for(negative: list[int], expected: float) -> None:
    """An object of category 2 on another image is found after a detection of category 2 on image 1, which has none."""
    truth = _truth(HERE, negative=negative)
    truth["annotations"].append({**HERE, "id": 2, "image_id": 2, "category_id": 2})
    found = _found({**THERE, "category_id": 2}) | {2: [{**HERE, "category_id": 2, "score": 0.5}]}
    assert lvis_average_precision(truth, found)["APc"] == pytest.approx(expected)


def test_lvis_categories_are_averaged_by_frequency() -> None:
    truth = _truth(HERE, {**THERE, "category_id": 2}, {**HERE, "category_id": 3}, frequencies="rcc")
    numbers = lvis_average_precision(truth, _found(HERE, {**THERE, "category_id": 2}))
    assert numbers["APr"] == pytest.approx(1)
    assert numbers["APc"] == pytest.approx(0.5)
    assert math.isnan(numbers["APf"])
    assert numbers["AP"] == pytest.approx(2 / 3)


@BOTH
def test_nothing_found_is_0_and_nothing_to_find_is_not_a_number(evaluate: Evaluate) -> None:
    assert evaluate(_truth(HERE), {})["AP"] == 0
    assert evaluate(_truth(HERE), {1: []})["AP50"] == 0
    assert all(math.isnan(value) for value in evaluate(_truth(), _found(HERE)).values())


@BOTH
def test_what_is_given_stays_as_it_is(evaluate: Evaluate) -> None:
    truth, found = _truth(HERE, THERE), _found(HERE, THERE)
    before = copy.deepcopy((truth, found))
    evaluate(truth, found)
    assert (truth, found) == before


@BOTH
def test_what_cannot_be_evaluated_is_refused(evaluate: Evaluate, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="detections on image 3, which the ground truth does not list"):
        evaluate(_truth(HERE), {1: [], 3: []})
    with pytest.raises(ValueError, match="image 1 has a detection of the category 4"):
        evaluate(_truth(HERE), _found({**HERE, "category_id": 4}))
    with pytest.raises(ValueError, match="image 1 has a detection with the score nan"):
        evaluate(_truth(HERE), _found({**HERE, "score": math.nan}))
    evaluate(_truth(HERE), _found(HERE))
    assert capfd.readouterr() == ("", "")  # nothing is printed either


def test_a_ground_truth_that_is_not_lvis_is_refused() -> None:
    without_list, without_letter = _truth(HERE), _truth(HERE)
    del without_list["images"][1]["not_exhaustive_category_ids"]
    del without_letter["categories"][0]["frequency"]
    with pytest.raises(UserError, match="an image lacks neg_category_ids or not_exhaustive_category_ids"):
        lvis_average_precision(without_list, {})
    with pytest.raises(UserError, match="a category lacks its frequency"):
        lvis_average_precision(without_letter, {})


def test_without_hotcoco_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hotcoco", None)
    with pytest.raises(UserError, match=r"needs hotcoco: pip install 'anymask\[lvis\]'"):
        lvis_average_precision(_truth(HERE), _found(HERE))


class Code(dict[str, Any]):
    """A run-length code that a weak reference can watch."""


class Shelf(Mapping[int, list[Json]]):
    """Makes an image's detections when it is asked, and watches how many images' are kept."""

    def __init__(self, numbers: Sequence[int]) -> None:
        self.numbers = numbers
        self.made: list[weakref.ReferenceType[Code]] = []
        self.kept = 0

    def __getitem__(self, image: int) -> list[Json]:
        self.kept = max(self.kept, sum(code() is not None for code in self.made))
        code = Code(HERE["segmentation"])
        self.made.append(weakref.ref(code))
        return [{"category_id": 1, "score": 0.5, "segmentation": code}]

    def __iter__(self) -> Iterator[int]:
        return iter(self.numbers)

    def __len__(self) -> int:
        return len(self.numbers)


def test_lvis_keeps_the_detections_of_no_image_but_the_one_before() -> None:
    """A mapping may read them from a file: those of all the images would not fit in memory."""
    truth = _truth(HERE)
    truth["images"] += [{**truth["images"][1], "id": number} for number in range(3, 10)]
    shelf = Shelf(range(1, 10))
    assert lvis_average_precision(truth, shelf)["AP"] == pytest.approx(1)
    assert len(shelf.made) >= 9
    assert shelf.kept == 1
