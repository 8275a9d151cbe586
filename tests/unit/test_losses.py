from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from anymask.losses import LossWeights, dice_loss, focal_loss, mask_losses

SURE = 100.0  # a logit whose probability is 1


def _targets(*rows: list[int]) -> torch.Tensor:
    return torch.tensor([rows], dtype=torch.bool)


def test_focal_loss_by_hand() -> None:
    logits = torch.full((1, 1, 1, 1), math.log(3))  # probability 3/4
    inside = 0.25 * (1 / 4) ** 2 * -math.log(3 / 4)
    outside = 0.75 * (3 / 4) ** 2 * -math.log(1 / 4)
    assert focal_loss(logits, _targets([1])).item() == pytest.approx(inside)
    assert focal_loss(logits, _targets([0])).item() == pytest.approx(outside)
    both = focal_loss(logits.expand(1, 1, 1, 2), _targets([1, 0])).item()
    assert both == pytest.approx((inside + outside) / 2)  # the mean over pixels


@settings(max_examples=20)
@given(seed=st.integers(0, 1000), masks=st.integers(1, 3), scale=st.sampled_from([0.1, 1.0, 4.0]))
def test_losses_equal_their_definitions(seed: int, masks: int, scale: float) -> None:
    draw = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(2, masks, 3, 4, generator=draw, dtype=torch.float64)
    targets = torch.rand(2, 3, 4, generator=draw) < 0.4
    focal, dice = focal_loss(logits, targets), dice_loss(logits, targets)
    for n in range(2):
        for m in range(masks):
            total, shared, sizes = 0.0, 0.0, 0.0
            for logit, target in zip(logits[n, m].flatten().tolist(), targets[n].flatten().tolist(), strict=True):
                p = 1 / (1 + math.exp(-logit))
                p_true, alpha = (p, 0.25) if target else (1 - p, 0.75)
                total += -alpha * (1 - p_true) ** 2 * math.log(p_true)
                shared += p * target
                sizes += p + target
            assert focal[n, m].item() == pytest.approx(total / 12, rel=1e-6, abs=1e-9)
            assert dice[n, m].item() == pytest.approx(1 - (2 * shared + 1) / (sizes + 1), rel=1e-6, abs=1e-9)


def test_dice_loss_by_hand() -> None:
    logits = SURE * torch.tensor([[[[1.0, 1, -1, -1]], [[1, -1, 1, -1]], [[-1, -1, -1, -1]]]])
    # |A| = |B| = 2: all shared; one shared, 1 - (2 + 1) / (4 + 1); none predicted, 1 - 1 / (2 + 1)
    assert dice_loss(logits, _targets([1, 1, 0, 0]))[0].tolist() == pytest.approx([0, 2 / 5, 2 / 3])
    assert dice_loss(logits[:, 2:], _targets([0, 0, 0, 0])).item() == 0  # nothing there, nothing predicted


@pytest.mark.parametrize("logit", [-1e4, 1e4])
@pytest.mark.parametrize("target", [0, 1])
def test_extreme_logits_stay_finite(logit: float, target: int) -> None:
    logits = torch.full((1, 1, 1, 2), logit, requires_grad=True)
    loss = focal_loss(logits, _targets([target, target])) + dice_loss(logits, _targets([target, target]))
    loss.sum().backward()
    assert loss.isfinite().all()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_the_iou_term_is_the_squared_error_to_the_true_iou() -> None:
    logits = torch.tensor([[[[2.0, 0.1], [-1.0, 0.0]], [[-1.0, -1.0], [3.0, -1.0]]]], requires_grad=True)
    estimated = torch.tensor([[0.2, 0.5]], requires_grad=True)
    losses, true_ious = mask_losses(logits, estimated, _targets([1, 0], [0, 0]))
    assert true_ious.tolist() == [[0.5, 0.0]]  # a logit of 0 is outside
    assert losses["iou"].flatten().tolist() == pytest.approx([0.09, 0.25])
    losses["iou"].sum().backward()
    assert logits.grad is None  # the estimate learns, the mask does not
    assert estimated.grad is not None
    assert estimated.grad.flatten().tolist() == pytest.approx([-0.6, 1.0])


def test_terms_are_weighted_20_to_1_to_1() -> None:
    one = torch.ones(1, 1)
    weighted = LossWeights().of({"focal": one, "dice": 2 * one, "iou": 3 * one})
    assert {name: float(value) for name, value in weighted.items()} == {"focal": 20, "dice": 2, "iou": 3}  # type: ignore[arg-type]


def test_half_precision_is_summed_in_single() -> None:
    logits = torch.full((1, 1, 300, 300), -1.0)
    targets = torch.zeros(1, 300, 300, dtype=torch.bool)
    single, _ = mask_losses(logits, torch.zeros(1, 1), targets)
    half, _ = mask_losses(logits.bfloat16(), torch.zeros(1, 1, dtype=torch.bfloat16), targets)
    assert half["dice"].dtype == torch.float32
    torch.testing.assert_close(half, single)
