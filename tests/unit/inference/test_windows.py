from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import Float
from torch import Tensor

from anymask.geometry import Frame
from anymask.inference import windows
from anymask.inference.postprocess import image_logits
from anymask.inference.windows import AtImageSize
from anymask.masks import box, decode, encode, runs

SIDE, COARSE = 64, 16


@pytest.fixture(params=["windows", "whole masks"])
def _way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a CPU does, and what an accelerator does."""
    monkeypatch.setattr(windows, "_is_on_cpu", lambda _: request.param == "windows")


def blobs(number: int, seed: int, side: int = COARSE) -> Float[Tensor, "n q q"]:
    """Hills of different places and widths, some with none above 0."""
    chance = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    masks = []
    for _ in range(number):
        rough = cv2.resize(chance.normal(size=(5, 5)), (side, side), interpolation=cv2.INTER_LINEAR)
        distance = np.hypot(y - chance.uniform(0, side), x - chance.uniform(0, side))
        masks.append(2 * (chance.uniform(-0.1, 0.6) * side - distance) + 3 * rough)
    return torch.tensor(np.array(masks), dtype=torch.float32)


def by_whole_images(logits: Tensor, frame: Frame, offset: float) -> list[tuple[float, list[int]]]:
    """(stability, box) of each mask, from all of its pixels."""
    found = []
    for values in image_logits(logits[:, None], frame)[:, 0].numpy():
        rows, columns = np.nonzero(values > 0)
        edges = [columns.min(), rows.min(), columns.max(), rows.max()] if len(rows) else [0, 0, 0, 0]
        low = (values > -offset).sum()
        stability = (values > offset).sum() / low if low else 0.0
        found.append((stability, [int(edge) + corner for edge, corner in zip(edges, frame.crop[:2] * 2, strict=True)]))
    return found


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize("crop", [(0, 0, 90, 50), (7, 3, 37, 93), (5, 5, 25, 17), (0, 0, 64, 64), (10, 0, 11, 40)])
@pytest.mark.parametrize("offset", [0.0, 1.0, 4.0])
def test_stability_and_boxes_are_those_of_the_whole_masks(crop: tuple[int, int, int, int], offset: float) -> None:
    frame, logits = Frame(crop, SIDE), blobs(20, seed=crop[2])
    stability, boxes = AtImageSize(frame, COARSE).measure(logits, offset)
    expected = by_whole_images(logits, frame, offset)
    assert 2 <= sum(number > 0 for number, _ in expected) < 20  # some are empty
    assert stability.tolist() == pytest.approx([number for number, _ in expected], abs=1e-6)
    assert boxes.tolist() == [edges for _, edges in expected]


@settings(max_examples=60)
@given(st.integers(1, 150), st.integers(1, 150), st.integers(0, 1000))
def test_windows_leave_no_pixel_out(height: int, width: int, seed: int) -> None:
    frame, logits = Frame.of((height, width), SIDE), blobs(4, seed)
    at_image_size = AtImageSize(frame, COARSE)
    stability, boxes = at_image_size.measure(logits, 1.0)
    codes = at_image_size.encode(logits, (height, width))
    assert stability.tolist() == pytest.approx([number for number, _ in by_whole_images(logits, frame, 1.0)], abs=1e-3)
    for code, own, values in zip(codes, boxes, image_logits(logits[:, None], frame)[:, 0].numpy(), strict=True):
        mask = decode(code)
        assert not ((mask != (values > 0)) & (np.abs(values) > 1e-4)).any()
        x0, y0, x1, y1 = box(runs(code), height)
        assert own.tolist() == ([x0, y0, x1 - 1, y1 - 1] if mask.any() else [0, 0, 0, 0])


@pytest.mark.usefixtures("_way")
def test_codes_are_of_the_whole_photograph() -> None:
    frame, logits = Frame((20, 10, 70, 60), SIDE), blobs(12, seed=1)
    photographs = np.zeros((12, 80, 100), dtype=bool)
    photographs[:, 10:60, 20:70] = (image_logits(logits[:, None], frame)[:, 0] > 0).numpy()
    assert AtImageSize(frame, COARSE).encode(logits, (80, 100)) == [encode(mask) for mask in photographs]


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize("value", [-5.0, -0.5, 5.0])
def test_flat_masks(value: float) -> None:
    """An empty one has a stability of 0, not of 0 / 0, and its box lies in the first pixel of the crop."""
    frame = Frame((3, 4, 40, 30), SIDE)
    stability, boxes = AtImageSize(frame, COARSE).measure(torch.full((1, COARSE, COARSE), value), 1.0)
    assert stability.tolist() == [1.0 if value > 0 else 0.0]
    assert boxes.tolist() == [[3, 4, 39, 29] if value > 0 else [3, 4, 3, 4]]


@pytest.mark.usefixtures("_way")
def test_what_lies_in_the_padding_is_no_mask() -> None:
    logits = torch.full((1, COARSE, COARSE), -5.0)
    logits[:, 12:] = 5.0  # a photograph twice as wide as high takes rows 0 to 7
    at_image_size = AtImageSize(Frame.of((50, 100), SIDE), COARSE)
    stability, boxes = at_image_size.measure(logits, 1.0)
    assert (stability.tolist(), boxes.tolist()) == ([0.0], [[0, 0, 0, 0]])
    assert at_image_size.encode(logits, (50, 100)) == [encode(np.zeros((50, 100), dtype=bool))]


@pytest.mark.usefixtures("_way")
def test_no_masks() -> None:
    at_image_size = AtImageSize(Frame.of((50, 100), SIDE), COARSE)
    stability, boxes = at_image_size.measure(torch.zeros(0, COARSE, COARSE), 1.0)
    assert (stability.shape, boxes.shape) == ((0,), (0, 4))
    assert at_image_size.encode(torch.zeros(0, COARSE, COARSE), (50, 100)) == []


@pytest.mark.usefixtures("_way")
def test_logits_of_some_rows_and_columns_are_those_of_the_whole() -> None:
    frame, [coarse] = Frame((5, 5, 105, 75), SIDE), blobs(1, seed=3)
    window = slice(10, 33), slice(0, 77)
    found = AtImageSize(frame, COARSE).logits(coarse, window)
    np.testing.assert_allclose(found, image_logits(coarse[None, None], frame)[0, 0][window].numpy(), atol=1e-5)


def test_strips_of_any_height_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    frame, [coarse] = Frame.of((200, 120), SIDE), blobs(1, seed=3)
    whole = AtImageSize(frame, COARSE).logits(coarse, (slice(3, 190), slice(0, 120)))
    monkeypatch.setattr(windows, "STRIP", 7)
    strips = AtImageSize(frame, COARSE).logits(coarse, (slice(3, 190), slice(0, 120)))
    np.testing.assert_allclose(strips, whole, atol=1e-5)


def test_a_small_mask_costs_a_small_window(monkeypatch: pytest.MonkeyPatch) -> None:
    worked_on: list[int] = []
    evaluate = AtImageSize._evaluate

    def counting(self: AtImageSize, coarse: Tensor, window: windows.Window) -> Any:
        values = evaluate(self, coarse, window)
        worked_on.append(values.size)
        return values

    monkeypatch.setattr(AtImageSize, "_evaluate", counting)
    logits = torch.full((2, 64, 64), -9.0)
    logits[0, 30:34, 20:26] = 9.0  # 1 of 683 coarse pixels; the other mask is empty
    at_image_size = AtImageSize(Frame.of((600, 600), 256), 64)
    _, boxes = at_image_size.measure(logits, 1.0)
    assert boxes[0].tolist() == pytest.approx([600 / 64 * 20, 600 / 64 * 30, 600 / 64 * 26, 600 / 64 * 34], abs=6)
    assert len(worked_on) == 1
    assert worked_on[0] < 0.02 * 600 * 600
