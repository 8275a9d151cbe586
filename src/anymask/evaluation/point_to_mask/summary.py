"""From records to numbers: means, standard errors, by size, calibration, and the comparison with the floors."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from anymask.evaluation.point_to_mask.records import Calibration, Record
from anymask.evaluation.results import Verdict
from anymask.metrics.overlap import SIZE_CLASSES, clicks_to_reach, iou_after, mean_and_error

__all__ = [
    "by_size",
    "calibration",
    "floor_values",
    "histogram",
    "means",
    "model_values",
    "standard_errors",
    "verdict",
]

HISTOGRAM_BINS = 10

Values = dict[str, float]
"""The metrics of one mask."""


def model_values(
    record: Record, *, report_at: Sequence[int], oracle_at: Sequence[int], noc: Sequence[float], limit: int
) -> Values:
    """One mask's IoU after each reported click, that of the best offer, and the clicks that each threshold took."""
    course = record["model"]
    values = {f"miou@{n}": iou_after(course["ious"], n) for n in report_at}
    values |= {f"oracle@{n}": iou_after(course["oracle_ious"], n) for n in oracle_at}
    return values | {f"noc@{round(t * 100)}": float(clicks_to_reach(course["ious"], t, limit) or limit) for t in noc}


def floor_values(record: Record, floor: str, report_at: Sequence[int]) -> Values:
    """One mask's IoU after each click that the floor was given."""
    return {f"miou@{n}": iou_after(record["floors"][floor]["ious"], n) for n in report_at}


def means(values: Sequence[Values]) -> dict[str, float]:
    """Of each metric over the masks."""
    return {key: mean_and_error([of_mask[key] for of_mask in values])[0] for key in values[0]}


def standard_errors(values: Sequence[Values]) -> dict[str, float | None]:
    """Of each mean; None for a single mask."""
    errors = {key: mean_and_error([of_mask[key] for of_mask in values])[1] for key in values[0]}
    return {key: None if math.isnan(error) else error for key, error in errors.items()}


def by_size(records: Sequence[Record], values: Sequence[Values]) -> dict[str, dict[str, float]]:
    """The means of the masks of each size class that there are, with their number."""
    sizes: dict[str, dict[str, float]] = {}
    for size in SIZE_CLASSES:
        some = [of_mask for of_mask, record in zip(values, records, strict=True) if record["size_class"] == size]
        if some:
            sizes[size] = {"masks": float(len(some)), **means(some)}
    return sizes


def calibration(records: Iterable[Record]) -> list[Calibration]:
    """Estimated against true IoU after the first click, for each tenth of the estimates that is not empty."""
    pairs: dict[int, list[tuple[float, float]]] = {}
    for record in records:
        predicted, true = record["model"]["predicted_ious"][0], record["model"]["ious"][0]
        tenth = min(9, max(0, math.floor(predicted * 10)))
        pairs.setdefault(tenth, []).append((predicted, true))
    return [
        {
            "low": tenth / 10,
            "masks": len(some),
            "predicted": math.fsum(predicted for predicted, _ in some) / len(some),
            "true": math.fsum(true for _, true in some) / len(some),
        }
        for tenth, some in sorted(pairs.items())
    ]


def histogram(records: Iterable[Record]) -> list[int]:
    """Masks by their IoU after the first click, in tenths; a perfect one is in the last."""
    counts = [0] * HISTOGRAM_BINS
    for record in records:
        counts[min(HISTOGRAM_BINS - 1, int(iou_after(record["model"]["ious"], 1) * HISTOGRAM_BINS))] += 1
    return counts


def verdict(metrics: dict[str, float], floors: dict[str, dict[str, float]]) -> Verdict:
    """Whether the model is above every floor after every click that the floors were given."""
    if not floors:
        return {"beats_every_floor": None, "sentence": "No floor was run: whether the model has learned is not known."}
    unbeaten = [
        f"{floor} at click {key.removeprefix('miou@')} (mean IoU {metrics[key]:.3f} against {value:.3f})"
        for floor, of_floor in floors.items()
        for key, value in of_floor.items()
        if metrics[key] <= value
    ]
    if unbeaten:
        sentence = f"The model has learned nothing useful: it does not beat {'; '.join(unbeaten)}."
        return {"beats_every_floor": False, "sentence": sentence}
    margin = min(metrics[key] - value for of_floor in floors.values() for key, value in of_floor.items())
    sentence = f"The model beats every floor at every click that they share, by at least {margin:.3f} of mean IoU."
    return {"beats_every_floor": True, "sentence": sentence}
