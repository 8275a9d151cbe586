"""The losses of SAM (section 3 and appendix A), one value per mask, named and unweighted.

    20 focal + 1 dice + 1 (IoU error)^2

Weights are applied in one place, ``LossWeights.of``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from anymask.regions import mask_iou

__all__ = ["LossWeights", "MaskLosses", "dice_loss", "focal_loss", "mask_losses"]

PerMask = Float[Tensor, "n m"]


class MaskLosses(TypedDict):
    """Each unweighted."""

    focal: PerMask
    dice: PerMask
    iou: PerMask


@dataclass(frozen=True, kw_only=True, slots=True)
class LossWeights:
    """How much each term counts; the defaults are the paper's."""

    focal: float = 20.0
    dice: float = 1.0
    iou: float = 1.0

    def of(self, losses: MaskLosses) -> MaskLosses:
        """The weighted terms."""
        return {
            "focal": self.focal * losses["focal"],
            "dice": self.dice * losses["dice"],
            "iou": self.iou * losses["iou"],
        }


def mask_losses(
    logits: Float[Tensor, "n m r r"], predicted_ious: PerMask, targets: Bool[Tensor, "n r r"]
) -> tuple[MaskLosses, PerMask]:
    """The losses of each of M masks against its object's target, and the masks' true IoUs (logits above 0)."""
    logits, predicted_ious = logits.float(), predicted_ious.float()
    true_ious = mask_iou(logits.detach() > 0, targets[:, None])
    losses: MaskLosses = {
        "focal": focal_loss(logits, targets),
        "dice": dice_loss(logits, targets),
        "iou": (predicted_ious - true_ious).square(),
    }
    return losses, true_ious


def focal_loss(
    logits: Float[Tensor, "n m h w"], targets: Bool[Tensor, "n h w"], *, alpha: float = 0.25, gamma: float = 2.0
) -> PerMask:
    """Focal loss (Lin et al. 2017), mean over the pixels. The paper prints neither alpha nor gamma: these are SAM 2's.

    >>> focal_loss(torch.zeros(1, 1, 1, 2), torch.tensor([[[True, False]]]))  # log 2 / 4, times .25 and .75
    tensor([[0.0866]])
    """
    inside = targets[:, None]
    against = torch.where(inside, -logits, logits)  # above 0 where the pixel is wrong
    weight = torch.where(inside, alpha, 1 - alpha)
    return (weight * against.sigmoid().pow(gamma) * F.softplus(against)).mean(dim=(-2, -1))


def dice_loss(logits: Float[Tensor, "n m h w"], targets: Bool[Tensor, "n h w"], *, smooth: float = 1.0) -> PerMask:
    """One minus the dice coefficient (Milletari et al. 2016) of the probabilities, ``smooth`` added to both sides."""
    probabilities = logits.sigmoid()
    inside = targets[:, None].to(logits.dtype)
    shared = (probabilities * inside).sum(dim=(-2, -1))
    sizes = probabilities.sum(dim=(-2, -1)) + inside.sum(dim=(-2, -1))
    return 1 - (2 * shared + smooth) / (sizes + smooth)
