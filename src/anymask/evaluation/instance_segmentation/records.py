"""What instance segmentation writes of an image: the detector's boxes and the masks that the model made of them."""

from __future__ import annotations

from typing import TypedDict

__all__ = ["Record"]


class Record(TypedDict):
    """One image. All lists have an entry for each of its detections, in the order of the detector's file."""

    shard: str  # name of the ground truth's file
    image: str  # key of the sample
    image_id: int  # in the ground truth
    image_size: tuple[int, int]  # height, width
    category_ids: list[int]
    scores: list[float]  # the detector's
    boxes: list[tuple[float, float, float, float]]  # x, y, width, height in the image frame, as they were given
    predicted_ious: list[float]  # the model's own estimate
    masks: list[str]  # compressed run lengths
