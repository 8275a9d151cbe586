from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from jaxtyping import UInt8

from anymask.evaluation.proposals.floors import FLOORS, boxes, felzenszwalb, segments
from anymask.masks import area, box, decode, runs


def photograph(height: int = 120, width: int = 160) -> UInt8[np.ndarray, "h w 3"]:
    """A red disc and a blue square on grey."""
    image = np.full((height, width, 3), 128, dtype=np.uint8)
    cv2.circle(image, (width // 4, height // 2), height // 6, (220, 30, 30), -1)
    image[height // 4 : height // 2, width // 2 : 3 * width // 4] = (20, 20, 200)
    return image


def iou(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> float:
    return float((a & b).sum() / (a | b).sum())


@pytest.mark.parametrize("size", [(120, 160), (480, 333)])
def test_boxes_cover_the_photograph_from_large_to_small(size: tuple[int, int]) -> None:
    found = boxes(np.zeros((*size, 3), dtype=np.uint8))
    areas = [area(runs(rle)) for rle in found]
    assert len(found) == len({rle.counts for rle in found}) == 1000
    assert found == boxes(photograph(*size))
    assert areas[0] > 0.7 * size[0] * size[1]
    assert np.mean(areas[:100]) > 3 * np.mean(areas[-100:])
    covered = np.any([decode(rle) for rle in found[-500:]], axis=0)
    assert covered.mean() > 0.9
    for rle in found[::97]:
        x0, y0, x1, y1 = box(runs(rle), size[0])
        assert decode(rle)[y0:y1, x0:x1].all()
        assert rle.size == size


@pytest.mark.parametrize("floor", FLOORS)
@pytest.mark.parametrize("size", [(1, 1), (2, 300), (300, 1), (7, 9)])
def test_thin_photographs(floor: str, size: tuple[int, int]) -> None:
    found = FLOORS[floor](np.full((*size, 3), 50, dtype=np.uint8))
    assert 1 <= len(found) <= 1000
    assert all(rle.size == size and area(runs(rle)) > 0 for rle in found)


def test_segments_find_what_has_one_colour() -> None:
    image = photograph()
    found = felzenszwalb(image)
    for true in (image[..., 0] > 200, image[..., 2] > 180):
        assert max(iou(decode(rle), true) for rle in found) > 0.85
    assert len({rle.counts for rle in found}) == len(found)
    assert found == felzenszwalb(image)


def test_segments_are_of_the_photographs_size_though_worked_out_on_a_smaller_one() -> None:
    image = photograph(400, 640)
    found = felzenszwalb(image)
    assert {rle.size for rle in found} == {(400, 640)}
    assert max(iou(decode(rle), image[..., 2] > 180) for rle in found) > 0.85


@settings(max_examples=60)
@given(npst.arrays(np.int32, npst.array_shapes(min_dims=2, max_dims=2, max_side=7), elements=st.integers(-1, 3)))
def test_each_label_is_a_mask(labels: np.ndarray[Any, Any]) -> None:
    found = segments(labels)
    expected = {(labels == label).tobytes() for label in np.unique(labels)}
    assert {np.ascontiguousarray(decode(rle)).tobytes() for rle in found} == expected
    assert len(found) == len(expected)
    areas = [area(runs(rle)) for rle in found]
    assert areas == sorted(areas, reverse=True)
