"""A training run laid out: its counts, its bytes under each strategy, its time; and what to change where it is too big.

plan = lay_out(work, run, gpu("a100-80gb"))
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated

from msgspec import Meta

from anymask.errors import UserError
from anymask.planning.activations import Precision
from anymask.planning.flops import Flops, step
from anymask.planning.hardware import SHARE, Gpu, peak
from anymask.planning.memory import Memory, Strategy, memory
from anymask.planning.parameters import Parameters, parameters
from anymask.planning.workload import Workload
from anymask.training.run import RunSettings

__all__ = ["Plan", "PlanSettings", "Planned", "Run", "lay_out"]

Positive = Annotated[float, Meta(gt=0)]

STRATEGIES: tuple[Strategy, ...] = ("single", "ddp", "fsdp")


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanSettings:
    """On which GPU, with how much of its peak; ``memory`` (GiB) and ``tflops`` are figures of your own."""

    gpu: str
    share: Annotated[float, Meta(gt=0, le=1)] = SHARE
    memory: Positive | None = None
    tflops: Positive | None = None
    tf32: bool = False  # 32-true with TF32 products; torch's TORCH_ALLOW_TF32_CUBLAS_OVERRIDE=1, off by default
    json: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Planned:
    """What conf/plan.yaml adds to conf/train.yaml."""

    plan: PlanSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """How the work is spread and repeated. ``strategy`` is the one that the configuration names."""

    steps: int
    accumulate: int
    nodes: int
    devices: int  # of each node
    strategy: Strategy
    precision: Precision
    average: bool  # of the weights
    has_images_per_step: bool = False  # from which ``accumulate`` follows

    @classmethod
    def of(cls, settings: RunSettings, *, images_per_batch: int, average: bool) -> Run:
        """That of a trainer's settings.

        Raises UserError where they leave the number of GPUs to the machine, or that of batches does not come out even.
        """
        if settings.devices == "auto":
            raise UserError("trainer.devices=auto is known only where it trains: give the number of GPUs of a node")
        is_alone = settings.strategy == "ddp" and settings.nodes * settings.devices == 1
        return cls(
            steps=settings.steps,
            accumulate=settings.accumulating(images_per_batch).accumulate,
            nodes=settings.nodes,
            devices=settings.devices,
            strategy="single" if is_alone else settings.strategy,
            precision=settings.precision,
            average=average,
            has_images_per_step=settings.images_per_step is not None,
        )

    @property
    def processes(self) -> int:
        return self.nodes * self.devices


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """All that is known before the run. Bytes are of one GPU, seconds without loading, validation and communication."""

    work: Workload
    run: Run
    gpu: Gpu
    parameters: Parameters
    flops: Flops  # of one batch of one GPU
    memory: dict[Strategy, Memory]
    share: float  # of its peak that is assumed
    speed: float  # FLOP/s, from that
    seconds: float  # of a step of the optimiser
    suggestion: str | None  # where it does not fit: the first setting that makes it fit

    @property
    def images(self) -> int:
        """Of a step, on all GPUs."""
        return self.work.images * self.run.accumulate * self.run.processes

    @property
    def days(self) -> float:
        return self.seconds * self.run.steps / 86_400

    def fits(self, strategy: Strategy) -> bool:
        return self.memory[strategy].needed <= self.gpu.memory * 2**30


def lay_out(work: Workload, run: Run, gpu: Gpu, *, share: float = SHARE, tf32: bool = False) -> Plan:
    """The plan of a run on ``run.processes`` GPUs of a kind, of whose peak ``share`` is reached.

    Raises UserError where ``work.frozen`` names no part of the model.
    """
    flops = step(work)
    shown = [strategy for strategy in STRATEGIES if run.processes > 1 or strategy in ("single", run.strategy)]
    bytes_ = {strategy: _memory(work, run, strategy) for strategy in shown}
    fits = _fits(bytes_[run.strategy], gpu)
    speed = share * peak(gpu, run.precision, tf32=tf32)
    return Plan(
        work=work,
        run=run,
        gpu=gpu,
        parameters=parameters(work.architecture, work.frozen),
        flops=flops,
        memory=bytes_,
        share=share,
        speed=speed,
        seconds=flops.all * run.accumulate / speed,
        suggestion=None if fits else _suggestion(work, run, gpu),
    )


def _memory(work: Workload, run: Run, strategy: Strategy) -> Memory:
    processes = 1 if strategy == "single" else run.processes
    return memory(work, run.precision, strategy, processes=processes, accumulate=run.accumulate, average=run.average)


def _fits(memory: Memory, gpu: Gpu) -> bool:
    return memory.needed <= gpu.memory * 2**30


def _suggestion(work: Workload, run: Run, gpu: Gpu) -> str:
    """One setting that makes it fit, of those that change least; else as many of them as are needed, one on another."""
    alone = list(_changes(work, run))
    for change in alone:
        if change.fits(gpu):
            return change.told
    told = []
    while alone:
        told.append(alone[0].told)
        if alone[0].fits(gpu):
            return " ".join(told)
        alone = list(_changes(alone[0].work, alone[0].run))
    return ""


LOT = 16
"""Prompts at once that are suggested: fewer would leave a GPU idle."""


@dataclass(frozen=True, slots=True)
class _Change:
    told: str  # in the words of the command line
    work: Workload
    run: Run

    def fits(self, gpu: Gpu) -> bool:
        return _fits(_memory(self.work, self.run, self.run.strategy), gpu)


def _changes(work: Workload, run: Run) -> Iterator[_Change]:
    if run.precision == "32-true":
        yield _Change("trainer.precision=bf16-mixed", work, replace(run, precision="bf16-mixed"))
    if not work.checkpoint_activations and not work.is_frozen("image_encoder"):
        yield _Change("model.checkpoint_activations=true", replace(work, checkpoint_activations=True), run)
    if work.objects > LOT and work.lot == 1:
        yield _Change(f"module.prompts_at_once={LOT}", replace(work, prompts_at_once=LOT), run)
    if run.strategy != "fsdp" and run.processes > 1:
        yield _Change("trainer.strategy=fsdp", work, replace(run, strategy="fsdp"))
    if work.images > 1:
        accumulate = run.accumulate * work.images
        told = "data.loading.images_per_batch=1"
        told += "" if run.has_images_per_step else f" trainer.accumulate={accumulate}"
        yield _Change(told, replace(work, images=1), replace(run, accumulate=accumulate))
    masks = work.masks_per_image
    while masks > 1:
        masks //= 2
        yield _Change(f"data.transform.masks_per_image={masks}", replace(work, masks_per_image=masks), run)
