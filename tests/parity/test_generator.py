"""Automatic masks beside Meta's generator: the same random weights, photographs and settings."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from jaxtyping import UInt8

from anymask.inference.generator import MaskGenerator, MaskRecord
from anymask.models.sam import Sam
from tests.parity.lively import lively
from tests.parity.official import matched, official_generator


@pytest.fixture(scope="module")
def sam() -> Sam:
    return lively()


def photograph(height: int, width: int) -> UInt8[np.ndarray, "h w 3"]:
    """Discs on a slow change of colours."""
    chance = np.random.default_rng(0)
    colours = chance.integers(0, 256, (5, 5, 3), dtype=np.uint8)
    image = cv2.resize(colours, (width, height), interpolation=cv2.INTER_CUBIC)
    for _ in range(25):
        centre, radius = (
            chance.integers((width, height)).tolist(),
            int(chance.integers(4, max(5, min(height, width) // 5))),
        )
        cv2.circle(image, centre, radius, chance.integers(0, 256, 3).tolist(), -1)
    return image


POINTS = np.array([[0.1, 0.2], [0.3, 0.25], [0.5, 0.5], [0.9, 0.1]])

SETTINGS: dict[str, tuple[tuple[int, int], dict[str, Any]]] = {
    "wide": ((120, 200), {"points_per_side": 16}),
    "tall and larger than the model": ((420, 90), {"points_per_batch": 7}),
    "crops": ((150, 220), {"crop_n_layers": 1}),
    "crops in a tall image": ((330, 110), {"crop_n_layers": 1, "crop_nms_thresh": 0.5, "crop_overlap_ratio": 0.2}),
    "two layers of crops": ((200, 200), {"crop_n_layers": 2, "crop_n_points_downscale_factor": 2}),
    "small regions": ((150, 220), {"min_mask_region_area": 60, "stability_score_thresh": 0.8}),
    "small regions and crops": ((150, 220), {"min_mask_region_area": 200, "crop_n_layers": 1}),
    "no filters": ((120, 200), {"pred_iou_thresh": 0.0, "stability_score_thresh": 0.0, "box_nms_thresh": 0.9}),
    "another offset": ((120, 200), {"stability_score_offset": 3.0, "stability_score_thresh": 0.85}),
    "own points": (
        (120, 200),
        {"points_per_side": None, "point_grids": [POINTS], "stability_score_thresh": 0.5, "pred_iou_thresh": 0.5},
    ),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_masks_are_those_of_the_official_generator(sam: Sam, name: str) -> None:
    (height, width), options = SETTINGS[name]
    ours, theirs = both(sam, photograph(height, width), {"points_per_side": 8} | options)
    pairs = matched(ours, theirs)
    assert len(theirs) >= (3 if name == "own points" else 10)
    assert len(pairs) >= 0.99 * max(len(ours), len(theirs))
    for record, official in pairs:
        found = record.to_json()
        for key in ("area", "bbox", "predicted_iou"):
            assert found[key] == pytest.approx(official[key], rel=0.01, abs=1e-4)
        stability = official["stability_score"]  # NaN for a mask without any pixel
        assert found["stability_score"] == pytest.approx(0 if np.isnan(stability) else stability, abs=1e-2)
        assert found["crop_box"] == official["crop_box"]
        assert found["point_coords"] == official["point_coords"]
        assert found.keys() == official.keys()


def test_one_mask_for_each_point_is_what_the_official_predictor_gives(sam: Sam) -> None:
    """The official generator has no such option: it asks for three masks, and is told here to ask for one."""
    options: dict[str, Any] = {"points_per_side": 8, "pred_iou_thresh": 0.0, "stability_score_thresh": 0.0}
    image = photograph(120, 200)
    official = official_generator(sam, output_mode="coco_rle", **options)
    ask = official.predictor.predict_torch

    def for_one(*prompts: Any, multimask_output: bool, **how: Any) -> Any:
        return ask(*prompts, multimask_output=False, **how)

    official.predictor.predict_torch = for_one
    theirs, ours = official.generate(image), MaskGenerator(sam, multimask=False, **options).generate(image)
    assert len(theirs) >= 10
    assert len(matched(ours, theirs)) >= 0.99 * max(len(ours), len(theirs))


def both(
    sam: Sam, image: UInt8[np.ndarray, "h w 3"], options: dict[str, Any]
) -> tuple[list[MaskRecord], list[dict[str, Any]]]:
    theirs = official_generator(sam, output_mode="coco_rle", **options).generate(image)
    return MaskGenerator(sam, **options).generate(image), theirs
