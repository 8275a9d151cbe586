"""What a run is made of, from its settings: the module, its data, its logs; and what it computes, for the plan."""

from __future__ import annotations

import os
import runpy
import sys
import warnings
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from unittest import mock

from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.loggers.logger import Logger

from anymask.atomic import discard
from anymask.data.datamodule import ShardsDataModule
from anymask.data.mixture import Mixture
from anymask.data.shards import ShardSet
from anymask.data.storage import Pipes
from anymask.data.transforms import ToExample
from anymask.errors import UserError
from anymask.models import checkpoints
from anymask.models.sam import Sam, build
from anymask.planning.workload import Workload, architecture
from anymask.settings import Draw, Training
from anymask.training.csv_log import CsvLog
from anymask.training.sam_module import SamModule

__all__ = ["data_of", "loggers_of", "module_of", "workload_of"]


def module_of(settings: Training, *, init_from: str | None) -> SamModule:
    """Raises UserError for weights that do not fit, and for parts that are not there."""
    sam = build(**asdict(settings.model))
    if init_from:
        print(checkpoints.initialise(sam, init_from))
    own = settings.module
    return SamModule(
        sam,
        optimisation=settings.optim,
        rounds=own.rounds,
        first_prompt=own.first_prompt,
        loss_weights=own.loss,
        matching=own.matching,
        accumulate=settings.trainer.accumulate,
        clip_norm=own.clip_norm,
        ema_decay=own.ema_decay,
        freeze=own.freeze,
        compile=own.compile,
        prompts_at_once=own.prompts_at_once,
        max_nonfinite=own.max_nonfinite,
        seed=settings.seed,
    )


def data_of(settings: Training, sam: Sam) -> ShardsDataModule:
    """Draws the sample where it is asked for and absent; warns of what cannot be read.

    Raises UserError where there is nothing to read.
    """
    own = settings.data
    if own.draw:
        _draw_where_absent(own.draw, [own.held_out, *(part.path for part in own.train)])
    pipes = Pipes(own.pipes.programs, Path(own.pipes.copies) if own.pipes.copies else None)
    shards = [ShardSet.open(part.path, source=part.source, pipes=pipes) for part in own.train]
    for opened in shards:
        if opened.defects:
            first = opened.defects[0]
            warnings.warn(
                f"{len(opened.defects)} records or more of {opened.name} cannot be read, the first is {first.key} in "
                f"{first.shard}: {first.reason}",
                stacklevel=1,
            )
    transform = ToExample(
        image_size=sam.image_size,
        loss_size=own.transform.loss_size or sam.mask_size,
        masks_per_image=own.transform.masks_per_image,
        max_area=own.transform.max_area,
        augmentation=own.transform.augmentation,
    )
    return ShardsDataModule(
        Mixture.of(shards, oversample=own.oversample, weights=[part.weight for part in own.train]),
        ShardSet.open(own.held_out, pipes=pipes),
        transform,
        own.loading,
        batches=settings.trainer.batches,
        seed=settings.seed,
    )


def _draw_where_absent(draw: Draw, sets: Iterable[str]) -> None:
    """Let a program write the folder of shards that ``sets`` lie in, unless it is there or they lie elsewhere."""
    program, folder = Path(draw.program), Path(draw.folder)
    if folder.is_dir() or not any(Path(path).is_relative_to(folder) for path in sets):
        return
    if not program.is_file():
        raise UserError(f"there is no {program} to draw the sample with: run train.py in a clone, or name data=shards")
    part = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    try:
        with mock.patch.object(sys, "argv", [str(program), "--out", str(part)]):
            runpy.run_path(str(program), run_name="__main__")
        part.replace(folder)
    except OSError:
        if not folder.is_dir():  # else another run has drawn the same meanwhile
            raise
    finally:
        discard(part)


def loggers_of(settings: Training, folder: Path, step: int) -> list[Logger]:
    """Of the first process, for a run that goes on from ``step``."""
    table = CsvLog(folder)
    table.drop_after(step)
    mode = settings.logger.wandb
    if mode == "disabled":
        return [table]
    import wandb

    offline = mode == "offline" or (mode == "auto" and not wandb.login(prompt=False))
    run = WandbLogger(
        project=settings.logger.project,
        save_dir=folder,
        offline=offline,
        name=folder.name,
        id=folder.name,
        resume="allow",
        settings=wandb.Settings(mode="offline" if offline else "online", console="off", silent=offline),
    )
    return [table, run]


def workload_of(settings: Training) -> Workload:
    """What one process computes in a step."""
    model, own, data = settings.model, settings.module, settings.data
    return Workload(
        architecture=architecture(model.name, image_size=model.image_size, click_rounds=model.click_rounds),
        images=data.loading.images_per_batch,
        masks_per_image=data.transform.masks_per_image,
        rounds=own.rounds,
        first_kinds=tuple(kind for kind, weight in own.first_prompt.weights.items() if weight > 0),
        loss_size=data.transform.loss_size,
        checkpoint_activations=model.checkpoint_activations,
        prompts_at_once=own.prompts_at_once,
        drop_path=model.drop_path,
        dropout=model.dropout,
        frozen=tuple(own.freeze),
    )
