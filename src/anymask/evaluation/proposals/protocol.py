"""The settings of object proposals (SAM, section 7.3 and appendix D.3), and the identifier that they make."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from anymask.errors import UserError
from anymask.evaluation.proposals.floors import FLOORS
from anymask.metrics.recall import CUTOFFS

__all__ = ["Proposals", "Ranking"]

Ranking = Literal["mean", "predicted_iou", "stability", "random"]
"""Which masks come first: ``mean`` is that of predicted IoU and stability."""

LEAST = 10
"""Proposals of an image: with fewer there is no curve over their number."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Proposals:
    """The protocol. The defaults are the paper's.

    Its ablation with a single output per point is ``outputs="single"``, ``points_per_side=128``,
    ``box_nms_thresh=0.95`` and ``ranking="random"``.
    """

    points_per_side: int = 64
    points_per_batch: int = 64
    box_nms_thresh: float = 0.9
    proposals: int = 1000
    ranking: Ranking = "mean"
    seed: int = 0
    outputs: Literal["three", "single"] = "three"
    floors: tuple[str, ...] = ("boxes", "felzenszwalb")

    def __post_init__(self) -> None:
        """Raises UserError for settings that make no sense."""
        for name in ("points_per_side", "points_per_batch"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} must be 1 or more, not {getattr(self, name)}")
        if not 0 < self.box_nms_thresh <= 1:
            raise UserError(f"box_nms_thresh must lie above 0 and up to 1, not {self.box_nms_thresh}")
        allowed = [cutoff for cutoff in CUTOFFS if cutoff >= LEAST]
        if self.proposals not in allowed:
            raise UserError(f"proposals must be one of {', '.join(map(str, allowed))}, not {self.proposals}")
        if self.seed < 0:
            raise UserError(f"seed must be 0 or more, not {self.seed}")
        strangers = [floor for floor in self.floors if floor not in FLOORS]
        if strangers:
            raise UserError(f"unknown floor {strangers[0]!r}: there are {', '.join(FLOORS)}")

    @property
    def protocol(self) -> str:
        """Everything that a number depends on but the data and the weights."""
        ranked = {
            "mean": "mean of predicted IoU and stability",
            "predicted_iou": "predicted IoU",
            "stability": "stability",
            "random": f"chance (seed {self.seed})",
        }[self.ranking]
        masks = "three masks" if self.outputs == "three" else "the single mask"
        return (
            f"proposals/1; {self.points_per_side} x {self.points_per_side} points, {masks} of each; no crops, no "
            f"filters, box NMS {self.box_nms_thresh:g} by predicted IoU; the first {self.proposals} by {ranked}; "
            "stability of logits cut at 1 and -1; mask IoU .5:.05:.95, matched greedily as COCOeval does, without "
            "categories; recall pooled over objects; crowds and empty objects out; sizes by annotated area and COCO's "
            "bounds"
        )

    @property
    def cutoffs(self) -> tuple[int, ...]:
        """The numbers of proposals after which objects are counted, up to all."""
        return tuple(cutoff for cutoff in CUTOFFS if cutoff <= self.proposals)
