"""AP by its definition, written out on bitmaps and lists, far from what the tools do; and cases for it."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anymask.masks import decode, encode, rle_to_json
from anymask.structures import Rle

REAL = Path(__file__).resolve().parents[3] / "../shared/data/eval"
needs_real_data = pytest.mark.skipif(not REAL.is_dir(), reason="the real data sets are not at hand (../shared/data)")

Json = dict[str, Any]
Bitmap = np.ndarray[Any, np.dtype[np.bool_]]
Found = dict[int, list[Json]]
SIZE = (40, 40)


def read_json(path: Path) -> Any:
    return json.loads(path.read_text())


def by_image(entries: Iterable[Json]) -> Found:
    found: Found = defaultdict(list)
    for entry in entries:
        found[entry["image_id"]].append(entry)
    return found


def rectangle(x0: int, y0: int, x1: int, y1: int, size: tuple[int, int] = SIZE) -> Json:
    bitmap = np.zeros(size, dtype=bool)
    bitmap[y0:y1, x0:x1] = True
    return shape(bitmap)


def shape(bitmap: Bitmap) -> Json:
    rows, columns = np.nonzero(bitmap)
    box = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1] if len(rows) else [0, 0, 0, 0]
    area = float(bitmap.sum())
    return {"segmentation": rle_to_json(encode(bitmap)), "bbox": [float(side) for side in box], "area": area}


def rle_of(entry: Json) -> Rle:
    segmentation = entry["segmentation"]
    return Rle(tuple(segmentation["size"]), segmentation["counts"].encode())


def make_truth(
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


def make_found(*entries: Json) -> Found:
    """On image 1, by falling score."""
    return {1: [{"category_id": 1, "score": 1.0 - 0.001 * place, **entry} for place, entry in enumerate(entries)]}


# ---- the definition ----

THRESHOLDS = [0.5 + 0.05 * k for k in range(10)]
LEVELS = np.linspace(0, 1, 101).tolist()
AREAS = {"": (0, 1e10), "s": (0, 1024), "m": (1024, 9216), "l": (9216, 1e10)}
Pair = tuple[float | None, float | None]


def define(truth: Json, found: Found, *, lvis: bool) -> dict[str, float]:
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
            overlap = _overlap(rle_of(detection), rle_of(objects[place]), bool(objects[place].get("iscrowd", 0)))
            if overlap >= threshold - 1e-12:
                candidates.append((not ignored[place], overlap, place))
        if candidates:  # regular before ignored, then the overlap, then the later one
            is_regular, _, place = max(candidates)
            free -= set() if objects[place].get("iscrowd", 0) else {place}
            verdicts += [(detection["score"], True)] if is_regular else []
        elif bounds[0] <= _pixels(rle_of(detection)) <= bounds[1] and not lenient:
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


def draw_case(seed: int, *, crowds: bool) -> tuple[Json, Found]:
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
            annotations.append({"image_id": number, "category_id": category, **shape(bitmap)})
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
    its_shape = shape(bitmap)
    del its_shape["area"]
    return {"category_id": category, "score": float(chance.choice([0.1, 0.5, 0.9])), **its_shape}


def same(expected: dict[str, float]) -> Any:
    return pytest.approx(expected, rel=0, abs=1e-9, nan_ok=True)
