from __future__ import annotations

import pytest
import torch

from anymask.losses import MaskLosses
from anymask.matching import Matching, pick

# Two objects, three outputs each. Output 0 has the best mask and a bad estimate of its IoU.
FOCAL = [[0.25, 0.50, 4.0], [3.0, 2.0, 1.0]]
DICE = [[0.50, 0.50, 1.0], [0.0, 0.5, 1.0]]
IOU = [[0.75, 0.25, 0.0], [0.0, 0.0, 1.0]]


def _losses() -> MaskLosses:
    return {"focal": torch.tensor(FOCAL), "dice": torch.tensor(DICE), "iou": torch.tensor(IOU)}


@pytest.mark.parametrize(
    ("include_iou", "nearest"),
    [
        (True, [1, 1]),  # 1.5 1.25 5 / 3 2.5 3
        (False, [0, 2]),  # .75 1 5 / 3 2.5 2
    ],
)
def test_the_smallest_loss_wins_with_or_without_the_iou_term(include_iou: bool, nearest: list[int]) -> None:
    assert Matching(include_iou=include_iou).nearest(_losses(), None).tolist() == nearest


def test_only_allowed_outputs_are_matched() -> None:
    allowed = torch.tensor([[True, False, True], [False, False, True]])
    assert Matching().nearest(_losses(), allowed).tolist() == [0, 2]


@pytest.mark.parametrize(
    ("supervise", "iou"),
    [("matched", [0.25, 0.0]), ("all", [1 / 3, 1 / 3])],
)
def test_terms_are_those_of_the_matched_output(supervise: str, iou: list[float]) -> None:
    matching = Matching(supervise_iou=supervise)  # type: ignore[arg-type]
    terms = matching.terms(_losses(), torch.tensor([1, 0]), None)
    assert terms["focal"].tolist() == [0.5, 3.0]
    assert terms["dice"].tolist() == [0.5, 0.0]
    assert terms["iou"].tolist() == pytest.approx(iou)


def test_the_iou_head_learns_from_allowed_outputs_only() -> None:
    allowed = torch.tensor([[True, True, False], [False, False, True]])
    terms = Matching(supervise_iou="all").terms(_losses(), torch.tensor([1, 2]), allowed)
    assert terms["iou"].tolist() == [0.5, 1.0]


def test_outputs_that_are_not_matched_get_no_gradient() -> None:
    losses = _losses()
    for values in (losses["focal"], losses["dice"], losses["iou"]):
        values.requires_grad_()
    matching = Matching(supervise_iou="matched")
    nearest = matching.nearest(losses, None)
    sum(matching.terms(losses, nearest, None).values(), torch.zeros(2)).sum().backward()
    for values in (losses["focal"], losses["dice"], losses["iou"]):
        assert values.grad is not None
        assert values.grad.tolist() == [[0, 1, 0], [0, 1, 0]]


def test_pick_takes_one_value_of_each_row() -> None:
    assert pick(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([1, 0])).tolist() == [2.0, 3.0]
