"""Instance segmentation, image by image, and the average precision of all its masks.

The detector says where, what and how sure; the model says which pixels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from anymask.data.coco import GroundTruth
from anymask.data.detections import Detection, read_detections
from anymask.data.samples import CocoSamples
from anymask.evaluation.instance_segmentation import summary
from anymask.evaluation.instance_segmentation.box_masks import BoxMask, masks_of_boxes
from anymask.evaluation.instance_segmentation.protocol import InstanceSegmentation
from anymask.evaluation.instance_segmentation.records import Record
from anymask.evaluation.results import Numbers
from anymask.evaluation.stopwatch import Stopwatch
from anymask.evaluation.task import TaskName
from anymask.geometry import Frame, resize_image
from anymask.metrics.verdicts import Benchmark, check_lvis
from anymask.models.sam import Sam
from anymask.structures import Sample, Skipped

__all__ = ["InstanceSegmentationTask"]


class InstanceSegmentationTask:
    """A model that is given a detector's boxes."""

    name: TaskName = "instance_segmentation"

    def __init__(self, settings: InstanceSegmentation, samples: CocoSamples, detections: Path, sam: Sam) -> None:
        """Raises UserError for detections that cannot be read, and for LVIS's rules without LVIS's ground truth."""
        self.settings: dict[str, Any] = asdict(settings)
        self._settings = replace(settings, benchmark=_benchmark(settings, samples.truth))
        self.protocol = self._settings.protocol
        self.watch = Stopwatch(sam.device)
        self._samples, self._file, self._sam = samples, detections, sam.eval()
        self._images = samples.images_by_key()
        self._detections = read_detections(detections, samples.truth)

    @property
    def data(self) -> dict[str, str]:
        fingerprint = hashlib.sha256(self._file.read_bytes()).hexdigest()[:12]
        own = {"name": self._samples.name, "fingerprint": self._samples.fingerprint()}
        return {**own, "detections": self._file.name, "fingerprint_of_detections": fingerprint}

    def __len__(self) -> int:
        return len(self._samples)

    def items(self, *, limit: int | None, rank: int, world: int) -> Iterator[Sample | Skipped]:
        return self._samples.read(limit=limit, rank=rank, world=world)

    def records_of(self, item: Sample) -> list[Record]:
        image = self._images[item.key]
        detections = self._detections.by_image.get(image.id, ())
        found = self._masks(item, detections) if detections else []
        return [
            {
                "shard": Path(item.shard).name,
                "image": item.key,
                "image_id": image.id,
                "image_size": image.size,
                "category_ids": [detection.category_id for detection in detections],
                "scores": [detection.score for detection in detections],
                "boxes": [detection.xywh for detection in detections],
                "predicted_ious": [round(one.iou, 4) for one in found],
                "masks": [one.rle.counts.decode("ascii") for one in found],
            }
        ]

    def offered_by(self, item: Sample) -> int:
        return 1

    def find(self, names: set[tuple[str, str]]) -> Mapping[tuple[str, str], Sample]:
        return self._samples.find(names)

    def numbers(self, records: list[Record], offered: int) -> Numbers:
        return summary.numbers(records, self._samples.truth, self._detections, self._settings)

    def _masks(self, sample: Sample, detections: tuple[Detection, ...]) -> list[BoxMask]:
        frame = Frame.of(sample.image.shape[:2], self._sam.image_size)
        boxes = torch.tensor([detection.xyxy for detection in detections])
        with self.watch.measure("encode_image"):
            embedding = self._encode(sample, frame)
        with self.watch.measure("answer_box", parts=len(detections)):
            return masks_of_boxes(self._sam, embedding, frame, boxes, self._settings)

    @torch.inference_mode()
    def _encode(self, sample: Sample, frame: Frame) -> Float[Tensor, "1 c g g"]:
        square = resize_image(sample.image, frame, by="pillow")[None].to(self._sam.device)
        return self._sam.encode(square, torch.tensor([frame.content], device=square.device))


def _benchmark(settings: InstanceSegmentation, truth: GroundTruth) -> Benchmark:
    """Whose rules; said before anything is predicted."""
    if settings.benchmark != "auto":
        benchmark: Benchmark = settings.benchmark
    else:
        benchmark = "lvis" if any(image.negative is not None for image in truth.images.values()) else "coco"
    if benchmark == "lvis":
        check_lvis(replace(truth, annotations={}).as_json())
    return benchmark
