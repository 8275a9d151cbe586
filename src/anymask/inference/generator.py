"""Automatic masks: every object of a photograph that a grid of points finds (SAM, section 5 and appendix B).

generator = MaskGenerator(sam)
records = generator.generate(photograph)                 # RGB, uint8
records[0].bitmap()                                      # bool, height x width of the photograph
json.dumps([record.to_json() for record in records])     # the official generator's keys

The options, their defaults and the answers are the official generator's. What is unusual is the order of the work: the
estimated IoU decides before a mask is upscaled, stability and box are worked out within a window around each mask, and
only what stays after non-maximum suppression is drawn and encoded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from anymask.errors import UserError
from anymask.geometry import Frame, resize_image
from anymask.inference.candidates import Candidates
from anymask.inference.crops import Box, crop_boxes, point_grid
from anymask.inference.mask_filters import is_cut_off, non_maximum_suppression, remove_small_regions
from anymask.inference.point_masks import PointMasks, point_masks
from anymask.inference.predictor import check_image
from anymask.inference.windows import AtImageSize
from anymask.masks import area, box, decode, encode, rle_to_json, runs
from anymask.models.sam import Sam
from anymask.structures import Rle

__all__ = ["Grid", "MaskGenerator", "MaskRecord"]

Grid = Float[np.ndarray, "_ 2"]
"""Points (x, y) as shares of a crop's width and height."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskRecord:
    """One mask of a photograph, under the names of the official generator; everything in the image frame."""

    segmentation: Rle
    area: int
    bbox: Box  # XYWH; from the outermost pixel to the outermost, so that a single pixel has a width of 0
    predicted_iou: float
    point_coords: tuple[tuple[float, float], ...]  # (x, y) of the prompt
    stability_score: float
    crop_box: Box  # XYWH of the crop that the mask was found on

    def bitmap(self) -> Bool[np.ndarray, "h w"]:
        """The mask, pixel by pixel."""
        return decode(self.segmentation)

    def to_json(self) -> dict[str, Any]:
        """What the official generator gives for ``output_mode="coco_rle"``."""
        return {
            "segmentation": rle_to_json(self.segmentation),
            "area": self.area,
            "bbox": list(self.bbox),
            "predicted_iou": self.predicted_iou,
            "point_coords": [list(point) for point in self.point_coords],
            "stability_score": self.stability_score,
            "crop_box": list(self.crop_box),
        }


@dataclass(frozen=True, eq=False, slots=True)
class MaskGenerator:
    """All masks of a photograph. A threshold of 0 or less leaves its filter out.

    Raises UserError for options that contradict each other or make no sense. The model is put into evaluation mode.
    """

    sam: Sam
    _: KW_ONLY
    points_per_side: int | None = 32
    points_per_batch: int = 64  # how many go through the decoder at once; on a CPU no more than fit its cache
    pred_iou_thresh: float = 0.88  # a mask's own estimate must be above
    stability_score_thresh: float = 0.95  # its stability at least this
    stability_score_offset: float = 1.0  # stability: how far logits are cut above and below 0
    box_nms_thresh: float = 0.7  # of two boxes in a crop with a greater IoU the better mask's stays
    crop_n_layers: int = 0  # layer i adds 2^i x 2^i crops
    crop_nms_thresh: float = 0.7  # the same between crops, where the mask from the smaller crop stays
    crop_overlap_ratio: float = 512 / 1500  # of crops of the first layer, as a share of the shorter side
    crop_n_points_downscale_factor: int = 1  # each layer's grid has so many times fewer points per side
    point_grids: Sequence[Grid] | None = None  # in the place of points_per_side: one for each layer
    min_mask_region_area: int = 0  # islands and holes of fewer pixels are removed

    def __post_init__(self) -> None:
        if (self.points_per_side is None) == (self.point_grids is None):
            raise UserError("give either points_per_side or, with points_per_side=None, point_grids")
        if self.point_grids is not None and len(self.point_grids) <= self.crop_n_layers:
            raise UserError(f"{self.crop_n_layers} layers of crops need {self.crop_n_layers + 1} point_grids")
        for name in ("points_per_batch", "crop_n_points_downscale_factor"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} must be 1 or more, not {getattr(self, name)}")
        for name in ("crop_n_layers", "stability_score_offset", "min_mask_region_area"):
            if getattr(self, name) < 0:
                raise UserError(f"{name} must be 0 or more, not {getattr(self, name)}")
        if any(len(self._grid(layer)) == 0 for layer in range(self.crop_n_layers + 1)):
            raise UserError(f"points_per_side {self.points_per_side} leaves no point for the last layer of crops")
        self.sam.eval()

    def generate(self, image: Any) -> list[MaskRecord]:
        """All masks of one photograph, (height, width, 3) RGB of type uint8. Raises UserError for anything else."""
        return self.generate_many([image])[0]

    def generate_many(self, images: Sequence[Any]) -> list[list[MaskRecord]]:
        """All masks of several photographs, of any sizes; the encoder takes them all at once.

        Raises UserError for what is not (height, width, 3) RGB of type uint8.
        """
        return [
            _without_small_regions(
                _records(crops, image.shape[:2]),
                self.min_mask_region_area,
                max(self.box_nms_thresh, self.crop_nms_thresh),
            )
            for image, crops in zip(images, self.candidates(images), strict=True)
        ]

    @torch.inference_mode()
    def candidates(self, images: Sequence[Any]) -> list[list[Candidates]]:
        """What ``generate_many`` draws: the masks that stay of each photograph, crop by crop, with their coarse logits.

        Small crops come first, and on each the mask with the best estimate of its IoU. Until the doubles of a crop are
        known, the coarse logits of all its masks that pass the other filters are held: for a model of 1024 pixels
        256 kB each. Raises UserError for what is not (height, width, 3) RGB of type uint8.
        """
        for image in images:
            check_image(image)
        found: list[list[Candidates]] = [[] for _ in images]
        crops = [list(crop_boxes(image.shape[:2], self.crop_n_layers, self.crop_overlap_ratio)) for image in images]
        for same_place in zip(*crops, strict=True):
            frames = [Frame(crop, self.sam.image_size) for _, crop in same_place]
            embeddings = self._encode(images, frames).split(1)
            for own, image, frame, embedding, (layer, _) in zip(
                found, images, frames, embeddings, same_place, strict=True
            ):
                own.append(self._of_crop(embedding, frame, self._grid(layer), image.shape[:2]))
        return [_without_doubles_between_crops(own, self.crop_nms_thresh) for own in found]

    def _encode(self, images: Sequence[Any], frames: Sequence[Frame]) -> Float[Tensor, "b c g g"]:
        squares = torch.stack([resize_image(image, frame) for image, frame in zip(images, frames, strict=True)])
        sizes = torch.tensor([frame.content for frame in frames])
        return self.sam.encode(squares.to(self.sam.device), sizes.to(self.sam.device))

    def _of_crop(
        self, embedding: Float[Tensor, "1 c g g"], frame: Frame, grid: Grid, size: tuple[int, int]
    ) -> Candidates:
        """The masks of one crop of a photograph of ``size`` that pass the filters, the best first and no doubles."""
        points = grid * frame.cropped[::-1] + frame.crop[:2]
        places = frame.points_to_model(torch.from_numpy(points)).float().to(embedding.device)
        at_image_size = AtImageSize(frame, self.sam.mask_size)
        parts = [Candidates.none(frame, self.sam.mask_size, embedding.device)]
        for masks in point_masks(self.sam, embedding, places, min_iou=self.pred_iou_thresh, step=self.points_per_batch):
            part = _measured(masks, points, at_image_size, self.stability_score_offset)
            stays = ~is_cut_off(part.boxes, frame.crop, size)
            if self.stability_score_thresh > 0:
                stays &= part.stability >= self.stability_score_thresh
            parts.append(part.rows(np.flatnonzero(stays)))
        boxes, ious = (np.concatenate([getattr(part, name) for part in parts]) for name in ("boxes", "ious"))
        return Candidates.chosen(parts, non_maximum_suppression(boxes, ious, self.box_nms_thresh))

    def _grid(self, layer: int) -> Grid:
        if self.points_per_side is None:
            assert self.point_grids is not None
            return self.point_grids[layer]
        return point_grid(int(self.points_per_side / self.crop_n_points_downscale_factor**layer))


def _measured(
    masks: PointMasks, points: Float[np.ndarray, "n 2"], at_image_size: AtImageSize, offset: float
) -> Candidates:
    stability, boxes = at_image_size.measure(masks.logits, offset)
    return Candidates(
        frame=at_image_size.frame,
        logits=masks.logits,
        ious=masks.ious.cpu().numpy(),
        stability=stability,
        boxes=boxes,
        points=points[masks.point.cpu().numpy()],
    )


def _without_doubles_between_crops(crops: list[Candidates], threshold: float) -> list[Candidates]:
    """Of two masks with nearly one box the one from the smaller crop stays; smaller crops come first."""
    if len(crops) == 1:
        return crops
    crops = sorted(crops, key=_smallness, reverse=True)
    scores = np.concatenate([np.full(len(crop), _smallness(crop), dtype=np.float32) for crop in crops])
    stays = non_maximum_suppression(np.concatenate([crop.boxes for crop in crops]), scores, threshold)
    ends = np.cumsum([len(crop) for crop in crops])
    each = np.split(stays, np.searchsorted(stays, ends[:-1]))
    return [crop.rows(own - (end - len(crop))) for crop, own, end in zip(crops, each, ends, strict=True)]


def _smallness(crop: Candidates) -> float:
    """One over the crop's area, in single precision as in the official code: equal areas tie, and the order decides."""
    height, width = crop.frame.cropped
    return float(1 / np.float32(height * width))


def _records(crops: Sequence[Candidates], size: tuple[int, int]) -> list[MaskRecord]:
    return [
        MaskRecord(
            segmentation=rle,
            area=area(runs(rle)),
            bbox=_corner_and_size(*candidates.boxes[row].tolist()),
            predicted_iou=float(candidates.ious[row]),
            point_coords=((float(candidates.points[row, 0]), float(candidates.points[row, 1])),),
            stability_score=float(candidates.stability[row]),
            crop_box=_corner_and_size(*candidates.frame.crop),
        )
        for candidates in crops
        for row, rle in enumerate(candidates.encode(size))
    ]


def _without_small_regions(records: list[MaskRecord], min_area: int, threshold: float) -> list[MaskRecord]:
    """Masks without specks and pinholes; where two have become doubles, one that was clean before stays."""
    if min_area == 0:
        return records
    cleaned = [_cleaned(record, min_area) for record in records]
    boxes = np.array([_outermost(record.segmentation) for record in cleaned], dtype=np.int64).reshape(-1, 4)
    was_clean = np.array([new is old for new, old in zip(cleaned, records, strict=True)], dtype=np.float32)
    return [cleaned[row] for row in non_maximum_suppression(boxes, was_clean, threshold)]


def _cleaned(record: MaskRecord, min_area: int) -> MaskRecord:
    bitmap = remove_small_regions(np.ascontiguousarray(record.bitmap()), min_area)
    if bitmap is None:
        return record
    rle = encode(bitmap)
    return replace(record, segmentation=rle, area=area(runs(rle)), bbox=_corner_and_size(*_outermost(rle)))


def _outermost(rle: Rle) -> Box:
    """XYXY with both edges included; zeros for an empty mask."""
    x0, y0, x1, y1 = box(runs(rle), rle.size[0])
    return x0, y0, max(x1 - 1, 0), max(y1 - 1, 0)


def _corner_and_size(x0: int, y0: int, x1: int, y1: int) -> Box:
    return x0, y0, x1 - x0, y1 - y0
