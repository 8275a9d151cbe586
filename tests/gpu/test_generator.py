"""Automatic masks on the accelerator, where whole masks are worked on in slices, are those of the CPU's windows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from anymask.inference.generator import MaskGenerator
from tests.parity.lively import lively
from tests.parity.official import matched

DEVICE = "cuda"

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")]


@pytest.fixture(autouse=True)
def _full_precision() -> Iterator[None]:
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = before


@pytest.mark.parametrize("layers", [0, 1])
def test_masks_are_those_of_the_cpu(layers: int) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    image = colours.repeat(20, axis=0).repeat(20, axis=1)
    sam = lively()
    options: dict[str, Any] = {"points_per_side": 12, "crop_n_layers": layers, "min_mask_region_area": 20}
    expected = MaskGenerator(sam, **options).generate(image)
    found = MaskGenerator(sam.to(DEVICE), **options).generate(image)
    assert len(expected) >= 15
    assert len(matched(found, [record.to_json() for record in expected])) >= 0.95 * max(len(found), len(expected))


def test_coarse_logits_stay_on_the_device() -> None:
    image = np.zeros((90, 150, 3), dtype=np.uint8)
    generator = MaskGenerator(lively().to(DEVICE), points_per_side=4, pred_iou_thresh=0.0, stability_score_thresh=0.0)
    [[candidates]] = generator.candidates([image])
    assert candidates.logits.device.type == DEVICE
    for (values, _), mask in zip(candidates.image_logits(margin=2), candidates.encode((90, 150)), strict=True):
        assert isinstance(values, np.ndarray)
        assert mask.size == (90, 150)
