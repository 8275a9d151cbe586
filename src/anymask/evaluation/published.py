"""Numbers that others printed, and those that the official weights are expected to reach here.

``eval/<task>/published.json``: {"note": …, "rows": [Published, …], "expected": [Expectation, …], "lead": Lead}
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from anymask.errors import UserError
from anymask.evaluation.results import Results

__all__ = ["Expectation", "Lead", "Published", "PublishedFile", "read_published"]


OFFICIAL_IMAGE_SIZE = 1024


class Published(msgspec.Struct, frozen=True):
    """One row; shares are 0 to 1."""

    model: str
    dataset: str
    numbers: dict[str, float]  # by the names of our metrics
    setup: str
    source: str
    headline: bool = False  # whether the summary of all tasks shows it


class Expectation(msgspec.Struct, frozen=True, kw_only=True):
    """What known weights must reach on a known data set; a number beyond is a mistake in the code or in the data."""

    model: str
    sha256: str  # of the weights
    dataset: str  # its name, for the reader
    data: str  # what the name of the evaluated data set must have in it
    images: int  # that were evaluated, all of the data set
    metric: str
    value: float
    tolerance: float
    settings: dict[str, Any] = {}  # that must be as here, for the number to be comparable
    details: dict[str, float] = {}  # the same to three digits, such as "detector.box_ap": which boxes were given
    reason: str  # for the tolerance

    def applies_to(self, results: Results) -> bool:
        """Whether these are the weights at their own resolution, all of the data, and the settings."""
        weights = results["checkpoint"] or {}
        return (
            weights.get("sha256") == self.sha256
            and results["image_size"] == OFFICIAL_IMAGE_SIZE
            and results["limit"] is None
            and self.data in results["data"]["name"].lower()
            and results["counts"]["images"] == self.images
            and all(results["settings"].get(key) == value for key, value in self.settings.items())
            and all(_is_detail(results["details"], path, value) for path, value in self.details.items())
        )

    def is_met_by(self, results: Results) -> bool:
        """Whether the metric is within the tolerance."""
        value = results["metrics"].get(self.metric)
        return value is not None and abs(value - self.value) <= self.tolerance


class Lead(msgspec.Struct, frozen=True, kw_only=True):
    """By how much one model was above another on each of several data sets, where their own numbers are not printed."""

    model: str
    over: str
    metric: str
    numbers: dict[str, float]  # by the names of `anymask.data.sa23`; shares are 0 to 1
    setup: str
    source: str


class PublishedFile(msgspec.Struct, frozen=True):
    """What is in the file."""

    rows: list[Published] = []
    expected: list[Expectation] = []
    lead: Lead | None = None
    note: str = ""


def read_published(path: Path) -> PublishedFile:
    """Raises UserError if the file holds no published numbers."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=PublishedFile)
    except (OSError, ValueError) as error:  # of msgspec too
        raise UserError(f"{path} holds no published numbers: {error}") from None


def _is_detail(details: Any, path: str, value: float) -> bool:
    """Whether a number in ``details``, named by the keys that lead to it, is the one that is asked for."""
    for key in path.split("."):
        details = details.get(key) if isinstance(details, dict) else None
    return isinstance(details, float) and abs(details - value) < 1e-3
