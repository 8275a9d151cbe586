"""What point-to-mask writes of each mask. IoUs are 0 to 1, coordinates are (x, y) pixels of the image frame."""

from __future__ import annotations

from typing import TypedDict

from anymask.metrics.overlap import SizeClass

__all__ = ["Calibration", "FloorCourse", "ModelCourse", "Record"]


class FloorCourse(TypedDict):
    """The clicks on one mask and what came of them; both lists end where the mask was left alone."""

    clicks: list[tuple[int, int, int]]  # x, y, label: 1 foreground, 0 background
    ious: list[float]  # after each click, of the mask believed best


class ModelCourse(FloorCourse):
    """The same of the model, with what it offered and believed."""

    oracle_ious: list[float]  # after each click, of the best mask that was offered
    predicted_ious: list[float]  # after each click, the model's own estimate for the mask believed best
    masks: dict[str, str]  # click number -> run-length code of the mask believed best; only what a report shows


class Record(TypedDict):
    """One mask, in the line of its image in ``records.jsonl``."""

    shard: str  # file name of the shard
    image: str  # key of the sample
    image_size: tuple[int, int]  # height, width
    mask: int  # place of the mask in the sample, from 0
    mask_id: int  # the id that the data set gives it, -1 if none
    area: int  # pixels
    size_class: SizeClass
    model: ModelCourse
    floors: dict[str, FloorCourse]  # by the name of the floor


class Calibration(TypedDict):
    """Masks whose estimated IoU after the first click lies in one tenth."""

    low: float  # the tenth begins here; estimates beyond 0 and 1 are in the first and last tenth
    masks: int
    predicted: float  # mean estimate
    true: float  # mean IoU
