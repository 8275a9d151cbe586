"""Which detections are right and which are wrong, on COCO and on LVIS: what average precision is made of.

pycocotools matches the detections of one category on one image, as the official evaluation of COCO does. What
surrounds it here keeps out known ways to a wrong number: an annotation with the id 0 is never found, two with the same
id are one, a result with a ``bbox`` beside its mask is small, medium or large by the box, and a ground truth without
``iscrowd`` breaks off.

LVIS is annotated in part: a detection can be wrong only where its category was looked for, which is where an object of
it is annotated or where the image lists it as negative; and not where the image lists it as not exhaustive (Gupta,
Dollár and Girshick 2019). Of an image's detections, all categories together, the 300 best count. Versions 0.5 and 1
have the same rules, and those of lvis-api are otherwise COCO's.
"""

from __future__ import annotations

import io
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Int
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from anymask.errors import UserError

__all__ = ["LIMITS", "SIZES", "Benchmark", "Detections", "Entry", "Kind", "Verdict", "Verdicts", "check_lvis", "judge"]

Kind = Literal["segm", "bbox"]
"""What the overlap is measured of: masks, or boxes."""

Benchmark = Literal["coco", "lvis"]
"""Whose rules."""

Entry = Mapping[str, Any]
Detections = Mapping[int, Sequence[Entry]]
"""By the id of the image, ``{"category_id", "score"}`` with a ``segmentation`` (a compressed run-length code) or a
``bbox`` (x, y, width, height), whichever is measured; all else is left unread. Images without any may be absent."""

SIZES = ("", "s", "m", "l")
"""All, small, medium and large; in the order of pycocotools' area ranges."""

LIMITS: dict[Benchmark, int] = {"coco": 100, "lvis": 300}
"""Of the detections on an image so many count, the best: of each category on COCO, of all together on LVIS."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """On the D detections of one category in one size class, best score first, at the ten thresholds of IoU.

    What is neither right nor wrong was found of a crowd, of another size, or where LVIS cannot tell.
    """

    image: Int[np.ndarray, " d"]  # its place in ``Verdicts.images``
    place: Int[np.ndarray, " d"]  # among the detections of the category on the image, best first, from 0
    right: Bool[np.ndarray, "t d"]
    wrong: Bool[np.ndarray, "t d"]
    objects: Int[np.ndarray, " images"]  # that are to be found on each image


@dataclass(frozen=True, slots=True)
class Verdicts:
    """On all detections. Categories without an object that counts have none."""

    benchmark: Benchmark
    images: tuple[int, ...]  # ids, in rising order
    categories: tuple[Entry, ...]  # in rising order of their ids
    of: dict[tuple[int, str], Verdict]  # by the category's id and the size


@dataclass(frozen=True, slots=True)
class _Matched:
    """One category on one image in one size class, as pycocotools has it."""

    image: int
    scores: Float[np.ndarray, " d"]
    right: Bool[np.ndarray, "t d"]
    wrong: Bool[np.ndarray, "t d"]
    objects: int


def judge(truth: Entry, detections: Detections, kind: Kind = "segm", *, benchmark: Benchmark) -> Verdicts:
    """``truth`` is the content of an instances file.

    The images are taken one after the other and nothing is kept of their masks: ``detections`` may read them from a
    file when asked. Raises ValueError for detections on images or of categories that the ground truth does not list,
    and for scores that are not finite; UserError where LVIS's rules are asked for and the ground truth is not LVIS's.
    """
    if benchmark == "lvis":
        check_lvis(truth)
    objects = _objects(truth, crowds=benchmark == "coco")
    matched: dict[tuple[int, str], list[_Matched]] = defaultdict(list)
    images = sorted(image["id"] for image in truth["images"])
    with redirect_stdout(io.StringIO()):  # pycocotools tells its progress
        for place, (image, found) in enumerate(_image_by_image(truth, detections, kind)):
            here = objects[image["id"]]
            lenient: set[int] = set()
            if benchmark == "lvis":
                found = _that_count_on_lvis(image, here, found)
                lenient = set(image["not_exhaustive_category_ids"])
            for category, size, said in _match(image, here, found, kind, LIMITS[benchmark]):
                matched[category, size].append(_matched(place, said, is_lenient=category in lenient))
    categories = tuple(sorted(truth["categories"], key=lambda category: int(category["id"])))
    joined = {key: _join(some, len(images)) for key, some in matched.items() if any(one.objects for one in some)}
    return Verdicts(benchmark, tuple(images), categories, joined)


def check_lvis(truth: Entry) -> None:
    """Raises UserError for a ground truth that is not LVIS's; its annotations are not looked at."""
    if any("neg_category_ids" not in image or "not_exhaustive_category_ids" not in image for image in truth["images"]):
        raise UserError(
            "the ground truth is not LVIS's: an image lacks neg_category_ids or not_exhaustive_category_ids"
        )
    if any(category.get("frequency") not in ("r", "c", "f") for category in truth["categories"]):
        raise UserError("the ground truth is not LVIS's: a category lacks its frequency, r, c or f")


def _image_by_image(truth: Entry, detections: Detections, kind: Kind) -> Iterator[tuple[Entry, list[dict[str, Any]]]]:
    """In rising order of ids, which is that of equal scores; nothing but what overlaps, so that the area is its."""
    images = {image["id"]: image for image in truth["images"]}
    strangers = detections.keys() - images.keys()
    if strangers:
        raise ValueError(f"there are detections on image {min(strangers)}, which the ground truth does not list")
    categories = {category["id"] for category in truth["categories"]}
    fields = ("category_id", "score", "segmentation" if kind == "segm" else "bbox")
    for number in sorted(images):
        found = [{"image_id": number} | {key: entry[key] for key in fields} for entry in detections.get(number, ())]
        for entry in found:
            if entry["category_id"] not in categories:
                raise ValueError(f"image {number} has a detection of the category {entry['category_id']}, not listed")
            if not math.isfinite(entry["score"]):
                raise ValueError(f"image {number} has a detection with the score {entry['score']}")
        yield images[number], found


def _objects(truth: Entry, *, crowds: bool) -> dict[int, list[dict[str, Any]]]:
    """By image, with nothing but what is measured; an ``ignore`` beside ``iscrowd`` is not, and LVIS has no crowds."""
    fields = ("image_id", "category_id", "segmentation", "bbox", "area")
    objects = defaultdict(list)
    for entry in truth["annotations"]:
        measured = {key: entry[key] for key in fields if key in entry}
        objects[entry["image_id"]].append(measured | {"iscrowd": entry.get("iscrowd", 0) if crowds else 0})
    return objects


def _that_count_on_lvis(
    image: Entry, objects: Sequence[Entry], found: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    searched = {entry["category_id"] for entry in objects} | set(image["neg_category_ids"])
    best = sorted(found, key=lambda entry: -float(entry["score"]))[: LIMITS["lvis"]]
    return [entry for entry in best if entry["category_id"] in searched]


def _match(
    image: Entry, objects: list[dict[str, Any]], found: list[dict[str, Any]], kind: Kind, limit: int
) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Category, size, and what pycocotools says; ids from 1, since 0 is its "not found"."""
    categories = sorted({entry["category_id"] for entry in (*objects, *found)})
    for number, entry in enumerate(objects, start=1):
        entry["id"] = number
    for number, entry in enumerate(found, start=1):
        entry |= {"id": number, "area": _area(entry)}
    evaluation = COCOeval(_indexed(image, objects), _indexed(image, found), kind)
    evaluation.params.imgIds, evaluation.params.catIds = [image["id"]], categories
    evaluation.params.maxDets = [limit]
    evaluation.evaluate()
    for (category, size), said in zip(product(categories, SIZES), evaluation.evalImgs, strict=True):
        yield category, size, said


def _matched(place: int, said: dict[str, Any], *, is_lenient: bool) -> _Matched:
    scores = np.array(said["dtScores"], dtype=np.float64)
    is_found, is_ignored = said["dtMatches"] > 0, said["dtIgnore"].astype(bool)
    wrong = np.zeros_like(is_found) if is_lenient else ~is_found & ~is_ignored
    return _Matched(place, scores, is_found & ~is_ignored, wrong, int((said["gtIgnore"] == 0).sum()))


def _join(some: Sequence[_Matched], images: int) -> Verdict:
    """By falling score; of equal ones the earlier image's first, and on an image in the order of the detections."""
    order = np.argsort(-np.concatenate([one.scores for one in some]), kind="stable")
    counts = np.zeros(images, dtype=np.int64)
    counts[[one.image for one in some]] = [one.objects for one in some]
    return Verdict(
        image=np.repeat([one.image for one in some], [len(one.scores) for one in some])[order],
        place=np.concatenate([np.arange(len(one.scores)) for one in some])[order],
        right=np.concatenate([one.right for one in some], axis=1)[:, order],
        wrong=np.concatenate([one.wrong for one in some], axis=1)[:, order],
        objects=counts,
    )


def _area(entry: Entry) -> float:
    return float(
        coco_mask.area(entry["segmentation"]) if "segmentation" in entry else entry["bbox"][2] * entry["bbox"][3]
    )


def _indexed(image: Entry, entries: list[dict[str, Any]]) -> COCO:
    categories = [{"id": number} for number in sorted({entry["category_id"] for entry in entries})]
    coco = COCO()
    coco.dataset = {"images": [image], "categories": categories, "annotations": entries}
    coco.createIndex()
    return coco
