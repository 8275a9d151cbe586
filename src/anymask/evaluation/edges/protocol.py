"""The settings of edges (SAM, section 7.2 and appendix D.2), and the identifiers that they make."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from anymask.errors import UserError
from anymask.evaluation.edges.floors import FLOORS
from anymask.inference.edges import EdgeMaps

__all__ = ["Edges", "Keep"]

Keep = Literal["float", "8bit"]
"""In what form maps are kept, and measured: as float32, or rounded to 256 grey levels."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Edges:
    """The protocol. The defaults are the paper's where it says, and our reading of it in ``maps``.

    The estimate of the IoU and the stability filter nothing, and there are no crops. ``points_per_batch`` changes the
    speed alone, ``bootstrap`` the standard errors.
    """

    points_per_side: int = 16
    points_per_batch: int = 64
    box_nms_thresh: float = 0.7
    maps: EdgeMaps = field(default_factory=EdgeMaps)
    keep: Keep = "float"
    thresholds: int = 99
    floors: tuple[str, ...] = ("sobel", "canny")
    bootstrap: int = 200

    def __post_init__(self) -> None:
        """Raises UserError for settings that make no sense."""
        for name in ("points_per_side", "points_per_batch", "thresholds"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} must be 1 or more, not {getattr(self, name)}")
        if not 0 < self.box_nms_thresh <= 1:
            raise UserError(f"box_nms_thresh must lie above 0 and up to 1, not at {self.box_nms_thresh}")
        if self.bootstrap < 0 or self.bootstrap == 1:
            raise UserError(f"bootstrap={self.bootstrap}: a standard error takes two draws or more, or 0 for none")
        strangers = [floor for floor in self.floors if floor not in FLOORS]
        if strangers:
            raise UserError(f"unknown floor {strangers[0]!r}: there are {', '.join(FLOORS)}")

    @property
    def protocol(self) -> str:
        """Everything that the number of a model depends on but the data and the weights."""
        maps, side = self.maps, self.points_per_side
        return (
            f"edges/1; {side} x {side} points, three masks each, no filter, no crops, box NMS {self.box_nms_thresh}; "
            f"Sobel ({maps.magnitude}) of probabilities on {maps.thickness} ring(s) outside logit > 0 "
            f"({maps.neighbours} neighbours); maximum, scaled by {maps.scale}; {self._suppression}; "
            f"measured as {self.keep}; {self._benchmark}"
        )

    @property
    def protocol_of_predictions(self) -> str:
        """The same for maps that are read: how they came about is not known."""
        return f"edges/1; maps of others as they are; {self._benchmark}"

    @property
    def settings_of_predictions(self) -> dict[str, Any]:
        """Those that are used for maps that are read; how maps are drawn and kept matters to floors alone."""
        used = ("thresholds", "floors", "bootstrap", *(("maps", "keep") if self.floors else ()))
        return {name: value for name, value in asdict(self).items() if name in used}

    @property
    def _suppression(self) -> str:
        maps = self.maps
        if maps.suppression != "oriented":
            return f"suppression {maps.suppression}"
        return f"suppression oriented (radius {maps.radius}, slack {maps.slack}, fade {maps.fade})"

    @property
    def _benchmark(self) -> str:
        return (
            f"BSDS500's benchmark at {self.thresholds} thresholds, thinned, .0075 of the diagonal, exact matching, "
            "ODS interpolated"
        )
