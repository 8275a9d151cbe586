"""From records to numbers: average precision of the model, of the floors and of the detector's own masks."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from anymask import masks
from anymask.data.coco import GroundTruth
from anymask.data.detections import Detections
from anymask.evaluation.bootstrap import bootstrap_errors
from anymask.evaluation.instance_segmentation.floors import FLOORS
from anymask.evaluation.instance_segmentation.protocol import InstanceSegmentation
from anymask.evaluation.instance_segmentation.records import Record
from anymask.evaluation.results import Numbers, Verdict
from anymask.metrics.average_precision import AT_50, AT_75, precision_over_recall, summary
from anymask.metrics.verdicts import LIMITS, Entry, Verdicts, judge
from anymask.structures import Rle

__all__ = ["HEADLINES", "numbers", "overlaps", "verdict"]

HEADLINES = ("ap", "aps", "apm", "apl")
"""What the paper reports, and what a floor has to be beaten in."""

EACH = 3  # best, median and worst images that a report shows
ERRORS_ARE = "over images: the standard deviation over {} draws of as many images, with repetitions (bootstrap)"

NO_DETECTION: Verdict = {
    "beats_every_floor": None,
    "sentence": "There was no detection on these images: nothing was measured.",
}

RECALLS = tuple(f"AR@{limit}" for limit in LIMITS.values())
"""With as many detections as count."""

Values = dict[str, float | None]
Json = dict[str, Any]
Draw = Callable[[Record, int], Json]
"""The mask of an image's detection of this number, or its box."""


class _Drawn(Mapping[int, Sequence[Entry]]):
    """Detections by image with masks that are made when they are asked for: those of all would take gigabytes."""

    def __init__(self, records: Sequence[Record], draw: Draw) -> None:
        self._records, self._draw = {record["image_id"]: record for record in records}, draw

    def __getitem__(self, image: int) -> list[Json]:
        record = self._records[image]
        said = zip(record["category_ids"], record["scores"], strict=True)
        return [
            {"category_id": category, "score": score, **self._draw(record, number)}
            for number, (category, score) in enumerate(said)
        ]

    def __iter__(self) -> Iterator[int]:
        return iter(self._records)

    def __len__(self) -> int:
        return len(self._records)


def numbers(
    records: Sequence[Record], truth: GroundTruth, detections: Detections, settings: InstanceSegmentation
) -> Numbers:
    """All of ``results.json`` that is this task's; the objects are those of the images that have a record."""
    benchmark = settings.benchmark
    assert benchmark != "auto", "the task has looked at the ground truth"
    objects = _objects(truth, records)
    content = objects.as_json()
    draws: dict[str, Draw] = {"model": _by_model} | {floor: _by_floor(floor) for floor in settings.floors}
    if own := _by_detector(records, detections):
        draws["detector"] = own
    verdicts = {name: judge(content, _Drawn(records, draw), benchmark=benchmark) for name, draw in draws.items()}
    boxes = judge(content, _Drawn(records, _by_box), "bbox", benchmark=benchmark)
    values = {name: _values(summary(some)) for name, some in verdicts.items()}
    errors = {name: _errors(verdicts[name], settings.bootstrap) for name in ("model", *settings.floors)}
    floors = {floor: values[floor] for floor in settings.floors}
    return {
        "metrics": values["model"],
        "standard_errors": errors["model"],
        "errors_are": ERRORS_ARE.format(settings.bootstrap) if settings.bootstrap else "not computed: bootstrap=0",
        "floors": floors,
        "floor_standard_errors": {floor: errors[floor] for floor in settings.floors},
        "verdict": verdict(values["model"], floors) if any(record["scores"] for record in records) else NO_DETECTION,
        "counts": _counts(records, objects) | _left_out(detections),
        "details": {
            "benchmark": benchmark,
            "detector": {"box_ap": _values(summary(boxes))["ap"], "masks": values.get("detector")},
            "precision_over_recall": {name: _curves(some) for name, some in verdicts.items()},
            "pictured": _pictured(overlaps(records, objects), records),
        },
    }


def verdict(metrics: Values, floors: dict[str, Values]) -> Verdict:
    """Whether the model is above every floor, on all objects and on those of each size that there are."""
    if not floors:
        return {"beats_every_floor": None, "sentence": "No floor was run: whether the model has learned is not known."}
    pairs = [
        (name, floor, ours, theirs)
        for floor, values in floors.items()
        for name in HEADLINES
        if (ours := metrics[name]) is not None and (theirs := values[name]) is not None
    ]
    unbeaten = [
        f"the {floor} in {_written(name)} ({ours:.3f} against {theirs:.3f})"
        for name, floor, ours, theirs in pairs
        if ours <= theirs
    ]
    if unbeaten:
        sentence = f"The model adds nothing to the boxes: it does not beat {'; '.join(unbeaten)}."
        return {"beats_every_floor": False, "sentence": sentence}
    margin = min(ours - theirs for name, _, ours, theirs in pairs if name == "ap") if pairs else math.nan
    if math.isnan(margin):
        return {"beats_every_floor": None, "sentence": "There is no object that counts: nothing was measured."}
    sentence = f"The model beats every floor at objects of every size, by at least {margin:.3f} of AP."
    return {"beats_every_floor": True, "sentence": sentence}


def overlaps(records: Sequence[Record], objects: GroundTruth) -> dict[int, float]:
    """Of each image with objects, the mean of their IoU with the mask of their category that is nearest to them.

    By the image's id; scores play no part. Crowd regions are none of them, nor are masks without a pixel.
    """
    means = {}
    for record in records:
        truths, found = defaultdict(list), defaultdict(list)
        for annotation in objects.annotations[record["image_id"]]:
            if not annotation.crowd and masks.area(masks.runs(annotation.mask)):
                truths[annotation.category_id].append(masks.rle_to_json(annotation.mask))
        for number, category in enumerate(record["category_ids"]):
            found[category].append(_by_model(record, number)["segmentation"])
        best = [_nearest(some, found[category]) for category, some in truths.items()]
        if best:
            means[record["image_id"]] = float(np.concatenate(best).mean())
    return means


def _nearest(truths: list[Json], found: list[Json]) -> np.ndarray[Any, np.dtype[np.float64]]:
    if not found:
        return np.zeros(len(truths))
    return np.asarray(coco_mask.iou(found, truths, [0] * len(truths))).max(axis=0)


def _objects(truth: GroundTruth, records: Sequence[Record]) -> GroundTruth:
    """Of the images that have a record."""
    ids = [record["image_id"] for record in records]
    return replace(
        truth,
        images={number: truth.images[number] for number in ids},
        annotations={number: truth.annotations[number] for number in ids},
    )


def _by_model(record: Record, number: int) -> Json:
    return {"segmentation": {"size": list(record["image_size"]), "counts": record["masks"][number]}}


def _by_box(record: Record, number: int) -> Json:
    return {"bbox": list(record["boxes"][number])}


def _by_floor(floor: str) -> Draw:
    def draw(record: Record, number: int) -> Json:
        height, width = record["image_size"]
        x, y, across, down = record["boxes"][number]
        return {"segmentation": masks.rle_to_json(FLOORS[floor]((x, y, across, down), (height, width)))}

    return draw


def _by_detector(records: Sequence[Record], detections: Detections) -> Draw | None:
    """Where it has made a mask of every box."""
    own = {record["image_id"]: detections.by_image.get(record["image_id"], ()) for record in records}
    if not any(own.values()) or any(detection.mask is None for some in own.values() for detection in some):
        return None

    def draw(record: Record, number: int) -> Json:
        return {"segmentation": _json(own[record["image_id"]][number].mask)}

    return draw


def _json(mask: Rle | None) -> Json:
    assert mask is not None, "every detection has one"
    return masks.rle_to_json(mask)


def _values(by_name: dict[str, float]) -> Values:
    """By our names, None for NaN; recall only with as many detections as the benchmark allows."""
    kept = {name: value for name, value in by_name.items() if name.startswith("AP") or name in RECALLS}
    return {
        "ar" if name in RECALLS else name.lower(): None if math.isnan(value) else value for name, value in kept.items()
    }


def _errors(verdicts: Verdicts, draws: int) -> Values:
    places = range(len(verdicts.images))

    def measure(drawn: Sequence[int]) -> Values:
        return _values(summary(verdicts, np.bincount(drawn, minlength=len(places))))

    names = _values(summary(verdicts))
    return dict.fromkeys(names) | bootstrap_errors(places, measure, draws=draws)


def _curves(verdicts: Verdicts) -> dict[str, list[float] | None]:
    """At an IoU of .50 and .75."""
    curves = {name: precision_over_recall(verdicts, place) for name, place in (("50", AT_50), ("75", AT_75))}
    return {name: None if np.isnan(some).any() else some.round(4).tolist() for name, some in curves.items()}


def _counts(records: Sequence[Record], objects: GroundTruth) -> dict[str, int]:
    annotations = [annotation for some in objects.annotations.values() for annotation in some]
    return {
        "detections": sum(len(record["scores"]) for record in records),
        "images_without_detection": sum(not record["scores"] for record in records),
        "objects": sum(not annotation.crowd for annotation in annotations),
        "crowd_regions": sum(annotation.crowd for annotation in annotations),
        "categories": len({annotation.category_id for annotation in annotations}),
        "boxes_beyond_the_image": sum(_beyond(record) for record in records),
    }


def _left_out(detections: Detections) -> dict[str, int]:
    return {f"left_out_for_{reason.replace(' ', '_')}": count for reason, count in sorted(detections.left_out.items())}


def _beyond(record: Record) -> int:
    """Boxes that are not all inside the image."""
    rows, columns = record["image_size"]
    return sum(x < 0 or y < 0 or x + width > columns or y + height > rows for x, y, width, height in record["boxes"])


def _pictured(means: Mapping[int, float], records: Sequence[Record]) -> dict[str, list[tuple[str, str, float]]]:
    """Shard, key and overlap of the images that a report shows, by groups."""
    with_boxes = [record for record in records if record["scores"] and record["image_id"] in means]
    ranked = sorted(with_boxes, key=lambda record: -means[record["image_id"]])
    each = min(EACH, len(ranked))
    middle = (len(ranked) - each) // 2
    groups = {"best": ranked[:each], "median": ranked[middle : middle + each], "worst": ranked[::-1][:each]}
    return {
        name: [(record["shard"], record["image"], round(means[record["image_id"]], 4)) for record in some]
        for name, some in groups.items()
    }


def _written(metric: str) -> str:
    return f"AP{metric.removeprefix('ap')}"
