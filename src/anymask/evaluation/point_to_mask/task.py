"""Point-to-mask, image by image, and the numbers of all its records.

The mask that counts is the one that the model believes best; "oracle" is the best of those that it offers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from anymask.data.samples import Samples
from anymask.evaluation.point_to_mask import summary
from anymask.evaluation.point_to_mask.image_records import records_of
from anymask.evaluation.point_to_mask.protocol import PointToMask
from anymask.evaluation.point_to_mask.records import Record
from anymask.evaluation.results import Numbers
from anymask.evaluation.stopwatch import Stopwatch
from anymask.evaluation.task import TaskName
from anymask.inference.predictor import Predictor
from anymask.metrics.overlap import clicks_to_reach
from anymask.models.sam import Sam
from anymask.structures import Sample, Skipped

__all__ = ["PointToMaskTask"]


class PointToMaskTask:
    """A model that is asked for every mask of every sample."""

    name: TaskName = "point_to_mask"

    def __init__(self, settings: PointToMask, samples: Samples, sam: Sam, *, workers: int = 0) -> None:
        self.settings: dict[str, Any] = asdict(settings)
        self.protocol = settings.protocol
        self.watch = Stopwatch(sam.device)
        self._settings, self._samples, self._workers = settings, samples, workers
        self._predictor = Predictor(sam)

    @property
    def data(self) -> dict[str, str]:
        return {"name": self._samples.name, "fingerprint": self._samples.fingerprint()}

    def __len__(self) -> int:
        return len(self._samples)

    def items(self, *, limit: int | None, rank: int, world: int) -> Iterator[Sample | Skipped]:
        return self._samples.read(limit=limit, workers=self._workers, rank=rank, world=world)

    def records_of(self, item: Sample) -> list[Record]:
        with self.watch.measure("encode_image"):
            self._predictor.set_image(item.image)
        return records_of(item, self._predictor.predict, self._settings, self.watch)

    def offered_by(self, item: Sample) -> int:
        return len(item.masks)

    def find(self, names: set[tuple[str, str]]) -> dict[tuple[str, str], Sample]:
        return self._samples.find(names)

    def numbers(self, records: list[Record], offered: int) -> Numbers:
        own = self._settings
        of_model = [
            summary.model_values(
                record, report_at=own.report_at, oracle_at=own.oracle_at, noc=own.noc, limit=own.clicks
            )
            for record in records
        ]
        of_floors = {
            floor: [summary.floor_values(record, floor, own.floor_clicks) for record in records] for floor in own.floors
        }
        metrics = summary.means(of_model)
        floors = {floor: summary.means(values) for floor, values in of_floors.items()}
        return {
            "metrics": {**metrics},
            "standard_errors": summary.standard_errors(of_model),
            "errors_are": "over the masks, as if these were independent (those of one image are not quite)",
            "floors": {floor: {**values} for floor, values in floors.items()},
            "floor_standard_errors": {floor: summary.standard_errors(values) for floor, values in of_floors.items()},
            "verdict": summary.verdict(metrics, floors),
            "counts": {"masks": len(records), "empty_masks": offered - len(records), **_not_reached(records, own)},
            "details": {
                "by_size": summary.by_size(records, of_model),
                "calibration": summary.calibration(records),
                "histogram": summary.histogram(records),
                "pictured": own.pictured,
            },
        }


def _not_reached(records: list[Record], task: PointToMask) -> dict[str, int]:
    courses = [record["model"]["ious"] for record in records]
    return {
        f"not_reached@{round(t * 100)}": sum(clicks_to_reach(ious, t, task.clicks) is None for ious in courses)
        for t in task.noc
    }
