"""How fast a run goes and what it waits for: samples and masks a second, share of the time without data, memory."""

from __future__ import annotations

import resource
import time

import lightning as L
import torch

from anymask.structures import Batch
from anymask.training.sam_module import SamModule

__all__ = ["Throughput"]


class Throughput(L.Callback):
    """Means since the last line of the log. Nothing waits for the device but the line itself.

    ``throughput/samples`` and ``throughput/masks`` are per second and process; ``throughput/waiting_for_data`` is the
    share of the time between steps; ``memory/host_gib`` the largest ever, ``memory/device_gib`` the largest since the
    last line.
    """

    def __init__(self) -> None:
        self._logged = 0  # the step of the last line
        self._restart()

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._logged = trainer.global_step
        self._restart()

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._restart()

    def _restart(self) -> None:
        self._begin = self._ready = time.perf_counter()
        self._waited = 0.0
        self._samples = self._masks = 0

    def on_train_batch_start(self, trainer: L.Trainer, module: L.LightningModule, batch: Batch, batch_idx: int) -> None:
        self._waited += time.perf_counter() - self._ready
        self._samples += len(batch.keys)
        self._masks += len(batch.boxes)

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: object, batch: Batch, batch_idx: int
    ) -> None:
        self._ready = time.perf_counter()
        step = trainer.global_step  # stands still while batches are accumulated or a step is left out
        if step != self._logged and step % trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            assert isinstance(module, SamModule)
            module.tell(self._figures(module.device))
            self._logged = step
            self._restart()

    def _figures(self, device: torch.device) -> dict[str, float]:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        elapsed = time.perf_counter() - self._begin
        figures = {
            "throughput/samples": self._samples / elapsed,
            "throughput/masks": self._masks / elapsed,
            "throughput/waiting_for_data": self._waited / elapsed,
            "memory/host_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,  # in KiB on Linux
        }
        if device.type == "cuda":
            figures["memory/device_gib"] = torch.cuda.max_memory_allocated(device) / 2**30
            torch.cuda.reset_peak_memory_stats(device)
        return figures
