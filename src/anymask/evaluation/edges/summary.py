"""From a map to its counts, and from the counts of all images to numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from anymask.evaluation.bootstrap import bootstrap_errors
from anymask.evaluation.edges.records import EdgeCounts, Record
from anymask.evaluation.results import Verdict
from anymask.metrics import boundary_summary
from anymask.metrics.boundaries import BoundaryCounts, count_image
from anymask.metrics.boundary_summary import OperatingPoint, summarise

__all__ = ["METRICS", "by_name", "counted", "counts_of", "details", "errors", "metrics", "verdict"]

METRICS = ("ods", "ois", "ap", "r50")
DIGITS = 6  # of what is shown, not of what is computed with


def counted(
    soft: Float[np.ndarray, "h w"], annotators: Sequence[Bool[np.ndarray, "_h _w"]], thresholds: int
) -> EdgeCounts:
    """The counts of one map. Raises UserError as ``count_image``."""
    counts = count_image(soft, annotators, thresholds=thresholds)
    curve = boundary_summary.curve(counts)
    points = zip(curve.thresholds.tolist(), curve.recall.tolist(), curve.precision.tolist(), strict=True)
    best = max((OperatingPoint(threshold=t, recall=r, precision=p) for t, r, p in points), key=lambda point: point.f)
    assert best.threshold is not None
    return {
        "boundary": int(counts.boundary[0]),
        "found": counts.found.tolist(),
        "drawn": counts.drawn.tolist(),
        "right": counts.right.tolist(),
        "best_threshold": round(best.threshold, DIGITS),
        "best_f": round(best.f, DIGITS),
    }


def counts_of(stored: EdgeCounts) -> BoundaryCounts:
    """As the benchmark takes them."""
    number = len(stored["found"])
    return BoundaryCounts(
        thresholds=np.arange(1, number + 1) / (number + 1),
        found=np.array(stored["found"]),
        boundary=np.full(number, stored["boundary"]),
        right=np.array(stored["right"]),
        drawn=np.array(stored["drawn"]),
    )


def metrics(images: Sequence[BoundaryCounts]) -> dict[str, float | None]:
    """The benchmark's four numbers."""
    told = summarise(images)
    return {"ods": told.ods.f, "ois": told.ois.f, "ap": told.ap, "r50": told.r50}


def errors(images: Sequence[BoundaryCounts], draws: int) -> dict[str, float | None]:
    """The standard error of each of them; None without draws."""
    return dict.fromkeys(METRICS) | bootstrap_errors(images, metrics, draws=draws)


def details(images: Sequence[BoundaryCounts]) -> dict[str, Any]:
    """The curve, recall and precision at each threshold, and the places on it that ODS and OIS are taken at."""
    told = summarise(images)
    pairs = zip(told.curve.recall.tolist(), told.curve.precision.tolist(), strict=True)
    return {
        "curve": [[round(recall, DIGITS), round(precision, DIGITS)] for recall, precision in pairs],
        "ods_threshold": told.ods.threshold,
        "ods_recall": told.ods.recall,
        "ods_precision": told.ods.precision,
        "ois_recall": told.ois.recall,
        "ois_precision": told.ois.precision,
    }


def by_name(records: Sequence[Record], floors: Sequence[str]) -> dict[str, list[BoundaryCounts]]:
    """The counts of all images, of the model and of each floor."""
    names = {"model": [record["model"] for record in records]}
    names |= {floor: [record["floors"][floor] for record in records] for floor in floors}
    return {name: [counts_of(stored) for stored in some] for name, some in names.items()}


def verdict(model: Mapping[str, float | None], floors: Mapping[str, Mapping[str, float | None]]) -> Verdict:
    """Whether the model is above every floor in all four numbers."""
    if not floors:
        return {"beats_every_floor": None, "sentence": "No floor was run: whether the model has learned is not known."}
    above = {
        floor: {name: (model[name] or 0.0) - (values[name] or 0.0) for name in METRICS}
        for floor, values in floors.items()
    }
    unbeaten = [
        f"{floor} in {', '.join(f'{name.upper()} ({abs(less):.3f} below)' for name, less in some.items() if less <= 0)}"
        for floor, some in above.items()
        if min(some.values()) <= 0
    ]
    if unbeaten:
        return {"beats_every_floor": False, "sentence": f"The edges do not beat {'; nor '.join(unbeaten)}."}
    least = min(min(some.values()) for some in above.values())
    return {
        "beats_every_floor": True,
        "sentence": f"The edges beat every floor in all numbers, by at least {least:.3f}.",
    }
