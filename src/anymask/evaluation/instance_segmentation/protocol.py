"""The settings of instance segmentation (SAM, section 7.4 and appendix D.4), and the identifier that they make."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from anymask.errors import UserError
from anymask.evaluation.instance_segmentation.floors import FLOORS
from anymask.metrics.verdicts import LIMITS

__all__ = ["InstanceSegmentation"]


@dataclass(frozen=True, kw_only=True, slots=True)
class InstanceSegmentation:
    """The protocol. The defaults are the paper's, as far as it says.

    ``multimask`` says what a box is asked for: three masks, of which the one believed best is taken (``argmax``), or
    a ``single`` one. ``refinement`` asks a second time, for a single mask, with the logits of the first beside the box.
    ``benchmark`` says whose rules count detections; ``auto`` is LVIS's where images list negative categories.
    ``bootstrap`` is the number of draws of images behind the standard errors; without any there are none.
    """

    multimask: Literal["argmax", "single"] = "argmax"
    refinement: bool = True
    benchmark: Literal["auto", "coco", "lvis"] = "auto"
    floors: tuple[str, ...] = ("box", "ellipse")
    bootstrap: int = 100

    def __post_init__(self) -> None:
        """Raises UserError for what there is not."""
        strangers = [floor for floor in self.floors if floor not in FLOORS]
        if strangers:
            raise UserError(f"unknown floor {strangers[0]!r}: there are {', '.join(FLOORS)}")
        if self.bootstrap < 0 or self.bootstrap == 1:
            raise UserError(f"bootstrap={self.bootstrap}: a standard error takes two draws or more, or 0 for none")

    @property
    def protocol(self) -> str:
        """Everything that a number depends on but the data, the detections and the weights."""
        first = "three masks by box, the best by its estimate" if self.multimask == "argmax" else "a single mask by box"
        then = "then a single mask by box and the first mask's logits" if self.refinement else "no refinement"
        return (
            f"instance_segmentation/1; boxes as they are given; {first}; {then}; logit > 0; score of the detector; "
            f"mask AP, {self._rules}, area of the mask"
        )

    @property
    def _rules(self) -> str:
        if self.benchmark == "auto":
            return "rules of COCO or LVIS as the ground truth is"
        each = "of a category on an image" if self.benchmark == "coco" else "on an image"
        return f"rules of {self.benchmark.upper()}, {LIMITS[self.benchmark]} detections {each}"
