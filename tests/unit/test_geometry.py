from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil
from transformers.models.sam.processing_sam import SamProcessor

from anymask.geometry import Frame, crop_to_content, resize_image

SIDES = st.integers(1, 3000)
REFERENCE = SamProcessor(SamImageProcessorPil())


@settings(max_examples=100)
@given(SIDES, SIDES, st.sampled_from([64, 256, 1024]))
def test_a_photograph_takes_the_room_that_the_official_code_gives_it(height: int, width: int, side: int) -> None:
    official = REFERENCE.image_processor._get_preprocess_shape((height, width), side)
    assert Frame.of((height, width), side).content == (max(1, official[0]), max(1, official[1]))


@settings(max_examples=50)
@given(st.integers(30, 3000), st.integers(30, 3000), st.integers(0, 20), st.integers(0, 20))
def test_points_move_as_in_the_official_code(height: int, width: int, x: int, y: int) -> None:
    points = np.array([[x, y], [width - 1, height - 1]], dtype=np.float32)
    frame = Frame.of((height, width), 1024)
    moved = frame.points_to_model(torch.from_numpy(points))
    official = REFERENCE._normalize_coordinates(1024, points, (height, width))
    np.testing.assert_allclose(moved.numpy(), official, rtol=1e-5, atol=1e-3)


def test_a_crop_has_the_origin_at_its_corner() -> None:
    frame = Frame((10, 20, 30, 60), side=80)  # 20 wide, 40 high: twice as large in the model frame
    assert frame.cropped == (40, 20)
    assert frame.content == (80, 40)
    assert frame.scale == (2.0, 2.0)
    assert frame.points_to_model(torch.tensor([[10.0, 20.0], [15.0, 21.0]])).tolist() == [[0, 0], [10, 2]]


def test_a_crop_may_be_mirrored_and_fill_a_part_of_the_square() -> None:
    frame = Frame((10, 20, 30, 60), side=80, fill=0.5, mirrored=True)  # 20 x 40 pixels, as large in the model frame
    assert frame.content == (40, 20)
    points = torch.tensor([[10.0, 20.0], [12.0, 21.0], [29.0, 59.0]])
    moved = frame.points_to_model(points)
    assert moved.tolist() == [[19, 0], [17, 1], [0, 39]]
    rows, columns = frame.sampled_pixels(80)
    assert rows.tolist() == list(range(20, 60))
    assert columns.tolist() == list(range(29, 9, -1))


def test_the_scale_is_that_of_the_rounded_size() -> None:
    frame = Frame.of((3, 10), side=15)  # 3 x 1.5 = 4.5 is rounded to 5
    assert frame.content == (5, 15)
    assert frame.scale == (1.5, 5 / 3)


@pytest.mark.parametrize(
    ("frame", "grid", "rows", "columns"),
    [
        (Frame.of((2, 4), 4), 4, [0, 1], [0, 1, 2, 3]),
        (Frame.of((2, 4), 8), 4, [0, 1], [0, 1, 2, 3]),
        (Frame.of((4, 8), 4), 4, [1, 3], [1, 3, 5, 7]),  # the centre of a cell of two pixels lies between them
        (Frame.of((2, 4), 4), 8, [0, 0, 1, 1], [0, 0, 1, 1, 2, 2, 3, 3]),
        (Frame((5, 7, 9, 9), 4), 4, [7, 8], [5, 6, 7, 8]),
    ],
)
def test_the_lattice_lies_on_the_pixels_under_its_centres(
    frame: Frame, grid: int, rows: list[int], columns: list[int]
) -> None:
    sampled = frame.sampled_pixels(grid)
    assert sampled[0].tolist() == rows
    assert sampled[1].tolist() == columns


@settings(max_examples=100)
@given(st.integers(1, 600), st.integers(1, 600), st.sampled_from([16, 64, 256]))
def test_sampled_pixels_rise_and_lie_in_the_photograph(height: int, width: int, grid: int) -> None:
    for pixels, side in zip(Frame.of((height, width), 256).sampled_pixels(grid), (height, width), strict=True):
        assert np.all(np.diff(pixels) >= 0)
        assert np.all((pixels >= 0) & (pixels < side))
        assert side < max(height, width) or len(pixels) == grid


def _smooth_photograph(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    waves = [127 + 120 * np.sin(x / 9 + channel) * np.cos(y / (7 + channel)) for channel in range(3)]
    return np.stack(waves, axis=-1).astype(np.uint8)


@pytest.mark.parametrize(("by", "grey_levels"), [("pillow", 0), ("torch", 1)])
@pytest.mark.parametrize(("height", "width", "side"), [(90, 120, 64), (200, 100, 64), (30, 40, 64), (13, 200, 64)])
def test_a_photograph_is_scaled_as_by_pillow_and_padded_with_zeros(
    height: int, width: int, side: int, by: Literal["torch", "pillow"], grey_levels: int
) -> None:
    photograph = _smooth_photograph(height, width)
    frame = Frame.of((height, width), side)
    resized = resize_image(photograph, frame, by=by)
    inner_height, inner_width = frame.content
    pillow = np.asarray(Image.fromarray(photograph).resize((inner_width, inner_height), Image.Resampling.BILINEAR))
    inner = crop_to_content(resized, frame.content).permute(1, 2, 0).numpy()
    assert np.abs(inner.astype(int) - pillow.astype(int)).max() <= grey_levels
    assert resized.shape == (3, side, side)
    assert not resized[:, inner_height:].any()
    assert not resized[:, :, inner_width:].any()


def test_a_photograph_of_the_right_size_is_only_cut_and_moved() -> None:
    photograph = _smooth_photograph(50, 60)
    resized = resize_image(photograph, Frame((5, 10, 37, 30), side=32))
    assert np.array_equal(resized[:, :20, :32].permute(1, 2, 0).numpy(), photograph[10:30, 5:37])
    assert not resized[:, 20:].any()
