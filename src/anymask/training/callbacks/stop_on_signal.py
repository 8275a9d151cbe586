"""Ends a run on a signal: at the end of a step, in all processes at the same one, with a checkpoint.

Nothing is saved within a handler: other processes may be waiting for this one, and it would wait for them.
"""

from __future__ import annotations

import signal
from types import FrameType

import lightning as L
import torch
import torch.distributed as dist

from anymask.training.checkpointing import Checkpoints

__all__ = ["SIGNALS", "StopOnSignal", "Stopped"]

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
"""Ctrl-C; ``kill`` and ``scancel``; a SLURM job that is told of its time limit. Another Ctrl-C ends at once."""


class Stopped(Exception):
    """The run was asked to end and has saved."""

    def __init__(self, signum: signal.Signals, step: int) -> None:
        super().__init__(f"stopped by {signum.name} after step {step}")
        self.signum, self.step = signum, step


class StopOnSignal(L.Callback):
    """Raises Stopped when any process was sent one of SIGNALS; stands behind ``checkpoints`` among the callbacks."""

    def __init__(self, checkpoints: Checkpoints) -> None:
        self.checkpoints = checkpoints
        self._sent = 0
        self._asked_after = -1  # the step after which the processes last asked one another

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Not before: Lightning sets handlers of its own just before, which talk to other processes."""
        for signum in SIGNALS:
            signal.signal(signum, self._note)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)  # held back while the program started

    def _note(self, signum: int, frame: FrameType | None) -> None:
        if signum == self._sent == signal.SIGINT:
            raise KeyboardInterrupt
        self._sent = max(signum, self._sent)

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        assert trainer.val_check_batch is not None
        if (batch_idx + 1) % trainer.val_check_batch:  # else once the validation is done
            self._stop_if_asked(trainer)

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._stop_if_asked(trainer)

    def _stop_if_asked(self, trainer: L.Trainer) -> None:
        if trainer.global_step == self._asked_after:  # within a step, while gradients are accumulated
            return
        self._asked_after = trainer.global_step
        sent = torch.tensor(self._sent)
        if trainer.world_size > 1:
            dist.all_reduce(sent, op=dist.ReduceOp.MAX)  # on the CPU; SIGTERM is the largest
        if sent:
            self.checkpoints.save(trainer)
            raise Stopped(signal.Signals(int(sent)), trainer.global_step)
