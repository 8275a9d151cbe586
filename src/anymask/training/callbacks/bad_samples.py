"""Writes down what could not be trained on: bad samples, and batches whose loss was not finite."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L

from anymask.structures import Batch
from anymask.training.sam_module import SamModule

__all__ = ["BadSamples"]


class BadSamples(L.Callback):
    """One JSON line (shard, key, reason) for each bad sample in ``bad_samples.jsonl``; their count goes to the log."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "bad_samples.jsonl"
        self.count = 0

    def on_train_batch_start(self, trainer: L.Trainer, module: L.LightningModule, batch: Batch, batch_idx: int) -> None:
        if batch.skipped:
            self.count += len(batch.skipped)
            self._append([{"shard": s.shard, "key": s.key, "reason": s.reason} for s in batch.skipped])
            assert isinstance(module, SamModule)
            module.tell({"data/bad_samples": self.count})

    def on_nonfinite_loss(self, trainer: L.Trainer, keys: Sequence[str]) -> None:
        """Called by the module when a step was left out."""
        reason = f"the loss of step {trainer.global_step + 1} was not finite"
        self._append([{"shard": None, "key": key, "reason": reason} for key in keys])

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.count = state_dict["count"]

    def _append(self, lines: list[dict[str, str | None]]) -> None:
        with self.path.open("a") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)
