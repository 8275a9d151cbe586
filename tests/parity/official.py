"""Meta's automatic mask generator around our weights, for tests and benchmarks.

It imports four functions of torchvision, whose wheels do not match every build of torch: plain ones stand in for them.
"""

from __future__ import annotations

import runpy
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np
import torch
from PIL import Image
from pycocotools import mask as coco_mask
from torch import Tensor

from anymask.inference.generator import MaskRecord
from anymask.models.checkpoints import save
from anymask.models.sam import Sam

__all__ = ["matched", "official_generator"]

PARITY = runpy.run_path(str(Path(__file__).resolve().parents[2] / "eval/parity/compare.py"))


def official_generator(sam: Sam, **options: Any) -> Any:
    """``segment_anything.SamAutomaticMaskGenerator`` with the weights of ``sam``.

    Of torchvision, which nothing may need, it takes two things: the resizing, which is Pillow's, and the suppression.
    """
    with tempfile.TemporaryDirectory() as folder:
        save(sam, Path(folder) / "official.pth")
        model = PARITY["SegmentAnything"](Path(folder) / "official.pth", sam).model
    return _automatic_mask_generator().SamAutomaticMaskGenerator(model, **options)


def matched(ours: list[MaskRecord], theirs: list[dict[str, Any]]) -> list[tuple[MaskRecord, dict[str, Any]]]:
    """Pairs of masks that are the same up to one pixel in a hundred, each mask in one pair at most."""
    codes = [[record.to_json()["segmentation"] for record in ours], [official["segmentation"] for official in theirs]]
    ious = np.array(coco_mask.iou(*codes, [0] * len(theirs))).reshape(len(ours), len(theirs))
    pairs = []
    for row, record in enumerate(ours):
        for column, official in enumerate(theirs):  # masks without a pixel overlap nothing: by what is known of them
            is_empty = record.area == official["area"] == 0
            is_near = abs(record.predicted_iou - official["predicted_iou"]) < 1e-3
            if is_empty and is_near and record.to_json()["point_coords"] == official["point_coords"]:
                ious[row, column] = 1
        column = int(ious[row].argmax()) if theirs else 0
        if theirs and ious[row, column] >= 0.99:
            pairs.append((record, theirs[column]))
            ious[:, column] = -1
    return pairs


def _automatic_mask_generator() -> Any:
    """Its module, imported anew: another test may have imported it with other stand-ins."""
    with mock.patch.dict(sys.modules):
        for name in [name for name in sys.modules if name.partition(".")[0] in ("torchvision", "segment_anything")]:
            del sys.modules[name]
        boxes, functional = ModuleType("torchvision.ops.boxes"), ModuleType("torchvision.transforms.functional")
        vars(boxes).update(batched_nms=_batched_nms, box_area=_box_area)
        vars(functional).update(resize=_resize, to_pil_image=Image.fromarray)
        for name in ("torchvision", "torchvision.ops", "torchvision.transforms"):
            sys.modules[name] = ModuleType(name)
        sys.modules[boxes.__name__], sys.modules[functional.__name__] = boxes, functional
        from segment_anything import automatic_mask_generator
    return automatic_mask_generator


def _batched_nms(boxes: Tensor, scores: Tensor, categories: Tensor, iou_threshold: float) -> Tensor:
    """torchvision's on a CPU, pair by pair in single precision, for a single category."""
    assert not categories.any()
    left = scores.sort(stable=True, descending=True).indices.tolist()
    corners, kept = boxes.numpy().astype(np.float32), []
    while left:
        kept.append(left.pop(0))
        left = [other for other in left if not _iou(corners[kept[-1]], corners[other]) > iou_threshold]
    return torch.tensor(kept, dtype=torch.int64)


def _iou(a: Any, b: Any) -> float:
    width, height = (max(np.float32(0), min(a[i + 2], b[i + 2]) - max(a[i], b[i])) for i in (0, 1))
    inside = width * height
    together = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inside
    return float(inside / together) if together else float("nan")


def _box_area(boxes: Tensor) -> Tensor:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def _resize(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    return image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
