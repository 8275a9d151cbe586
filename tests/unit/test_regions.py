from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from anymask.draws import Draws
from anymask.regions import (
    content_mask,
    deepest_pixel,
    mask_iou,
    outermost_pixels,
    resize_logits,
    run_bounds,
    squared_depth,
    uniform_pixel,
)

Bitmaps = np.ndarray[Any, np.dtype[np.bool_]]
BITMAPS = npst.arrays(np.bool_, npst.array_shapes(min_dims=3, max_dims=3, max_side=8))


def _drawn(*pictures: str) -> torch.Tensor:
    return torch.tensor([[[letter == "#" for letter in line] for line in picture.split()] for picture in pictures])


def _brute_force_depth(bitmap: Bitmaps) -> list[list[int]]:
    padded = np.pad(bitmap, 1)
    outside = np.argwhere(~padded) - 1
    return [
        [int(((outside - (row, column)) ** 2).sum(axis=1).min()) for column in range(bitmap.shape[1])]
        for row in range(bitmap.shape[0])
    ]


@settings(max_examples=60)
@given(BITMAPS)
def test_depth_is_the_least_squared_distance_to_the_outside(bitmaps: Bitmaps) -> None:
    depth = squared_depth(torch.from_numpy(bitmaps))
    assert depth.tolist() == [_brute_force_depth(bitmap) for bitmap in bitmaps]


def test_depth_is_that_of_the_exact_distance_transform() -> None:
    chance = np.random.default_rng(0)
    noise = cv2.resize(chance.normal(size=(9, 9)), (70, 50), interpolation=cv2.INTER_CUBIC)
    bitmap = noise > -0.5
    exact = cv2.distanceTransform(np.pad(bitmap, 1).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    depth = squared_depth(torch.from_numpy(bitmap)[None])[0].numpy()
    assert depth.max() > 25
    np.testing.assert_allclose(np.sqrt(depth), exact, atol=1e-3)


@pytest.mark.parametrize(
    ("picture", "pixel", "squared"),
    [
        ("..... .###. .###. .###. .....", (2, 2), 4),
        ("##### ##### ##### ##### #####", (2, 2), 9),  # beyond the bitmap is outside
        ("#.... ..... ..... ..... .....", (0, 0), 1),
        ("##.## ##.## ..... ..... .....", (0, 0), 1),  # of equal ones the first
        ("..... ..... ..... ..... .....", (0, 0), 0),
        (".#### .#### .#### .#### .####", (2, 1), 4),  # so do (3, 1), (2, 2) and (3, 2)
    ],
)
def test_the_deepest_pixel_is_column_and_row(picture: str, pixel: tuple[int, int], squared: int) -> None:
    pixels, depth = deepest_pixel(_drawn(picture))
    assert tuple(pixels[0].tolist()) == pixel
    assert depth.tolist() == [squared]


@settings(max_examples=60)
@given(BITMAPS, st.integers(0, 2**20))
def test_a_uniform_pixel_lies_inside_where_there_is_an_inside(bitmaps: Bitmaps, seed: int) -> None:
    pixels, has_any = uniform_pixel(torch.from_numpy(bitmaps), Draws(seed + torch.arange(len(bitmaps))))
    assert has_any.tolist() == bitmaps.any(axis=(1, 2)).tolist()
    for bitmap, (column, row), some in zip(bitmaps, pixels.tolist(), has_any.tolist(), strict=True):
        assert bitmap[row, column] or not some


def test_all_pixels_are_equally_likely() -> None:
    number = 20_000
    mask = _drawn("#..# .... .##. #...")  # rows of different weight
    pixels, _ = uniform_pixel(mask.expand(number, -1, -1), Draws(torch.arange(number)))
    counts = torch.zeros(4, 4).index_put((pixels[:, 1], pixels[:, 0]), torch.ones(number), accumulate=True)
    standard_error = (number * 0.2 * 0.8) ** 0.5
    assert counts[~mask[0]].sum() == 0
    assert (counts[mask[0]] - number / 5).abs().max() < 4 * standard_error


def test_the_same_seeds_draw_the_same_pixels() -> None:
    masks = torch.ones(50, 30, 20, dtype=torch.bool)
    first, second = (uniform_pixel(masks, Draws(torch.arange(50)))[0] for _ in range(2))
    assert torch.equal(first, second)
    assert len(first.unique(dim=0)) > 40


def test_iou_of_masks_paired_by_position() -> None:
    predicted = _drawn("##.. ....", ".... ....", "#... ....", "#### ####")
    true = _drawn(".##. ....", ".... ....", "...# ....", "#### ....")
    assert mask_iou(predicted, true).tolist() == pytest.approx([1 / 3, 1, 0, 0.5])


def test_the_content_is_where_centres_of_cells_lie_on_the_photograph() -> None:
    # 8 model pixels on 4 cells: centres at 1, 3, 5, 7.
    inside = content_mask(torch.tensor([[8, 3], [2, 8]]), image_size=8, side=4)
    assert torch.equal(inside, _drawn("#... #... #... #...", "#### .... .... ...."))


def test_logits_of_the_right_size_are_left_alone_and_others_are_interpolated() -> None:
    logits = torch.tensor([[[[0.0, 4.0], [0.0, 4.0]]]])
    assert resize_logits(logits, 2) is logits
    assert resize_logits(logits, 4)[0, 0, 0].tolist() == [0, 1, 3, 4]


@pytest.mark.parametrize(
    ("picture", "outermost"),
    [
        ("..... .##.. .#.#. .....", [1, 1, 3, 2]),
        ("....# ..... ..... #....", [0, 0, 4, 3]),
        ("..... ..... ....# .....", [4, 2, 4, 2]),
        ("..... ..... ..... .....", [0, 0, 0, 0]),
    ],
)
def test_the_outermost_pixels_are_those_of_a_drawing(picture: str, outermost: list[int]) -> None:
    assert outermost_pixels(_drawn(picture, "##### ##### ##### #####")).tolist() == [outermost, [0, 0, 4, 3]]


def test_runs_go_down_the_columns_and_end_below_their_last_pixel() -> None:
    first, second, third = run_bounds(_drawn(".##. .##. ..#. ..##", ".... .... .... ....", "#... .... .... #..."))
    assert [bounds.tolist() for bounds in first] == [[[1, 0], [2, 0], [3, 3]], [[1, 2], [2, 4], [3, 4]]]
    assert [bounds.tolist() for bounds in second] == [[], []]
    assert [bounds.tolist() for bounds in third] == [[[0, 0], [0, 3]], [[0, 1], [0, 4]]]


def test_no_masks_have_no_runs() -> None:
    assert run_bounds(torch.zeros(0, 3, 3, dtype=torch.bool)) == []


@settings(max_examples=60)
@given(BITMAPS)
def test_runs_cover_the_mask(bitmaps: Bitmaps) -> None:
    for bitmap, (starts, ends) in zip(bitmaps, run_bounds(torch.from_numpy(bitmaps)), strict=True):
        drawn = np.zeros_like(bitmap)
        for (column, top), (same, bottom) in zip(starts, ends, strict=True):
            assert column == same
            assert not drawn[max(top - 1, 0) : bottom + 1, column].any()  # runs of a column are apart
            drawn[top:bottom, column] = True
        assert np.array_equal(drawn, bitmap)
