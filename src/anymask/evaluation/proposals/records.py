"""What object proposals leave of each image."""

from __future__ import annotations

from typing import TypedDict

__all__ = ["Found", "Record"]


class Found(TypedDict):
    """How many of an image's objects are among the proposals; a group without objects is left out."""

    by_cutoff: dict[str, list[int]]  # group -> after each cutoff, summed over the ten IoU thresholds
    by_iou: list[int]  # of all objects: among all proposals, at each threshold
    proposals: int  # that were counted


class Record(TypedDict):
    """One image: the only entry of its line in ``records.jsonl``."""

    shard: str  # file name
    image: str  # key of the sample
    image_size: tuple[int, int]  # height, width
    objects: dict[str, int]  # by group, those that there are
    masks: int  # that the model offered, before the best were taken
    model: Found
    floors: dict[str, Found]  # by the name of the floor
    best: list[tuple[str, float]]  # run-length code and predicted IoU of the first masks; of a few images, for pictures
