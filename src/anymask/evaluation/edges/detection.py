"""A photograph's edge map by a model that was never taught edges."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from scipy.special import expit

from anymask.errors import UserError
from anymask.evaluation.edges.protocol import Edges
from anymask.evaluation.stopwatch import Stopwatch
from anymask.inference.candidates import Candidates
from anymask.inference.generator import MaskGenerator
from anymask.models.sam import Sam

__all__ = ["Detector"]

Part = tuple[Float[np.ndarray, "a b"], Bool[np.ndarray, "a b"], tuple[int, int]]


class Detector:
    """Asks a model for the masks of a grid of points and draws their edges."""

    def __init__(self, sam: Sam, settings: Edges, watch: Stopwatch) -> None:
        """``watch`` is told how long the masks of a photograph take, and how long their edges."""
        self._generator = MaskGenerator(
            sam,
            points_per_side=settings.points_per_side,
            points_per_batch=settings.points_per_batch,
            pred_iou_thresh=0.0,
            stability_score_thresh=0.0,
            box_nms_thresh=settings.box_nms_thresh,
        )
        self._maps, self._watch = settings.maps, watch

    def detect(self, image: UInt8[np.ndarray, "h w 3"]) -> tuple[Float[np.ndarray, "h w"], int]:
        """The map, in [0, 1], and the number of masks that it was drawn from.

        Raises UserError where the model's answers are not finite.
        """
        encoder = self._generator.sam.image_encoder
        with self._watch.measure("find_masks"), self._watch.measure_calls(encoder, "encode_image"):
            (found,) = self._generator.candidates([image])
        if not all(_is_finite(masks) for masks in found):
            raise UserError("the model answers with values that are not finite: its weights are damaged")
        with self._watch.measure("draw_edges"):
            drawn = self._maps.of(_parts(found, self._maps.thickness + 1), image.shape[:2])
        return drawn, sum(len(masks) for masks in found)


def _parts(found: Sequence[Candidates], margin: int) -> Iterator[Part]:
    """Each mask with its probabilities, and where it lies."""
    for masks in found:
        for logits, corner in masks.image_logits(margin):
            yield expit(logits), logits > 0, corner


def _is_finite(masks: Candidates) -> Any:
    return np.isfinite(masks.ious).all() and torch.isfinite(masks.logits).all()
