"""Edges, image by image, and the numbers of all its records.

A model draws a map of each image, or the maps of another method are read. Either way the map is kept beside the
results, and what is measured is what the file says.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from anymask.atomic import write_atomically
from anymask.data.edge_sets import EdgeImage, EdgeSet
from anymask.errors import UserError
from anymask.evaluation.edges import summary
from anymask.evaluation.edges.detection import Detector
from anymask.evaluation.edges.floors import FLOORS
from anymask.evaluation.edges.maps import Predictions, as_kept, keep_map, read_map
from anymask.evaluation.edges.protocol import Edges
from anymask.evaluation.edges.records import EdgeCounts, Record
from anymask.evaluation.provenance import shown_path
from anymask.evaluation.results import Numbers
from anymask.evaluation.stopwatch import Stopwatch
from anymask.evaluation.task import TaskName
from anymask.models.sam import Sam
from anymask.structures import Skipped

__all__ = ["EdgesTask"]

Map = Float[np.ndarray, "h w"]


class EdgesTask:
    """A model, or a folder of maps, that is compared with what people drew."""

    name: TaskName = "edges"

    def __init__(
        self,
        settings: Edges,
        data: EdgeSet,
        *,
        maps: Path,
        sam: Sam | None = None,
        predictions: Path | None = None,
    ) -> None:
        """``maps`` is the folder that maps are kept in. Either ``sam`` draws them, or they are in ``predictions``.

        Raises UserError where ``predictions`` does not hold one readable map for each image.
        """
        assert (sam is None) != (predictions is None)
        self.settings: dict[str, Any] = settings.settings_of_predictions if sam is None else asdict(settings)
        self.protocol = settings.protocol_of_predictions if sam is None else settings.protocol
        self.watch = Stopwatch(torch.device("cpu") if sam is None else sam.device)
        self._settings, self._data, self._maps = settings, data, maps
        self._detector = None if sam is None else Detector(sam, settings, self.watch)
        self._predictions = None if predictions is None else Predictions.open(predictions, data.keys)

    @property
    def data(self) -> dict[str, str]:
        own = {"name": self._data.name, "fingerprint": self._data.fingerprint()}
        if self._predictions is None:
            return own
        folder = shown_path(self._predictions.folder)
        return own | {"predictions": folder, "predictions_fingerprint": self._predictions.fingerprint()}

    def __len__(self) -> int:
        return len(self._data)

    def items(self, *, limit: int | None, rank: int, world: int) -> Iterator[EdgeImage | Skipped]:
        return self._data.read(limit=limit, rank=rank, world=world)

    def records_of(self, item: EdgeImage) -> list[Record]:
        soft, masks = self._map_of(item)
        with self.watch.measure("count_edges"):
            model = self._counted(soft, item)
        return [
            {
                "shard": Path(item.shard).name,
                "image": item.key,
                "image_size": item.image.shape[:2],
                "annotators": len(item.boundaries),
                "masks": masks,
                "model": model,
                "floors": {floor: self._counted(self._floor(floor, item), item) for floor in self._settings.floors},
            }
        ]

    def offered_by(self, item: EdgeImage) -> int:
        return 1

    def find(self, names: set[tuple[str, str]]) -> dict[tuple[str, str], EdgeImage]:
        return self._data.find(names)

    def numbers(self, records: list[Record], offered: int) -> Numbers:
        counts = summary.by_name(records, self._settings.floors)
        metrics = {name: summary.metrics(images) for name, images in counts.items()}
        errors = {name: summary.errors(images, self._settings.bootstrap) for name, images in counts.items()}
        model, model_errors = metrics.pop("model"), errors.pop("model")
        return {
            "metrics": model,
            "standard_errors": model_errors,
            "errors_are": _errors_are(self._settings.bootstrap),
            "floors": metrics,
            "floor_standard_errors": errors,
            "verdict": summary.verdict(model, metrics),
            "counts": {
                "annotators": sum(record["annotators"] for record in records),
                "masks": sum(record["masks"] or 0 for record in records),
            },
            "details": {name: summary.details(images) for name, images in counts.items()},
        }

    def _map_of(self, item: EdgeImage) -> tuple[Map, int | None]:
        """As it is kept, with the number of its masks."""
        if self._detector is not None:
            soft, masks = self._detector.detect(item.image)
            return keep_map(self._maps, item.key, soft, self._settings.keep), masks
        assert self._predictions is not None
        file = self._predictions.files[item.key]
        soft = read_map(file)
        if soft.shape != item.image.shape[:2]:
            raise UserError(f"{file} is {soft.shape} pixels (height, width), its photograph {item.image.shape[:2]}")
        write_atomically(self._maps / file.name, lambda part: shutil.copyfile(file, part))
        return soft, None

    def _floor(self, name: str, item: EdgeImage) -> Map:
        return as_kept(FLOORS[name](item.image, self._settings.maps), self._settings.keep)

    def _counted(self, soft: Map, item: EdgeImage) -> EdgeCounts:
        return summary.counted(soft, item.boundaries, self._settings.thresholds)


def _errors_are(draws: int) -> str:
    return f"over the images: bootstrap, {draws} draws" if draws else "not computed: bootstrap=0"
