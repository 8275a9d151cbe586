"""Writes down what could not be trained on: bad samples, and batches whose loss was not finite."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
import torch
import torch.distributed as dist

from anymask.atomic import write_atomically
from anymask.structures import Batch
from anymask.training.sam_module import SamModule

__all__ = ["BadSamples"]


class BadSamples(L.Callback):
    """One JSON line (step, shard, key, reason) for each bad sample in ``bad_samples.jsonl``; the log gets their count.

    A step is the one that the sample's batch goes into. On resume the lines after the checkpoint's step are dropped.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "bad_samples.jsonl"
        self.count = 0  # of this process since it began
        self._before = 0  # of all, when it began
        self._step = 1  # that the batch at hand goes into
        self._told = 0  # of the count

    def on_train_batch_start(self, trainer: L.Trainer, module: L.LightningModule, batch: Batch, batch_idx: int) -> None:
        self._step = trainer.global_step + 1
        self.count += len(batch.skipped)
        self._append([{"shard": s.shard, "key": s.key, "reason": s.reason} for s in batch.skipped])

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: object, batch: Batch, batch_idx: int
    ) -> None:
        is_made = trainer.global_step == self._step
        if is_made and self._step % trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            assert isinstance(module, SamModule)
            count = self._of_all(trainer)
            if count > self._told:
                module.tell({"data/bad_samples": count})
            self._told = count

    def on_nonfinite_loss(self, trainer: L.Trainer, keys: Sequence[str]) -> None:
        """Called by the module when a step was left out."""
        self._append([{"shard": None, "key": key, "reason": "the loss of the step was not finite"} for key in keys])

    def _of_all(self, trainer: L.Trainer) -> int:
        count = torch.tensor(self.count)
        if trainer.world_size > 1:
            dist.all_reduce(count)  # on the CPU
        return self._before + int(count)

    def on_save_checkpoint(self, trainer: L.Trainer, module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint["bad_samples"] = self._of_all(trainer)

    def on_load_checkpoint(self, trainer: L.Trainer, module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        self._before = self._told = checkpoint["bad_samples"]
        if trainer.is_global_zero and self.path.exists():
            whole = [line for line in self.path.read_text().splitlines(keepends=True) if line.endswith("\n")]
            kept = "".join(line for line in whole if json.loads(line)["step"] <= checkpoint["global_step"])
            write_atomically(self.path, lambda part: part.write_text(kept))

    def _append(self, lines: list[dict[str, str | None]]) -> None:
        if lines:
            with self.path.open("a") as file:
                file.writelines(json.dumps({"step": self._step} | line) + "\n" for line in lines)
