"""Object proposals, image by image, and the numbers of all records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int

from anymask import masks
from anymask.data.coco import Annotation, Frequency
from anymask.data.samples import CocoSamples, Samples
from anymask.errors import UserError
from anymask.evaluation.proposals import summary
from anymask.evaluation.proposals.floors import FLOORS
from anymask.evaluation.proposals.protocol import Proposals
from anymask.evaluation.proposals.ranking import chance_of, first_proposals
from anymask.evaluation.proposals.records import Found, Record
from anymask.evaluation.results import Numbers
from anymask.evaluation.stopwatch import Stopwatch
from anymask.evaluation.task import TaskName
from anymask.inference.candidates import Candidates, Measured
from anymask.inference.generator import MaskGenerator
from anymask.metrics.recall import CUTOFFS, GROUPS, count_found
from anymask.models.sam import Sam
from anymask.structures import Rle, Sample, Skipped

__all__ = ["ProposalsTask"]

PICTURED = 100
"""Images, about, whose masks are kept, so that a report can draw some of them."""
DRAWN = 100
"""Masks of such an image."""


class ProposalsTask:
    """A model that is asked for all masks of every sample.

    Of COCO's and LVIS's files an object's size is by its annotated area and, where the file says so, its frequency
    that of its category; of shards it is by the mask's pixels, and there is no frequency.
    """

    name: TaskName = "proposals"

    def __init__(self, settings: Proposals, samples: Samples, sam: Sam, *, workers: int = 0) -> None:
        self.settings: dict[str, Any] = asdict(settings)
        self.protocol = settings.protocol
        self.watch = Stopwatch(sam.device)
        self._settings, self._samples, self._workers = settings, samples, workers
        self._annotations = _annotations(samples) if isinstance(samples, CocoSamples) else {}
        self._frequencies = _frequencies(samples) if isinstance(samples, CocoSamples) else {}
        self._images = len(samples)
        self._generator = MaskGenerator(
            sam,
            points_per_side=settings.points_per_side,
            points_per_batch=settings.points_per_batch,
            pred_iou_thresh=0.0,
            stability_score_thresh=0.0,
            box_nms_thresh=settings.box_nms_thresh,
            multimask=settings.outputs == "three",
        )

    @property
    def data(self) -> dict[str, str]:
        return {"name": self._samples.name, "fingerprint": self._samples.fingerprint()}

    def __len__(self) -> int:
        return len(self._samples)

    def items(self, *, limit: int | None, rank: int, world: int) -> Iterator[Sample | Skipped]:
        self._images = min(len(self), limit or len(self))
        return self._samples.read(limit=limit, workers=self._workers, rank=rank, world=world)

    def records_of(self, item: Sample) -> list[Record]:
        name = f"{Path(item.shard).name} {item.key}"
        number, found = self._propose(item, name)
        with self.watch.measure("run_lengths"):
            proposals = found.encode(item.image.shape[:2])
        is_pictured = chance_of(name) * self._images < PICTURED
        best = zip(proposals[: DRAWN * is_pictured], found.ious.tolist(), strict=False)
        objects, model = self._count(item, proposals)
        return [
            {
                "shard": Path(item.shard).name,
                "image": item.key,
                "image_size": item.image.shape[:2],
                "objects": objects,
                "masks": number,
                "model": model,
                "floors": {floor: self._count(item, self._floor(floor, item))[1] for floor in self._settings.floors},
                "best": [(rle.counts.decode("ascii"), round(iou, 4)) for rle, iou in best],
            }
        ]

    def offered_by(self, item: Sample) -> int:
        return 1

    def find(self, names: set[tuple[str, str]]) -> Mapping[tuple[str, str], Sample]:
        return self._samples.find(names)

    def numbers(self, records: list[Record], offered: int) -> Numbers:
        return summary.numbers(records, self._settings)

    def _propose(self, item: Sample, name: str) -> tuple[int, Candidates]:
        """How many masks the model has, and those that are its proposals, the best first."""
        number = 0

        def choose(found: Measured) -> Int[np.ndarray, " k"]:
            nonlocal number
            number = len(found)
            return first_proposals(found, self._settings, name)

        encoder = self._generator.sam.image_encoder
        with self.watch.measure("find_masks"), self.watch.measure_calls(encoder, "encode_image"):
            [[found]] = self._generator.candidates([item.image], choose)
        if not bool(torch.isfinite(found.logits.sum())):
            raise UserError("the model answers with values that are not finite: its weights are damaged")
        return number, found

    def _floor(self, floor: str, item: Sample) -> list[Rle]:
        with self.watch.measure(floor):
            return FLOORS[floor](item.image)[: self._settings.proposals]

    def _count(self, item: Sample, proposals: Sequence[Rle]) -> tuple[dict[str, int], Found]:
        """The objects by group, and those that are found; the best proposals come first."""
        objects = [(rle, annotation) for rle, annotation in self._objects(item) if masks.area(masks.runs(rle))]
        counts = count_found(
            proposals,
            np.arange(len(proposals), 0, -1.0),
            [rle for rle, _ in objects],
            areas=np.array([a.area if a else masks.area(masks.runs(rle)) for rle, a in objects], dtype=np.float64),
            crowd=np.zeros(len(objects), dtype=bool),
            frequencies=[self._frequencies.get(a.category_id) if a else None for _, a in objects],
        )
        some = {group: row for row, group in enumerate(GROUPS) if counts.objects[row]}
        cutoffs = len(self._settings.cutoffs)
        found: Found = {
            "by_cutoff": {group: counts.found[row, :cutoffs].sum(axis=-1).tolist() for group, row in some.items()},
            "by_iou": counts.found[GROUPS.index("all"), CUTOFFS.index(self._settings.proposals)].tolist(),
            "proposals": len(proposals),
        }
        return {group: int(counts.objects[row]) for group, row in some.items()}, found

    def _objects(self, item: Sample) -> list[tuple[Rle, Annotation | None]]:
        annotations = self._annotations.get(item.key, {})
        return [(rle, annotations.get(number)) for rle, number in zip(item.masks, item.mask_ids, strict=True)]


def _annotations(samples: CocoSamples) -> dict[str, dict[int, Annotation]]:
    """By the image's key and the annotation's id."""
    of_image = samples.truth.annotations
    return {key: {a.id: a for a in of_image[image.id]} for key, image in samples.images_by_key().items()}


def _frequencies(samples: CocoSamples) -> dict[int, Frequency | None]:
    return {category.id: category.frequency for category in samples.truth.categories.values()}
