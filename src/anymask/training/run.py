"""One training run: a module and its data in a Trainer, with everything that it leaves in its folder."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import lightning as L
import torch
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch.callbacks import Callback, RichProgressBar
from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.plugins.precision import MixedPrecision, Precision
from msgspec import Meta

from anymask.data.datamodule import ShardsDataModule
from anymask.errors import UserError
from anymask.training.callbacks import BadSamples, MixtureTable, RoundPictures, StopOnSignal, Throughput
from anymask.training.checkpointing import AtomicCheckpointIO, Checkpoints
from anymask.training.gradients import LossScale
from anymask.training.parallel import ReplicaStrategy, ShardStrategy
from anymask.training.sam_module import SamModule

__all__ = ["RunSettings", "fit"]

Count = Annotated[int, Meta(ge=1)]

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h


@dataclass(frozen=True, kw_only=True, slots=True)
class RunSettings:
    """How long, on what, and how often something is written. A step is one of the optimiser."""

    steps: Count
    accumulate: Count = 1  # batches of one step
    images_per_step: Count | None = None  # of all processes together: accumulate follows from it
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"  # CUDA or none: Apple's has no float64, which draws need
    strategy: Literal["ddp", "fsdp"] = "ddp"  # of several processes: replicas, or the encoder's blocks sharded
    nodes: Count = 1
    devices: Count | Literal["auto"] = 1  # processes on each node: one for each GPU; auto: as many as there are
    precision: Literal["32-true", "bf16-mixed", "bf16-true", "16-mixed"] = "32-true"
    log_every: Count = 10
    validate_every: Count = 500
    checkpoint_every: Count = 500
    keep_checkpoints: Count = 2
    pictured_objects: Count = 4
    progress_bar: bool = True

    def __post_init__(self) -> None:
        """Raises UserError where both say how large a step is."""
        if self.images_per_step is not None and self.accumulate > 1:
            raise UserError(
                f"trainer.accumulate={self.accumulate} follows from trainer.images_per_step={self.images_per_step}: "
                "leave it at 1, or set images_per_step=null"
            )

    @property
    def batches(self) -> int:
        """Of the whole run, in each process."""
        return self.steps * self.accumulate

    @property
    def uses_cuda(self) -> bool:
        return self.accelerator != "cpu" and torch.cuda.is_available()

    @property
    def processes(self) -> int:
        """Of all nodes, once devices are counted."""
        assert self.devices != "auto"
        return self.nodes * self.devices

    @property
    def is_sharded(self) -> bool:
        return self.strategy == "fsdp" and self.processes > 1

    def counted(self) -> RunSettings:
        """With the number of devices, where there are to be as many as this machine has."""
        if self.devices != "auto":
            return self
        return replace(self, devices=max(1, torch.cuda.device_count()) if self.uses_cuda else 1)

    def accumulating(self, images_per_batch: int) -> RunSettings:
        """With as many batches a step as ``images_per_step`` takes, where it is given, and devices are counted.

        Raises UserError where they do not come out even.
        """
        if self.images_per_step is None:
            return self
        at_once = self.processes * images_per_batch
        if self.images_per_step % at_once:
            raise UserError(
                f"trainer.images_per_step={self.images_per_step} is no multiple of the {at_once} images that "
                f"{self.processes} process(es) with data.loading.images_per_batch={images_per_batch} take at once"
            )
        return replace(self, accumulate=self.images_per_step // at_once, images_per_step=None)


def fit(
    module: SamModule,
    data: ShardsDataModule,
    settings: RunSettings,
    folder: Path,
    loggers: Sequence[Logger],
    *,
    resume: Path | None = None,
) -> Path:
    """Train to the end, from the start or from a checkpoint; returns the file with the final weights.

    The module is left on the device that it was trained on. Raises UserError where there is none of that kind.
    With several processes each calls it, with torchrun's variables in its environment.
    """
    _keep_freed_memory()
    module.loss_scale = LossScale() if settings.precision == "16-mixed" else None
    if settings.precision == "bf16-true":
        _halve(module)
    trainer = L.Trainer(
        accelerator=_accelerator(settings.accelerator),
        devices=settings.devices,
        num_nodes=settings.nodes,
        strategy=_strategy(settings),
        max_epochs=1,  # of the length of the run: a stream has no epochs, and a run goes on inside its only one
        val_check_interval=min(settings.validate_every, settings.steps) * settings.accumulate,
        num_sanity_val_steps=0,  # it would draw random numbers that a resumed run does not
        log_every_n_steps=settings.log_every,
        logger=list(loggers),
        callbacks=_callbacks(data, settings, folder),
        plugins=_plugins(settings),
        use_distributed_sampler=False,  # the order of samples knows of processes itself
        default_root_dir=folder,
        enable_progress_bar=settings.progress_bar,
        enable_model_summary=False,
    )
    trainer.fit(module, datamodule=data, ckpt_path=resume, weights_only=True)
    module.to(trainer.strategy.root_device)  # Lightning takes it to the CPU when it ends
    final = folder / "checkpoints" / "final.ckpt"
    trainer.save_checkpoint(final, weights_only=True)
    return final


def _strategy(settings: RunSettings) -> Any:
    """Lightning's. One process alone has nothing to share."""
    if settings.processes == 1:
        return "auto"
    return ShardStrategy(settings.processes) if settings.is_sharded else ReplicaStrategy()


def _plugins(settings: RunSettings) -> list[Any]:
    device = "cuda" if _accelerator(settings.accelerator) == "cuda" else "cpu"
    plugins: list[Any] = [AtomicCheckpointIO(), _precision(settings.precision, device)]
    if settings.processes > 1:
        plugins.append(TorchElasticEnvironment())
    return plugins


def _precision(name: str, device: str) -> Precision:
    if name in ("32-true", "bf16-true"):
        return Precision()
    plugin = MixedPrecision(name, device)  # type: ignore[arg-type]
    plugin.scaler = None  # the module scales its loss itself, alike in all processes
    return plugin


def _halve(module: SamModule) -> None:
    """Weights in bfloat16. Lightning's own way would round coordinates and tables of positions too.

    Raises UserError where an average is kept.
    """
    if module.ema is not None:
        raise UserError(
            f"trainer.precision='bf16-true' cannot keep the average of module.ema_decay={module.ema_decay}: its small "
            "steps are lost in bfloat16; set module.ema_decay=0 or trainer.precision=bf16-mixed"
        )
    for parameter in module.parameters():
        parameter.data = parameter.data.bfloat16()


def _accelerator(name: str) -> str:
    """Lightning's name."""
    if name == "gpu" and not torch.cuda.is_available():
        raise UserError("trainer.accelerator='gpu' cannot be used: torch finds no CUDA device")
    return "cuda" if name != "cpu" and torch.cuda.is_available() else "cpu"


def _callbacks(data: ShardsDataModule, settings: RunSettings, folder: Path) -> list[Callback]:
    checkpoints = Checkpoints(folder, every=settings.checkpoint_every, keep=settings.keep_checkpoints)
    return [
        MixtureTable(data.mixture, epoch_samples=data.loading.epoch_samples),
        BadSamples(folder),
        Throughput(),
        RoundPictures(folder, objects=settings.pictured_objects),
        checkpoints,
        StopOnSignal(checkpoints),
        *([_ProgressBar()] if settings.progress_bar else []),
    ]


class _ProgressBar(RichProgressBar):
    def get_metrics(self, trainer: L.Trainer, module: L.LightningModule) -> dict[str, Any]:
        """Without the logger's name for the run."""
        return {name: value for name, value in super().get_metrics(trainer, module).items() if name != "v_num"}


def _keep_freed_memory() -> None:
    """Let the C library keep what tensors on the CPU give back, instead of asking the system for it anew.

    A step on a CPU frees and takes hundreds of megabytes; fetching them page by page costs time (docs/log.md).
    """
    with suppress(OSError, AttributeError):  # only glibc has it
        library = ctypes.CDLL("libc.so.6")
        library.mallopt(M_MMAP_THRESHOLD, 2**30)
        library.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
