"""What edges writes of each image: counts of pixels, from which every number is made."""

from __future__ import annotations

from typing import TypedDict

__all__ = ["EdgeCounts", "Record"]


class EdgeCounts(TypedDict):
    """Of one map; lists have an element for each threshold, the lowest first."""

    boundary: int  # pixels that people drew, summed over the annotators
    found: list[int]  # of these, with a partner on the map
    drawn: list[int]  # pixels of the thinned map
    right: list[int]  # of these, with a partner for any annotator
    best_threshold: float  # the first with the highest F
    best_f: float


class Record(TypedDict):
    """One image."""

    shard: str  # file name of the shard, or name of the folder of photographs
    image: str  # key
    image_size: tuple[int, int]  # height, width
    annotators: int
    masks: int | None  # that the map was drawn from; None where it was read
    model: EdgeCounts
    floors: dict[str, EdgeCounts]  # by the name of the floor
