"""The settings of point-to-mask (SAM, section 7.1 and appendix D.1), and the identifier that they make."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from anymask.errors import UserError
from anymask.evaluation.point_to_mask.floors import FLOORS
from anymask.metrics.overlap import clicks_to_reach

__all__ = ["PointToMask"]

FLOOR_CLICKS = 5
"""The floors are given no more: GrabCut takes longer than a small model."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PointToMask:
    """The protocol. The defaults are the paper's; the clicks beyond the last reported one serve NoC alone.

    ``multimask`` says at which clicks the three outputs are asked for, and the one believed best is taken: the
    ``first`` (SAM), ``always`` (others' evaluations of it) or ``never``.
    """

    clicks: int = 20
    report_at: tuple[int, ...] = (1, 2, 3, 5, 9)
    noc: tuple[float, ...] = (0.80, 0.85, 0.90)
    multimask: Literal["first", "always", "never"] = "first"
    feed_previous_mask: bool = True
    first_click: Literal["centre", "random"] = "centre"
    seed: int = 0
    floors: tuple[str, ...] = ("disc", "flood_fill", "grabcut")

    def __post_init__(self) -> None:
        """Raises UserError for settings that contradict one another."""
        if not self.report_at or list(self.report_at) != sorted(set(self.report_at)) or self.report_at[0] < 1:
            raise UserError(f"report_at must be click numbers from 1 in rising order, not {self.report_at}")
        if self.clicks < self.report_at[-1]:
            raise UserError(f"clicks={self.clicks} is less than the last reported click, {self.report_at[-1]}")
        if not all(0 < threshold <= 1 for threshold in self.noc):
            raise UserError(f"the thresholds of noc must lie above 0 and up to 1, not {self.noc}")
        strangers = [floor for floor in self.floors if floor not in FLOORS]
        if strangers:
            raise UserError(f"unknown floor {strangers[0]!r}: there are {', '.join(FLOORS)}")
        if self.floors and not self.floor_clicks:
            raise UserError(f"the floors are given up to {FLOOR_CLICKS} clicks and report_at={self.report_at} has none")

    @property
    def protocol(self) -> str:
        """Everything that a number depends on but the data and the weights."""
        first = "centre" if self.first_click == "centre" else f"random(seed {self.seed})"
        feedback = "on" if self.feed_previous_mask else "off"
        return (
            f"point_to_mask/1; first click {first}; next click centre of the largest error (exact distance, "
            f"image border counts, tie is background, no pixel twice); three masks {self.multimask}; "
            f"previous mask {feedback}; logit > 0; IoU at image size; NoC of {self.clicks}"
        )

    @property
    def floor_clicks(self) -> tuple[int, ...]:
        """The reported clicks that the floors are given."""
        return tuple(n for n in self.report_at if n <= FLOOR_CLICKS)

    @property
    def pictured(self) -> tuple[int, int]:
        """The clicks after which the mask is kept for a picture: the first reported, and the last up to five."""
        return (self.report_at[0], max((n for n in self.report_at if n <= FLOOR_CLICKS), default=self.report_at[0]))

    @property
    def oracle_at(self) -> tuple[int, ...]:
        """The clicks at which there is a choice, and the first."""
        return self.report_at if self.multimask == "always" else self.report_at[:1]

    def wants_more(self, ious: list[float]) -> bool:
        """Whether an object gets another click: until the last reported one, then until every threshold is reached."""
        if len(ious) < self.report_at[-1]:
            return True
        return len(ious) < self.clicks and any(clicks_to_reach(ious, t, self.clicks) is None for t in self.noc)
