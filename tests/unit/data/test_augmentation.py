from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from anymask.data.augmentation import Augmentation
from anymask.errors import UserError

scales = st.floats(0.1, 4)


def test_by_default_nothing_is_varied() -> None:
    chance = random.Random(0)
    before = chance.getstate()
    frame = Augmentation().frame((2, 3, 40, 50), 64, chance)
    assert (frame.crop, frame.fill, frame.mirrored) == ((2, 3, 40, 50), 1.0, False)
    image = torch.randint(0, 256, (3, 4, 5), dtype=torch.uint8)
    assert torch.equal(Augmentation().recolour(image, chance), image)
    assert chance.getstate() == before  # a run without augmentation draws the same masks as ever


@settings(max_examples=100)
@given(st.integers(1, 200), st.integers(1, 200), scales, st.integers(0, 2**20))
def test_a_scale_is_the_longest_side_in_frames(height: int, width: int, scale: float, seed: int) -> None:
    crop = (7, 9, 7 + width, 9 + height)
    frame = Augmentation(scale=(scale, scale)).frame(crop, 64, random.Random(seed))
    x0, y0, x1, y1 = frame.crop
    assert 7 <= x0 < x1 <= 7 + width
    assert 9 <= y0 < y1 <= 9 + height
    if scale <= 1:
        assert frame.crop == crop
        assert max(frame.content) == pytest.approx(64 * scale, abs=1)
    else:
        assert max(x1 - x0, y1 - y0) == max(1, round(max(height, width) / scale))
        assert max(frame.content) == 64
        assert min(y1 - y0, x1 - x0) == min(height, width, max(y1 - y0, x1 - x0))  # a square window, if it fits


def test_every_place_is_seen_and_half_are_mirrored() -> None:
    augmentation, chance = Augmentation(scale=(2.0, 2.0), flip=0.5), random.Random(0)
    frames = [augmentation.frame((0, 0, 8, 4), 64, chance) for _ in range(2000)]
    assert {frame.crop for frame in frames} == {(x, 0, x + 4, 4) for x in range(5)}
    assert 900 < sum(frame.mirrored for frame in frames) < 1100


def test_colours_change_within_their_bounds() -> None:
    chance = random.Random(0)
    grey = torch.full((3, 2, 2), 100, dtype=torch.uint8)
    seen = torch.stack([Augmentation(colour=0.3).recolour(grey, chance) for _ in range(500)]).float()
    assert torch.equal(seen.amin((1, 2, 3)), seen.amax((1, 2, 3)))  # an even grey stays an even grey
    assert 70 <= seen.min() < 73
    assert 127 < seen.max() <= 130


def test_contrast_and_saturation_go_about_the_grey() -> None:
    image = torch.tensor([[[60, 140]], [[60, 140]], [[160, 40]]], dtype=torch.uint8)
    luma = np.array([0.299, 0.587, 0.114])
    widths, colours = [], []
    for seed in range(300):
        varied = Augmentation(colour=0.5).recolour(image, random.Random(seed)).double()
        grey = torch.from_numpy(luma) @ varied[:, 0]
        widths.append(((grey[1] - grey[0]) / grey.mean()).item())  # brightness scales both
        colours.append(((varied[2, 0, 0] - varied[0, 0, 0]) / (varied[0, 0, 1] - varied[2, 0, 1])).item())
    grey = luma @ image[:, 0].double().numpy()
    width = (grey[1] - grey[0]) / grey.mean()
    assert min(widths) == pytest.approx(0.5 * width, rel=0.05)
    assert max(widths) == pytest.approx(1.5 * width, rel=0.15)  # some are cut off at 255
    assert np.median(colours) == pytest.approx(1.0, abs=0.05)  # both pixels are 100 apart, and stay alike


@pytest.mark.parametrize("scale", [(0.0, 1.0), (2.0, 1.0), (-1.0, 1.0)])
def test_a_range_of_scales_must_be_one(scale: tuple[float, float]) -> None:
    with pytest.raises(UserError, match="scale must be a smallest and a largest factor"):
        Augmentation(scale=scale)
