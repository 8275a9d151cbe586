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

from collections.abc import Callable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from anymask.errors import UserError
from anymask.geometry import Frame, resize_image
from anymask.inference.candidates import Candidates, Measured, picked
from anymask.inference.crops import crop_boxes, point_grid
from anymask.inference.mask_filters import is_cut_off, non_maximum_suppression
from anymask.inference.mask_records import MaskRecord, drawn, without_small_regions
from anymask.inference.point_masks import PointMasks, point_masks
from anymask.inference.predictor import check_image
from anymask.inference.windows import AtImageSize
from anymask.models.sam import AMBIGUOUS, SINGLE, Sam

__all__ = ["Choose", "Grid", "MaskGenerator", "MaskRecord"]

Grid = Float[np.ndarray, "_ 2"]
"""Points (x, y) as shares of a crop's width and height."""

Choose = Callable[[Measured], Int[np.ndarray, " k"]]
"""Which masks of a crop are wanted, and in which order, by what is known of them."""

HELD_BYTES = 2**30
"""Coarse logits that are held until the doubles of a crop are known. Where there are more, none are held, and those of
the masks that stay are worked out again: a second look at 1000 of the 12,288 masks of 64 x 64 points costs a fifth of
the first one, holding them all 3.2 GB for a model of 1024 pixels."""


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
    multimask: bool = True  # three masks for each point; else the one for prompts that leave no doubt

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
            without_small_regions(
                drawn(crops, image.shape[:2]),
                self.min_mask_region_area,
                max(self.box_nms_thresh, self.crop_nms_thresh),
            )
            for image, crops in zip(images, self.candidates(images), strict=True)
        ]

    @torch.inference_mode()
    def candidates(self, images: Sequence[Any], choose: Choose | None = None) -> list[list[Candidates]]:
        """What ``generate_many`` draws: the masks that stay of each photograph, crop by crop, with their coarse logits.

        Small crops come first, and on each the mask with the best estimate of its IoU; ``choose`` may leave some out
        or order them otherwise, before they take memory: for a model of 1024 pixels 256 kB each.
        Raises UserError for what is not (height, width, 3) RGB of type uint8.
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
                own.append(self._of_crop(embedding, frame, self._grid(layer), image.shape[:2], choose))
        return [_without_doubles_between_crops(own, self.crop_nms_thresh) for own in found]

    def _encode(self, images: Sequence[Any], frames: Sequence[Frame]) -> Float[Tensor, "b c g g"]:
        pairs = zip(images, frames, strict=True)
        squares = torch.stack([resize_image(image, frame, by="pillow") for image, frame in pairs])
        sizes = torch.tensor([frame.content for frame in frames])
        return self.sam.encode(squares.to(self.sam.device), sizes.to(self.sam.device))

    def _of_crop(
        self,
        embedding: Float[Tensor, "1 c g g"],
        frame: Frame,
        grid: Grid,
        size: tuple[int, int],
        choose: Choose | None,
    ) -> Candidates:
        """The masks of one crop of a photograph of ``size`` that pass the filters, the best first and no doubles."""
        points = grid * frame.cropped[::-1] + frame.crop[:2]
        places = frame.points_to_model(torch.from_numpy(points)).float().to(embedding.device)
        found, logits = self._first_look(embedding, frame, points, places, size)
        rows = non_maximum_suppression(found.boxes, found.ious, self.box_nms_thresh)
        if choose is not None:
            rows = rows[choose(found.rows(rows))]
        chosen = found.rows(rows)
        if logits is None:
            return Candidates.of(chosen, self._second_look(embedding, places, chosen))
        return Candidates.of(chosen, picked(logits, rows))

    def _first_look(
        self,
        embedding: Float[Tensor, "1 c g g"],
        frame: Frame,
        points: Float[np.ndarray, "n 2"],
        places: Float[Tensor, "n 2"],
        size: tuple[int, int],
    ) -> tuple[Measured, list[Tensor] | None]:
        """All masks that pass the filters, doubles among them; their logits unless these are too many to be held."""
        at_image_size = AtImageSize(frame, self.sam.mask_size)
        found = Measured.room_for(len(points) * self._masks_per_point, frame)
        logits: list[Tensor] | None = [torch.zeros(0, *[self.sam.mask_size] * 2, device=embedding.device)]
        number = held = 0
        for masks in self._decode(embedding, places, min_iou=self.pred_iou_thresh):
            part = _measured(masks, points, at_image_size, self.stability_score_offset)
            stays = ~is_cut_off(part.boxes, frame.crop, size)
            if self.stability_score_thresh > 0:
                stays &= part.stability >= self.stability_score_thresh
            part = part.rows(np.flatnonzero(stays))
            found.write(part, number)
            number += len(part)
            held += len(part) * masks.logits[0].nbytes
            if held > HELD_BYTES:
                logits = None
            if logits is not None:
                logits.append(_some(masks.logits, stays))
        return found.rows(np.arange(number)), logits

    def _second_look(
        self, embedding: Float[Tensor, "1 c g g"], places: Float[Tensor, "n 2"], chosen: Measured
    ) -> Float[Tensor, "k q q"]:
        """The logits of the chosen masks once more; the same to rounding."""
        prompts, prompt_of = np.unique(chosen.origins[:, 0], return_inverse=True)
        logits = torch.zeros(len(chosen), *[self.sam.mask_size] * 2, device=embedding.device)
        for masks in self._decode(embedding, places[torch.from_numpy(prompts).to(places.device)]):
            first, last = int(masks.point[0]), int(masks.point[-1])
            here = np.flatnonzero((prompt_of >= first) & (prompt_of <= last))
            own = (prompt_of[here] - first) * self._masks_per_point + chosen.origins[here, 1]
            there, own_rows = (torch.from_numpy(index).to(logits.device) for index in (here, own))
            logits[there] = masks.logits[own_rows]
        return logits

    def _decode(
        self, embedding: Float[Tensor, "1 c g g"], places: Float[Tensor, "n 2"], *, min_iou: float = 0.0
    ) -> Iterator[PointMasks]:
        step = self.points_per_batch
        return point_masks(self.sam, embedding, places, outputs=self._outputs, min_iou=min_iou, step=step)

    @property
    def _outputs(self) -> slice:
        return AMBIGUOUS if self.multimask else SINGLE

    @property
    def _masks_per_point(self) -> int:
        return int(self._outputs.stop - self._outputs.start)

    def _grid(self, layer: int) -> Grid:
        if self.points_per_side is None:
            assert self.point_grids is not None
            return self.point_grids[layer]
        return point_grid(int(self.points_per_side / self.crop_n_points_downscale_factor**layer))


def _measured(
    masks: PointMasks, points: Float[np.ndarray, "n 2"], at_image_size: AtImageSize, offset: float
) -> Measured:
    stability, boxes = at_image_size.measure(masks.logits, offset)
    point = masks.point.cpu().numpy()
    return Measured(
        frame=at_image_size.frame,
        ious=masks.ious.cpu().numpy(),
        stability=stability,
        boxes=boxes,
        points=points[point],
        origins=np.stack([point, masks.output.cpu().numpy()], axis=1),
    )


def _some(logits: Float[Tensor, "n q q"], wanted: Bool[np.ndarray, " n"]) -> Float[Tensor, "m q q"]:
    """Copied only where not all are wanted."""
    return logits if wanted.all() else logits[torch.from_numpy(wanted).to(logits.device)]


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
