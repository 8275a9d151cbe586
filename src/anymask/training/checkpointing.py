"""A run's checkpoints: written whole or not at all, read without running code, the newest sound one found again."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO

from anymask.atomic import discard, write_atomically
from anymask.errors import UserError
from anymask.models.checkpoints import read_checkpoint
from anymask.models.torch_files import write_torch_file

__all__ = ["AtomicCheckpointIO", "Checkpoints", "newest_checkpoint", "remove_parts"]


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's own writes through the system's temporary folder, which may be small or on another disk."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Raises UserError where it cannot be written; what was there before still is."""
        try:
            write_atomically(Path(path), lambda part: write_torch_file(checkpoint, part))
        except OSError as error:
            raise UserError(
                f"the checkpoint {path} could not be written, the one before it is whole: {error.strerror}"
            ) from None

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        return read_checkpoint(Path(path))


class Checkpoints(Checkpoint):
    """Keeps the last checkpoints, each ``every`` steps, and the best by the confident mask's IoU at one click.

    Lightning's own callback asks for the weights before the step where a module steps by hand. Where a validation is
    due in the same step the checkpoint waits for it, so that a resumed run neither repeats it nor leaves it out.
    """

    def __init__(self, folder: Path, *, every: int, keep: int) -> None:
        self.folder = folder / "checkpoints"
        self.every, self.keep = every, keep
        self.best = -1.0
        self._saved = 0  # the step of the last checkpoint

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        assert trainer.val_check_batch is not None
        if (batch_idx + 1) % trainer.val_check_batch:
            self._save_if_due(trainer)

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        reached = float(trainer.callback_metrics["val/miou@1"])
        if reached > self.best:
            self.best = reached
            trainer.save_checkpoint(self.folder / "best.ckpt")
        self._save_if_due(trainer)

    def _save_if_due(self, trainer: L.Trainer) -> None:
        if trainer.global_step % self.every == 0:
            self.save(trainer)

    def save(self, trainer: L.Trainer) -> None:
        """Of this step, unless it is saved already; called by every process."""
        step = trainer.global_step
        if step == self._saved:
            return
        self._saved = step
        trainer.save_checkpoint(self.folder / f"step_{step:07d}.ckpt")
        if trainer.is_global_zero:
            for path in _of_steps(self.folder)[self.keep :]:
                discard(path)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "saved": self._saved}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best, self._saved = state_dict["best"], state_dict["saved"]


def _of_steps(folder: Path) -> list[Path]:
    """Newest first."""
    return sorted(folder.glob("step_*.ckpt"), reverse=True)


def newest_checkpoint(folder: Path) -> tuple[Path, int] | None:
    """The newest checkpoint of a run that can be read, and its step; damaged ones are named in a warning, passed over.

    None where the run has written none yet. Raises UserError where all of them are damaged.
    """
    candidates = _of_steps(folder / "checkpoints")
    for path in candidates:
        try:
            return path, read_checkpoint(path)["global_step"]
        except UserError as error:
            warnings.warn(f"{error}; the checkpoint before it is taken", stacklevel=2)
    if candidates:
        raise UserError(f"{folder} has no checkpoint to go on from ({len(candidates)} were tried)")
    return None


def remove_parts(folder: Path) -> None:
    """Remove what a killed run had only begun to write."""
    for part in folder.rglob(".*.part"):
        discard(part)
