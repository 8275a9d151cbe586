"""How fast a training step is, what share of the GPU's peak it reaches and how much memory it takes.

    python tests/bench/training.py --model vit_b vit_h --checkpointing off on --compile off on --gpu h200 --json j.json
    python tests/bench/training.py --model tiny --image-size 128 --masks 4 --precision 32-true  # where there is no GPU

A step is the whole one: images to the device, encoder, eleven rounds, the way back, AdamW; on drawn photographs full of
objects, without a loader. Operations are those that ``anymask-plan`` counts, so that what checkpointing computes again
counts as work. Beside the memory that was measured stands the planned one.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import logging
import time
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch.utils.data import DataLoader

from anymask.losses import LossWeights
from anymask.matching import Matching
from anymask.models.sam import ARCHITECTURES, build
from anymask.planning import flops
from anymask.planning.hardware import GPUS, peak
from anymask.planning.memory import memory
from anymask.planning.workload import Workload, architecture
from anymask.prompts import FirstPrompt
from anymask.rounds import Rounds
from anymask.structures import Batch
from anymask.training.optim import Optimisation
from anymask.training.sam_module import SamModule

IS_ON = {"off": False, "on": True}


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """Of one variant; what was not to be had is None."""

    model: str
    checkpointing: bool
    compile: bool
    seconds: float | None = None  # of a step; None: out of memory
    images: float | None = None  # a second
    masks: float | None = None  # a second, each of them through all rounds
    tflops: float | None = None
    share: float | None = None  # of the peak
    gib: float | None = None  # the most that tensors took
    planned_gib: float

    def __str__(self) -> str:
        variant = f"{self.model:6} {_yes(self.checkpointing):>13} {_yes(self.compile):>7}"
        if self.seconds is None:
            return f"{variant}   out of memory; planned {self.planned_gib:.1f} GiB"
        numbers = f"{self.seconds:9.3f}{self.images:10.2f}{self.masks:10.1f}{self.tflops:9.2f}"
        share = f"{self.share:7.1%}" if self.share is not None else f"{'':7}"
        gib = f"{self.gib:8.1f}" if self.gib is not None else f"{'':8}"
        return f"{variant}{numbers}{share}{gib}{self.planned_gib:9.1f}"


def main() -> None:
    """Print a line for each variant, and write them all where ``--json`` says."""
    arguments = _arguments()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    on = torch.cuda.get_device_name() if arguments.device == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    print(
        f"{on}, torch {torch.__version__}, {arguments.precision}: {arguments.images} image(s) of "
        f"{arguments.image_size} px with {arguments.masks} masks each, {len(Rounds())} rounds"
    )
    print(
        f"{'model':6} {'checkpointing':>13} {'compile':>7}"
        f"{'s/step':>9}{'images/s':>10}{'masks/s':>10}{'TFLOP/s':>9}{'share':>7}{'GiB':>8}{'planned':>9}"
    )
    rows = []
    for name, checkpointing, compiled in itertools.product(arguments.model, arguments.checkpointing, arguments.compile):
        rows.append(_measure(arguments, name, checkpointing=IS_ON[checkpointing], compile=IS_ON[compiled]))
        print(rows[-1], flush=True)
    if arguments.json is not None:
        settings = {name: value for name, value in vars(arguments).items() if name != "json"}
        told = {"date": str(date.today()), "device": on, "torch": torch.__version__, "settings": settings}
        arguments.json.write_text(json.dumps(told | {"rows": [asdict(row) for row in rows]}, indent=1) + "\n")


def _measure(arguments: argparse.Namespace, name: str, *, checkpointing: bool, compile: bool) -> Measured:
    work = Workload(
        architecture=architecture(name, image_size=arguments.image_size),
        images=arguments.images,
        masks_per_image=arguments.masks,
        rounds=Rounds(),
        checkpoint_activations=checkpointing,
        prompts_at_once=arguments.prompts_at_once,
    )
    planned = memory(work, arguments.precision, "single").peak / 2**30
    variant: dict[str, Any] = {"model": name, "checkpointing": checkpointing, "compile": compile}
    clock = _Clock(arguments.warm_up)
    try:
        _train(work, name, arguments, clock, compile=compile)
    except torch.cuda.OutOfMemoryError:
        return Measured(**variant, planned_gib=planned)
    finally:
        gc.collect()
        torch._dynamo.reset()
        if arguments.device == "cuda":
            torch.cuda.empty_cache()
    seconds = clock.seconds / arguments.steps
    speed = flops.step(work).all / seconds
    most = None if arguments.gpu is None else peak(GPUS[arguments.gpu], arguments.precision, tf32=False)
    return Measured(
        **variant,
        seconds=seconds,
        images=work.images / seconds,
        masks=work.objects / seconds,
        tflops=speed / 1e12,
        share=None if most is None else speed / most,
        gib=clock.gib,
        planned_gib=planned,
    )


def _train(work: Workload, name: str, arguments: argparse.Namespace, clock: _Clock, *, compile: bool) -> None:
    torch.manual_seed(0)
    steps = arguments.warm_up + arguments.steps
    module = SamModule(
        build(name, image_size=arguments.image_size, checkpoint_activations=work.checkpoint_activations),
        optimisation=Optimisation(steps=steps, lr=1e-5, warmup=1),
        rounds=work.rounds,
        first_prompt=FirstPrompt(),
        loss_weights=LossWeights(),
        matching=Matching(),
        compile=compile,
        prompts_at_once=work.prompts_at_once,
    )
    trainer = L.Trainer(
        accelerator=arguments.device,
        devices=1,
        precision=arguments.precision,
        max_steps=steps,
        logger=False,
        callbacks=[clock],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's advice on the number of workers
        trainer.fit(module, DataLoader(list(_batches(work, steps)), batch_size=None))  # type: ignore[arg-type]


class _Clock(L.Callback):
    """The seconds of all steps after the first ones, which compile and warm up."""

    def __init__(self, warm_up: int) -> None:
        self.warm_up = warm_up
        self.seconds = 0.0
        self.gib: float | None = None

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        if trainer.global_step == self.warm_up:
            self._now(module.device)
            if module.device.type == "cuda":
                torch.cuda.reset_peak_memory_stats()
            self.seconds = -self._now(module.device)

    def on_train_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self.seconds += self._now(module.device)
        if module.device.type == "cuda":
            self.gib = torch.cuda.max_memory_allocated() / 2**30

    @staticmethod
    def _now(device: torch.device) -> float:
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()


def _batches(work: Workload, number: int) -> Iterator[Batch]:
    """Discs of a quarter of the frame on noise; the same in each batch, but not where they are clicked."""
    size, side, objects = work.architecture.image_size, work.lattice, work.objects
    place, chance = torch.arange(side), torch.Generator().manual_seed(0)
    centres = side / 4 + torch.rand(objects, 2, generator=chance) * side / 2
    distance = (place[:, None] - centres[:, 1, None, None]) ** 2 + (place - centres[:, 0, None, None]) ** 2
    corners = torch.cat([centres - side / 8, centres + side / 8], dim=1) * (size / side)
    images = torch.randint(0, 256, (work.images, 3, size, size), dtype=torch.uint8, generator=chance)
    for first in range(0, number * objects, objects):
        yield Batch(
            images=images,
            sizes=torch.full((work.images, 2), size),
            image_index=torch.arange(work.images).repeat_interleave(work.masks_per_image),
            targets=distance < (side / 8) ** 2,
            boxes=corners,
            seeds=torch.arange(first, first + objects),
            keys=tuple(map(str, range(work.images))),
            sources=tuple("automatic" for _ in range(work.images)),
        )


def _yes(is_on: bool) -> str:
    return "on" if is_on else "off"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", nargs="+", choices=list(ARCHITECTURES), default=["vit_b"])
    parser.add_argument("--checkpointing", nargs="+", choices=list(IS_ON), default=["off"], help="of encoder blocks")
    parser.add_argument("--compile", nargs="+", choices=list(IS_ON), default=["off"])
    parser.add_argument("--image-size", type=int, default=1024)
    parser.add_argument("--images", type=int, default=1, help="of a step")
    parser.add_argument("--masks", type=int, default=64, help="of an image")
    parser.add_argument("--prompts-at-once", type=int, help="module.prompts_at_once; default: all")
    parser.add_argument("--precision", choices=["32-true", "bf16-mixed"], default="bf16-mixed")
    parser.add_argument("--steps", type=int, default=10, help="that are timed")
    parser.add_argument("--warm-up", type=int, default=3, help="steps before")
    parser.add_argument("--gpu", choices=list(GPUS), help="whose peak is meant")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
