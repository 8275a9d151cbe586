"""Which of several masks meets the target: the one of the smallest loss (SAM, section 3 and appendix A).

An ambiguous prompt has several right answers and one target. Only the answer nearest to the target is told off for
what it misses, so that the outputs come to stand for whole, part and sub-part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from anymask.losses import MaskLosses

__all__ = ["Matching", "pick"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Matching:
    """``include_iou``: the error of the IoU estimate counts when the nearest mask is sought; not so in SAM 2.

    ``supervise_iou``: the IoU head learns from ``all`` outputs or from the ``matched`` one; the paper does not say.
    """

    include_iou: bool = True
    supervise_iou: Literal["matched", "all"] = "all"

    def nearest(self, weighted: MaskLosses, allowed: Bool[Tensor, "n m"] | None) -> Int[Tensor, " n"]:
        """The index of the output that meets the target, among those ``allowed`` (None: all)."""
        cost = weighted["focal"] + weighted["dice"]
        if self.include_iou:
            cost = cost + weighted["iou"]
        if allowed is not None:
            cost = cost.masked_fill(~allowed, float("inf"))
        return cost.detach().argmin(dim=1)

    def terms(
        self, weighted: MaskLosses, nearest: Int[Tensor, " n"], allowed: Bool[Tensor, "n m"] | None
    ) -> dict[str, Float[Tensor, " n"]]:
        """Each term of each object's loss: of the matched output, or for the IoU head the mean over the outputs."""
        iou = pick(weighted["iou"], nearest)
        if self.supervise_iou == "all":
            counted = torch.ones_like(weighted["iou"]) if allowed is None else allowed.to(weighted["iou"].dtype)
            iou = (weighted["iou"] * counted).sum(dim=1) / counted.sum(dim=1)
        return {"focal": pick(weighted["focal"], nearest), "dice": pick(weighted["dice"], nearest), "iou": iou}


def pick(values: Float[Tensor, "n m"], index: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    """One value of each row."""
    return values.gather(1, index[:, None])[:, 0]
