"""Pictures of the rounds: for a few held-out objects what was asked, what was answered, and what is wrong with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import lightning as L
import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from lightning.pytorch.loggers import WandbLogger
from torch import Tensor

from anymask.atomic import write_atomically
from anymask.drawing import TRUE, View, draw_box, draw_clicks, draw_error, jpeg, overlay, tile
from anymask.regions import resize_logits
from anymask.rounds import Turn, play
from anymask.structures import Batch, Decoded, Label, Prompts
from anymask.training.sam_module import SamModule, objects_of

__all__ = ["RoundPictures"]

Picture = UInt8[np.ndarray, "h w 3"]

SIDE = 192  # of each of the small pictures, in pixels
CONTEXT = 1.8  # what is shown around an object, by the longer side of its box
SMALLEST_VIEW = 64.0  # pixels of the model frame


class RoundPictures(L.Callback):
    """After each validation one picture in ``pictures/`` and in wandb: two rows for each object.

    Above the surroundings of the object with the truth, then each round's prompts and prediction; below the errors.
    """

    def __init__(self, folder: Path, *, objects: int) -> None:
        self.folder = folder / "pictures"
        self.objects = objects
        self._batch: Batch | None = None  # the first held-out one with objects

    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        module: L.LightningModule,
        outputs: object,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if self._batch is None or batch_idx == 0 or not len(self._batch.boxes):
            self._batch = batch

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        assert isinstance(module, SamModule)
        if self._batch is None:
            return
        precision = trainer.precision_plugin.val_step_context  # as in the steps
        with torch.no_grad(), precision():  # by every process: a sharded encoder is gathered by all of them
            embeddings = module.best.encode(self._batch.images, self._batch.sizes)
        if not trainer.is_global_zero or not len(self._batch.boxes):
            return
        with precision():
            picture = jpeg(draw_rounds(module, self._batch, embeddings, self.objects))
        path = self.folder / f"step_{trainer.global_step:07d}.jpg"
        write_atomically(path, lambda part: part.write_bytes(picture))
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.log_image("rounds", [str(path)], step=trainer.global_step)


@torch.no_grad()
def draw_rounds(module: SamModule, batch: Batch, embeddings: Float[Tensor, "b c g g"], number: int) -> Picture:
    """The rounds of training on the first objects of a batch, as they were prompted there."""
    sam = module.best
    first = {name: getattr(batch, name)[:number] for name in ("image_index", "targets", "boxes", "seeds")}
    batch = replace(batch, **first)
    objects = objects_of(batch, sam)

    def decode(prompts: Prompts, outputs: slice) -> Decoded:
        return sam.decode(embeddings, prompts, outputs=outputs)

    turns = list(play(module.rounds, module.first_prompt, objects, decode))
    rows = []
    for index in range(len(batch.boxes)):
        photograph = batch.images[batch.image_index[index]].permute(1, 2, 0).cpu().numpy()
        rows += _object_rows(photograph, batch, turns, index)
    return tile(rows)


def _view_around(box: Float[np.ndarray, " 4"], frame: int) -> View:
    """The square of the model frame around one object that is shown."""
    x0, y0, x1, y1 = box.tolist()
    side = min(frame, round(max(SMALLEST_VIEW, CONTEXT * (x1 - x0), CONTEXT * (y1 - y0))))
    x, y = (round(min(max(0.0, (a + b - side) / 2), frame - side)) for a, b in ((x0, x1), (y0, y1)))
    return View(x, y, x + side, y + side, (SIDE, SIDE))


def _in_frame(mask: Bool[Tensor, "r r"], frame: int) -> Bool[np.ndarray, "s s"]:
    bits = mask.cpu().numpy().astype(np.uint8)
    return np.asarray(cv2.resize(bits, (frame, frame), interpolation=cv2.INTER_NEAREST)).astype(bool)


def _object_rows(
    photograph: UInt8[np.ndarray, "h w 3"], batch: Batch, turns: list[Turn], index: int
) -> list[list[UInt8[np.ndarray, "s s 3"]]]:
    frame, target = photograph.shape[0], batch.targets[index]
    view = _view_around(batch.boxes[index].cpu().numpy(), frame)
    small = view.cut(photograph)
    true = view.cut_mask(_in_frame(target, frame))
    above, below = [overlay(small, true, TRUE)], [small]
    for turn in turns:
        predicted = view.cut_mask(_in_frame(_answer(turn, index, target.shape[-1]), frame))
        points = view.move(turn.prompts.points[index].cpu().numpy())
        labels = turn.prompts.labels[index].cpu().numpy()
        above.append(_draw_prompts(overlay(small, predicted), points, labels))
        below.append(draw_error(small, predicted, true))
    return [above, below]


def _answer(turn: Turn, index: int, side: int) -> Bool[Tensor, "r r"]:
    logits = turn.decoded.logits[index, turn.confident[index]]
    return resize_logits(logits[None, None].float(), side)[0, 0] > 0


def _draw_prompts(picture: Picture, points: Float[np.ndarray, "k 2"], labels: Int[np.ndarray, " k"]) -> Picture:
    corners = points[labels >= Label.CORNER_TOP_LEFT]
    if len(corners):
        picture = draw_box(picture, corners.flatten())
    return draw_clicks(picture, points, labels)
