"""The records of one image: all its masks go through each round of clicks together, the model's and each floor's."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Int, UInt8
from torch import Tensor

from anymask import masks
from anymask.errors import UserError
from anymask.evaluation.point_to_mask.clicks import Answer, Click, Course, Target, interact, next_click, random_click
from anymask.evaluation.point_to_mask.floors import FLOORS, Floor
from anymask.evaluation.point_to_mask.protocol import PointToMask
from anymask.evaluation.point_to_mask.records import FloorCourse, ModelCourse, Record
from anymask.evaluation.stopwatch import Stopwatch
from anymask.metrics.overlap import size_class
from anymask.structures import Prediction, Sample

__all__ = ["records_of"]

OBJECTS_AT_ONCE = 64
MASK_BYTES = 2**28
"""What the candidate masks of one round may take at the size of the image."""


Predict = Callable[..., Prediction]
"""``Predictor.predict`` of the image at hand: called with points, labels, mask and multimask."""


def records_of(sample: Sample, predict: Predict, task: PointToMask, watch: Stopwatch) -> list[Record]:
    """One record per mask; masks without a pixel that counts have none. The model has been given the image."""
    numbers = [number for number in range(len(sample.masks)) if _pixels(sample, number).any()]
    height, width = sample.image.shape[:2]
    step = max(1, min(OBJECTS_AT_ONCE, MASK_BYTES // (3 * height * width)))
    records: list[Record] = []
    for begin in range(0, len(numbers), step):
        some = numbers[begin : begin + step]
        targets = [_target(sample, number, task) for number in some]
        courses = _model_courses(predict, targets, task, watch)
        floors = {floor: _floor_courses(FLOORS[floor], sample.image, targets, task) for floor in task.floors}
        for row, number in enumerate(some):
            of_floors = {floor: _floor_json(courses_of[row]) for floor, courses_of in floors.items()}
            records.append(_record(sample, number, courses[row], of_floors))
    return records


def _pixels(sample: Sample, number: int) -> Bool[np.ndarray, "h w"]:
    """The mask, as far as it counts."""
    true, ignore = masks.decode(sample.masks[number]), sample.ignore[number]
    return true if ignore is None else true & ~masks.decode(ignore)


def _target(sample: Sample, number: int, task: PointToMask) -> Target:
    true, ignore = np.ascontiguousarray(_pixels(sample, number)), sample.ignore[number]
    counted = None if ignore is None else np.ascontiguousarray(~masks.decode(ignore))
    return Target(true, counted, _first_click(true, task, f"{sample.key}/{number}"))


def _first_click(true: Bool[np.ndarray, "h w"], task: PointToMask, name: str) -> Click:
    """A random one depends on the seed and on the name of the mask alone, not on what was evaluated before."""
    if task.first_click == "random":
        return random_click(true, np.random.default_rng([task.seed, zlib.crc32(name.encode())]))
    click = next_click(true, np.zeros_like(true))
    assert click is not None, "empty masks are dropped before"
    return click


def _model_courses(predict: Predict, targets: list[Target], task: PointToMask, watch: Stopwatch) -> list[Course]:
    previous: dict[int, Tensor] = {}  # object -> logits of the mask believed best

    def ask(objects: Int[np.ndarray, " n"], clicks: Int[np.ndarray, "n k 2"], labels: Int[np.ndarray, "n k"]) -> Answer:
        is_first = clicks.shape[1] == 1
        multimask = task.multimask == "always" or (task.multimask == "first" and is_first)
        feed = task.feed_previous_mask and not is_first
        mask = torch.stack([previous[i] for i in objects.tolist()]) if feed else None
        with watch.measure("answer_prompt", parts=len(objects)):
            prediction = predict(points=clicks, labels=labels, mask=mask, multimask=multimask)
        if not prediction.ious.isfinite().all():
            raise UserError("the model answers with values that are not finite: its weights are damaged")
        best = prediction.ious.argmax(dim=1).tolist()
        previous.update({i: prediction.logits[row, best[row]] for row, i in enumerate(objects.tolist())})
        return Answer(prediction.masks.cpu().numpy(), prediction.ious.cpu().numpy())

    return interact(ask, targets, task.wants_more, keep=task.pictured)


def _floor_courses(
    floor: Floor, image: UInt8[np.ndarray, "h w 3"], targets: list[Target], task: PointToMask
) -> list[Course]:
    def ask(objects: Int[np.ndarray, " n"], clicks: Int[np.ndarray, "n k 2"], labels: Int[np.ndarray, "n k"]) -> Answer:
        drawn = np.stack([floor(image, *of_object) for of_object in zip(clicks, labels, strict=True)])
        return Answer(drawn[:, None], np.zeros((len(objects), 1)))

    return interact(ask, targets, lambda ious: len(ious) < task.floor_clicks[-1])


def _record(sample: Sample, number: int, course: Course, floors: dict[str, FloorCourse]) -> Record:
    area = masks.area(masks.runs(sample.masks[number]))
    model: ModelCourse = {
        **_floor_json(course),
        "oracle_ious": course.oracle_ious,
        "predicted_ious": course.scores,
        "masks": {str(click): rle.counts.decode("ascii") for click, rle in course.masks.items()},
    }
    return {
        "shard": Path(sample.shard).name,
        "image": sample.key,
        "image_size": sample.image.shape[:2],
        "mask": number,
        "mask_id": sample.mask_ids[number],
        "area": area,
        "size_class": size_class(area),
        "model": model,
        "floors": floors,
    }


def _floor_json(course: Course) -> FloorCourse:
    return {"clicks": [(click.x, click.y, click.label) for click in course.clicks], "ious": course.ious}
