"""The two passes, beside the predictor and with a model that writes down what it is asked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from anymask.errors import UserError
from anymask.evaluation.instance_segmentation import box_masks
from anymask.evaluation.instance_segmentation.box_masks import masks_of_boxes
from anymask.evaluation.instance_segmentation.protocol import InstanceSegmentation
from anymask.geometry import Frame, resize_image
from anymask.inference.predictor import Predictor
from anymask.masks import decode
from anymask.models.sam import AMBIGUOUS, SINGLE, Sam
from anymask.structures import Decoded, Label, Prompts
from tests.parity.lively import lively

SIZE = (90, 128)
BOXES = torch.tensor([[4, 3.5, 60, 80], [50, 20, 120.5, 88], [0, 0, 128, 90], [30, 30, 33, 34]])
VARIANTS = [
    InstanceSegmentation(multimask=multimask, refinement=refinement)
    for multimask in ("argmax", "single")
    for refinement in (True, False)
]


@pytest.fixture(scope="module")
def model() -> Sam:
    return lively()


@pytest.fixture(scope="module")
def photograph() -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)


def _encoded(sam: Sam, photograph: np.ndarray[Any, np.dtype[np.uint8]]) -> tuple[Tensor, Frame]:
    frame = Frame.of(SIZE, sam.image_size)
    with torch.inference_mode():
        return sam.encode(resize_image(photograph, frame)[None], torch.tensor([frame.content])), frame


@pytest.mark.parametrize("settings", VARIANTS, ids=lambda settings: f"{settings.multimask}-{settings.refinement}")
def test_masks_are_those_of_the_predictor_box_by_box(
    model: Sam, photograph: np.ndarray[Any, np.dtype[np.uint8]], settings: InstanceSegmentation
) -> None:
    found = masks_of_boxes(model, *_encoded(model, photograph), BOXES, settings)
    predictor = Predictor(model)
    predictor.set_image(photograph)
    sizes = set()
    for box, one in zip(BOXES, found, strict=True):
        answer = predictor.predict(box=box, multimask=settings.multimask == "argmax")
        best = int(answer.ious[0].argmax())
        if settings.refinement:
            answer, best = predictor.predict(box=box, mask=answer.logits[0, best], multimask=False), 0
        mask = decode(one.rle)
        assert (mask != answer.masks[0, best].numpy()).mean() < 1e-4
        assert one.iou == pytest.approx(float(answer.ious[0, best]), abs=1e-4)
        sizes.add(int(mask.sum()))
    assert len(sizes) > 1, "the model answers every box alike: nothing was compared"


def test_a_step_of_one_box_and_one_of_all_give_the_same(
    model: Sam, photograph: np.ndarray[Any, np.dtype[np.uint8]], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded = _encoded(model, photograph)
    together = masks_of_boxes(model, *encoded, BOXES, InstanceSegmentation())
    monkeypatch.setattr(box_masks, "BOXES_AT_ONCE", 1)
    alone = masks_of_boxes(model, *encoded, BOXES, InstanceSegmentation())
    for one, other in zip(together, alone, strict=True):
        assert (decode(one.rle) != decode(other.rle)).mean() < 1e-4
        assert one.iou == pytest.approx(other.iou, abs=1e-4)


class Spy:
    """Answers with constant masks, the second of three believed best, and remembers what it was asked."""

    def __init__(self, side: int, estimates: tuple[float, ...] = (0.2, 0.9, 0.4)) -> None:
        self.side, self.estimates = side, estimates
        self.asked: list[tuple[Prompts, slice]] = []

    def __call__(self, embeddings: Tensor, prompts: Prompts, *, outputs: slice) -> Decoded:
        self.asked.append((prompts, outputs))
        number, outs = len(prompts.image_index), 3 if outputs == AMBIGUOUS else 1
        levels = torch.tensor([-3.0, 7.0, 1.0] if outs == 3 else [5.0])
        ious = torch.tensor(self.estimates if outs == 3 else self.estimates[:1])
        return Decoded(
            levels[None, :, None, None].expand(number, outs, self.side, self.side).clone(),
            ious[None].expand(number, outs).clone(),
        )


def _spied(model: Sam, monkeypatch: pytest.MonkeyPatch, **arguments: Any) -> Spy:
    spy = Spy(model.mask_size, **arguments)
    monkeypatch.setattr(model, "decode", spy)
    return spy


def test_the_second_pass_gets_the_logits_believed_best_beside_the_box(
    model: Sam, photograph: np.ndarray[Any, np.dtype[np.uint8]], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded = _encoded(model, photograph)
    spy = _spied(model, monkeypatch)
    found = masks_of_boxes(model, *encoded, BOXES, InstanceSegmentation())
    (first, outputs), (second, then) = spy.asked
    assert (outputs, then) == (AMBIGUOUS, SINGLE)
    assert first.masks is None
    assert second.masks is not None
    assert (second.masks == 7).all()
    assert second.masks.shape == (4, model.mask_size, model.mask_size)
    assert torch.equal(first.points, second.points)
    assert first.labels.tolist() == [[Label.CORNER_TOP_LEFT, Label.CORNER_BOTTOM_RIGHT]] * 4
    assert [one.iou for one in found] == pytest.approx([0.2] * 4)


@pytest.mark.parametrize(("multimask", "expected", "iou"), [("argmax", AMBIGUOUS, 0.9), ("single", SINGLE, 0.2)])
def test_without_refinement_it_is_asked_once(
    model: Sam,
    photograph: np.ndarray[Any, np.dtype[np.uint8]],
    monkeypatch: pytest.MonkeyPatch,
    multimask: Any,
    expected: slice,
    iou: float,
) -> None:
    encoded = _encoded(model, photograph)
    spy = _spied(model, monkeypatch)
    found = masks_of_boxes(model, *encoded, BOXES, InstanceSegmentation(multimask=multimask, refinement=False))
    ((_, outputs),) = spy.asked
    assert outputs == expected
    assert [one.iou for one in found] == pytest.approx([iou] * 4)
    assert all(decode(one.rle).all() for one in found)


def test_a_box_beyond_the_image_is_prompted_as_it_is(
    model: Sam, photograph: np.ndarray[Any, np.dtype[np.uint8]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The longest side, 128, is the model's: no pixel is scaled."""
    encoded = _encoded(model, photograph)
    spy = _spied(model, monkeypatch)
    masks_of_boxes(model, *encoded, torch.tensor([[-20.0, -5.0, 140.0, 95.0]]), InstanceSegmentation())
    assert spy.asked[0][0].points.tolist() == [[[-20, -5], [140, 95]]]


def test_what_is_not_finite_is_the_weights_fault(
    model: Sam, photograph: np.ndarray[Any, np.dtype[np.uint8]], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded = _encoded(model, photograph)
    _spied(model, monkeypatch, estimates=(0.1, float("nan"), 0.3))
    with pytest.raises(UserError, match="values that are not finite: its weights are damaged"):
        masks_of_boxes(model, *encoded, BOXES, InstanceSegmentation())
