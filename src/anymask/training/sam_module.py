"""The training step as a LightningModule: encode once, play the rounds, match, sum, go back.

    embeddings = encode(images)                              once per image
    for turn in play(rounds):                                eleven times
        loss = matched(20 focal + dice + IoU error)          summed over the objects
        backward                                             down to the embeddings
    embeddings.backward(sum of the rounds' gradients)        once per image

Optimisation is done by hand (Lightning's manual mode) so that each round's activations are freed before the next: a
fifth of the memory for the same gradients. Gradients are sums over objects until the optimiser steps; then they are
divided by the number of objects of all accumulated batches, so that each object counts the same.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import lightning as L
import torch
from jaxtyping import Float
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.utils.checkpoint import checkpoint
from torchmetrics import MeanMetric

from anymask.data.mixture import seeded
from anymask.draws import Draws
from anymask.errors import UserError
from anymask.losses import LossWeights, mask_losses
from anymask.matching import Matching, pick
from anymask.models.sam import Sam
from anymask.prompts import FirstPrompt, Objects
from anymask.regions import content_mask, resize_logits
from anymask.rounds import Rounds, Turn, play
from anymask.structures import Batch, Decoded, Prompts
from anymask.training.gradients import LossScale, local, normalise_and_clip, sum_over_processes
from anymask.training.optim import Optimisation
from anymask.training.parallel import shard, share_weights

__all__ = ["VALIDATION_ROUNDS", "SamModule", "objects_of"]

TERMS = ("focal", "dice", "iou")

AUTOCAST = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
"""What autocast computes in, by Lightning's name for it."""

VALIDATION_ROUNDS = Rounds(clicks=4, round_without_click=False, last_without_click=False, click="centre")
"""As in the evaluation (SAM, appendix D.1), on the lattice of the loss: five centre clicks, and three outputs where the
training asks for them."""


class SamModule(L.LightningModule):
    """``freeze`` names sub-modules of the model that keep their weights, such as ``image_encoder``.

    ``ema_decay`` above 0 keeps a moving average of the weights, which is validated and exported instead.
    ``max_nonfinite`` losses in a row that are not finite end the run. ``prompts_at_once`` of a round are decoded
    together, and again on the way back, so that only these keep their activations; None: all, once.
    """

    def __init__(
        self,
        sam: Sam,
        *,
        optimisation: Optimisation,
        rounds: Rounds,
        first_prompt: FirstPrompt,
        loss_weights: LossWeights,
        matching: Matching,
        accumulate: int = 1,
        clip_norm: float = 1.0,
        ema_decay: float = 0.0,
        freeze: Sequence[str] = (),
        compile: bool = False,
        prompts_at_once: int | None = None,
        max_nonfinite: int = 10,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.sam = sam
        self.optimisation = optimisation
        self.rounds = rounds
        self.first_prompt = first_prompt
        self.loss_weights = loss_weights
        self.matching = matching
        self.accumulate = accumulate
        self.clip_norm = clip_norm
        self.prompts_at_once = prompts_at_once
        self.max_nonfinite = max_nonfinite
        self.seed = seed
        self.frozen = [_sub_module(sam, name) for name in freeze]
        for module in self.frozen:
            module.requires_grad_(False)
        if not any(parameter.requires_grad for parameter in sam.parameters()):
            raise UserError(f"nothing is left to train: module.freeze={list(freeze)} is all of the model")
        self.ema_decay = ema_decay
        self.ema = copy.deepcopy(sam).requires_grad_(False) if ema_decay else None
        if compile:
            for block in sam.image_encoder.blocks:  # one by one: they are alike, and a shard is gathered for each
                block.compile()
            sam.mask_decoder.compile()
        self.loss_scale: LossScale | None = None  # of half precision
        self.nonfinite_in_a_row = 0
        self._objects = 0  # whose gradients are summed so far, in this process
        self._told: list[Tensor] = []  # of each batch and round the terms and IoUs, summed over its objects
        self._norm = torch.zeros(())  # of the last step's gradient, before clipping
        self._keys: list[str] = []
        self.val_iou = nn.ModuleDict({name: MeanMetric() for name in ("miou@1", "oracle@1", "miou@5", "calibration")})

    @property
    def best(self) -> Sam:
        """The model that is validated and exported: the average if there is one."""
        return self.sam if self.ema is None else self.ema

    def configure_model(self) -> None:
        """Shard the encoders where the strategy says over which processes. Lightning calls it more than once."""
        if self.device_mesh is None or isinstance(self.sam.image_encoder, FSDPModule):
            return
        share_weights(self)
        half = AUTOCAST.get(str(self.trainer.precision))
        for sam in [self.sam, *([] if self.ema is None else [self.ema])]:
            shard(sam.image_encoder, self.device_mesh["data_parallel"], half)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimiser, schedule = self.optimisation.build(self.sam, self.sam.architecture.depth)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def train(self, mode: bool = True) -> SamModule:
        """Frozen modules and the average stay in evaluation mode."""
        super().train(mode)
        for module in [*self.frozen, *([] if self.ema is None else [self.ema])]:
            module.eval()
        return self

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        # What is dropped depends on nothing before, so that there is no state to store, and a resumed run is the same.
        torch.manual_seed(seeded("dropped", self.seed, self.global_rank, batch_idx).getrandbits(63))
        objects = objects_of(batch, self.sam)
        with torch.set_grad_enabled(any(p.requires_grad for p in self.sam.image_encoder.parameters())):
            embeddings = self.sam.encode(batch.images, batch.sizes)
        leaf = embeddings.detach().requires_grad_(embeddings.requires_grad)

        def decode(prompts: Prompts, outputs: slice) -> Decoded:
            return self._decode(leaf, prompts, outputs)

        told = []
        for turn in play(self.rounds, self.first_prompt, objects, decode):
            loss, row = self._loss_of(turn, objects)
            self.manual_backward(loss if self.loss_scale is None else loss * self.loss_scale.value)
            told.append(row)
        if leaf.grad is not None:
            torch.autograd.backward(embeddings, leaf.grad)

        self._told.append(torch.stack(told))
        self._objects += len(objects.boxes)
        self._keys += batch.keys
        if (batch_idx + 1) % self.accumulate == 0:
            self._step()

    def _decode(self, embeddings: Float[Tensor, "b c g g"], prompts: Prompts, outputs: slice) -> Decoded:
        at_once, number = self.prompts_at_once, len(prompts.image_index)
        if at_once is None or at_once >= number:
            return self.sam.decode(embeddings, prompts, outputs=outputs)
        lots = [prompts.rows(slice(begin, begin + at_once)) for begin in range(0, number, at_once)]
        parts = [checkpoint(self.sam.decode, embeddings, lot, outputs=outputs, use_reentrant=False) for lot in lots]
        return Decoded(torch.cat([part.logits for part in parts]), torch.cat([part.ious for part in parts]))

    def _loss_of(self, turn: Turn, objects: Objects) -> tuple[Tensor, Float[Tensor, " columns"]]:
        """The loss, and for the log each term and the true and the predicted IoU; all summed over the objects."""
        logits = resize_logits(turn.decoded.logits, objects.targets.shape[-1])
        losses, true_ious = mask_losses(logits, turn.decoded.ious, objects.targets)
        weighted = self.loss_weights.of(losses)
        terms = self.matching.terms(weighted, self.matching.nearest(weighted, turn.allowed), turn.allowed)
        loss = torch.stack([terms[name].sum() for name in TERMS])
        ious = [pick(true_ious, turn.confident), pick(turn.decoded.ious.float(), turn.confident)]
        return loss.sum(), torch.cat([loss.detach(), torch.stack([iou.detach().sum() for iou in ious])])

    def _step(self) -> None:
        """One step of the optimiser; left out where the loss or its gradient is not finite, by all processes alike."""
        optimiser = cast(LightningOptimizer, self.optimizers())
        rounds, objects = self._of_all_processes()
        parameters = [p for p in self.sam.parameters() if p.requires_grad]
        sum_over_processes(parameters)
        scale = 1.0 if self.loss_scale is None else self.loss_scale.value
        self._norm = normalise_and_clip(parameters, objects=objects * scale, clip_norm=self.clip_norm)
        rate = optimiser.param_groups[-1]["lr"]
        is_finite = torch.stack([torch.isfinite(rounds).all(), torch.isfinite(self._norm)])
        has_loss, has_gradient = is_finite.tolist()  # the one place where a step waits for the device
        if has_loss and self.loss_scale is not None:
            self.loss_scale.update(finite=has_gradient)
        if has_loss and has_gradient:
            optimiser.step()
            cast(Any, self.lr_schedulers()).step()
            self._update_average()
            self.nonfinite_in_a_row = 0
            self._log_rounds(rounds, objects, rate)
        elif not has_loss or scale <= 1.0:  # else the scale was too large, as it is at times
            self.nonfinite_in_a_row += 1
            self._report_nonfinite()
        optimiser.zero_grad()
        self._objects, self._told, self._keys = 0, [], []

    def _of_all_processes(self) -> tuple[Float[Tensor, "rounds columns"], Float[Tensor, ""]]:
        """What each round reached, the mean over the step's objects in all processes, and their number."""
        told = torch.stack(self._told).sum(dim=0)
        own = torch.cat([told.flatten(), told.new_tensor([self._objects])])
        total = self.trainer.strategy.reduce(own, reduce_op="sum")
        assert isinstance(total, Tensor)
        return total[:-1].view_as(told) / total[-1], total[-1]

    def _report_nonfinite(self) -> None:
        for callback in self.trainer.callbacks:  # type: ignore[attr-defined]
            if hasattr(callback, "on_nonfinite_loss"):
                callback.on_nonfinite_loss(self.trainer, self._keys)
        if self.nonfinite_in_a_row >= self.max_nonfinite:
            raise UserError(
                f"the loss was not finite {self.nonfinite_in_a_row} times in a row, last for {', '.join(self._keys)}; "
                "the weights are those before: lower optim.lr or resume from the last checkpoint"
            )

    def _update_average(self) -> None:
        if self.ema is not None:
            own = [local(parameter.detach()) for parameter in self.sam.parameters()]
            average = [local(parameter.detach()) for parameter in self.ema.parameters()]
            torch._foreach_lerp_(average, own, 1 - self.ema_decay)

    def _log_rounds(self, rounds: Float[Tensor, "rounds columns"], objects: Float[Tensor, ""], rate: float) -> None:
        """``rounds`` holds for each round the mean over the step's objects, ``rate`` is the step's learning rate."""
        mean = rounds.mean(dim=0)
        self.log("loss", mean[: len(TERMS)].sum(), prog_bar=True, logger=False)
        self.log("iou", mean[len(TERMS)], prog_bar=True, logger=False)
        if self.trainer.global_step % self.trainer.log_every_n_steps:  # type: ignore[attr-defined]
            return
        names = [*TERMS, "true_iou", "predicted_iou"]
        table = dict(zip(names, torch.cat([mean[None], rounds]).t().tolist(), strict=True))  # one wait for the device
        told = {f"train/{name}": values[0] for name, values in table.items()}
        told |= {
            f"train/{name}/round_{number:02d}": value
            for name, values in table.items()
            for number, value in enumerate(values[1:], start=1)
        }
        told["train/loss"] = sum(told[f"train/{term}"] for term in TERMS)
        told["train/objects"] = float(objects)
        told["train/gradient_norm"] = float(self._norm)
        told["train/lr"] = rate
        self.tell(told)

    def tell(self, figures: Mapping[str, float]) -> None:
        """To all logs at once: what Lightning collects it writes after the step's checkpoint, and a kill loses it."""
        for logger in self.loggers:
            logger.log_metrics(dict(figures), step=self.trainer.global_step)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        sam = self.best
        objects = objects_of(batch, sam)
        embeddings = sam.encode(batch.images, batch.sizes)  # by every process, be it for nothing
        if not len(batch.boxes):
            for name in self.val_iou:
                self._val_metric(name).update(0.0, weight=0.0)
            return
        first = FirstPrompt(weights={"centre_point": 1.0})

        def decode(prompts: Prompts, outputs: slice) -> Decoded:
            return sam.decode(embeddings, prompts, outputs=outputs)

        rounds = replace(VALIDATION_ROUNDS, ambiguous=self.rounds.ambiguous)
        for turn in play(rounds, first, objects, decode):
            _, ious = mask_losses(
                resize_logits(turn.decoded.logits, objects.targets.shape[-1]), turn.decoded.ious, objects.targets
            )
            confident = pick(ious, turn.confident)
            if turn.number == 0:
                error = (pick(turn.decoded.ious, turn.confident) - confident).abs()
                for name, value in {"miou@1": confident, "oracle@1": ious.amax(dim=1), "calibration": error}.items():
                    self._val_metric(name).update(value)
        self._val_metric("miou@5").update(confident)

    def on_validation_epoch_end(self) -> None:
        reached = {f"val/{name}": self._val_metric(name).compute() for name in self.val_iou}
        of_all = self.trainer.world_size > 1  # the same in all processes, but Lightning wants to be told
        self.log_dict(reached, logger=False, sync_dist=of_all)
        for name in ("miou@1", "miou@5"):
            self.log(name, reached[f"val/{name}"], prog_bar=True, logger=False, sync_dist=of_all)
        self.tell({name: float(value) for name, value in reached.items()})
        for name in self.val_iou:
            self._val_metric(name).reset()

    def _val_metric(self, name: str) -> MeanMetric:
        return cast(MeanMetric, self.val_iou[name])

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["accumulate"] = self.accumulate
        checkpoint["nonfinite_in_a_row"] = self.nonfinite_in_a_row
        if self.loss_scale is not None:
            checkpoint["loss_scale"] = [self.loss_scale.value, self.loss_scale.good]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        loop = checkpoint["loops"]["fit_loop"]
        # It may be the last of a run that is now given more steps; Lightning would take it for the end of this one.
        loop["epoch_loop.batch_progress"]["is_last_batch"] = False
        _count_batches_anew(loop, checkpoint.get("accumulate", self.accumulate), self.accumulate)
        self.nonfinite_in_a_row = checkpoint["nonfinite_in_a_row"]
        if self.loss_scale is not None and "loss_scale" in checkpoint:
            self.loss_scale.value, self.loss_scale.good = checkpoint["loss_scale"]


def objects_of(batch: Batch, sam: Sam) -> Objects:
    """The objects of a batch, to be prompted for."""
    content = content_mask(batch.sizes, sam.image_size, batch.targets.shape[-1])
    return Objects(
        targets=batch.targets,
        boxes=batch.boxes,
        image_index=batch.image_index,
        content=content[batch.image_index],
        sizes=batch.sizes[batch.image_index],
        image_size=sam.image_size,
        mask_size=sam.mask_size,
        draws=Draws(batch.seeds),
    )


def _count_batches_anew(loop: dict[str, Any], before: int, now: int) -> None:
    """A run that goes on with more or fewer batches a step has as many of these behind it as its steps would take.

    Lightning's loop and the loader count batches. A checkpoint lies between two steps.
    """
    for progress in (loop["epoch_loop.batch_progress"][kind] for kind in ("total", "current")):
        done = progress["ready"]
        assert done % before == 0
        for name in progress:  # Lightning has not yet completed the last one
            progress[name] += done // before * now - done
    for loader in loop["state_dict"]["combined_loader"]:
        loader["given"] = loader["given"] // before * now


def _sub_module(sam: Sam, name: str) -> nn.Module:
    try:
        return sam.get_submodule(name)
    except AttributeError:
        parts = ", ".join(child for child, _ in sam.named_children())
        raise UserError(f"cannot freeze {name!r}: the model has no such part; there are {parts} and theirs") from None
