"""The two programs: the only place that sees a config object. Below it everything takes typed arguments.

python train.py experiment=sample optim.lr=1e-3          python evaluate.py checkpoint=… data=…
"""

from __future__ import annotations

import json
import logging
import os
import re
import runpy
import shutil
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

import hydra
import lightning as L
import msgspec
import torch
from hydra.core.hydra_config import HydraConfig
from lightning.fabric.utilities.warnings import PossibleUserWarning
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.loggers.logger import Logger
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from anymask.data.datamodule import ShardsDataModule
from anymask.data.mixture import Mixture
from anymask.data.shards import ShardSet
from anymask.data.transforms import ToExample
from anymask.errors import UserError
from anymask.evaluation import point_to_mask
from anymask.evaluation.point_to_mask import PointToMask
from anymask.evaluation.ranks import ALONE, Ranks
from anymask.evaluation.results import Results
from anymask.models import checkpoints
from anymask.models.sam import Sam, build
from anymask.settings import Evaluation, Training
from anymask.training.checkpointing import newest_checkpoint
from anymask.training.csv_log import CsvLog
from anymask.training.run import fit
from anymask.training.sam_module import SamModule

__all__ = ["CONF", "evaluate", "train", "typed"]

_HERE = Path(__file__).resolve().parent
CONF = next(path for path in (_HERE.parents[1] / "conf", _HERE / "conf") if path.is_dir())  # a clone's, then a wheel's

Typed = TypeVar("Typed")

OmegaConf.register_new_resolver("clone", lambda: str(CONF.parent))


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="train")
def train(cfg: DictConfig) -> None:
    """Train a model, measure it on what was held out, and say where everything lies."""
    _answer_mistakes(lambda: _train(cfg))


@hydra.main(version_base="1.3", config_path=str(CONF / "evaluate"), config_name="evaluate")
def evaluate(cfg: DictConfig) -> None:
    """Measure a checkpoint on a set of shards."""
    _answer_mistakes(lambda: _evaluate(cfg))


def _answer_mistakes(program: Callable[[], None]) -> None:
    """A user's mistake is answered with one sentence."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", category=PossibleUserWarning)
    warnings.filterwarnings("ignore", message=".*(LeafSpec|`IterableDataset` has `__len__`).*")  # within Lightning
    warnings.showwarning = lambda message, *_, **__: print(f"warning: {message}", file=sys.stderr)
    try:
        program()
    except (UserError, OmegaConfBaseException) as error:
        sys.exit(f"error: {str(error).splitlines()[0]}")


def _train(cfg: DictConfig) -> None:
    begin = time.monotonic()
    folder, settings = _run_folder(cfg)
    resume = newest_checkpoint(folder) if settings.resume else None
    L.seed_everything(settings.seed, verbose=False)
    module = _module(settings, init_from=None if resume else settings.init_from)
    data = _data(settings, module.sam)
    _point_latest_to(folder)  # not before the settings are read, which may name the latest run
    final = fit(module, data, settings.trainer, folder, _loggers(settings, folder, resume), resume=resume)
    if module.global_rank == 0:
        shutil.rmtree(folder / "report", ignore_errors=True)  # of other weights, where a run went on
        results = _measure(module.best.eval(), data.held_out, settings.task, folder / "report", final)
        assert results is not None
        _summarise(results, settings.name, folder, final, time.monotonic() - begin)


def _evaluate(cfg: DictConfig) -> None:
    settings = typed(cfg, Evaluation)
    checkpoint = Path(settings.checkpoint)
    sam = checkpoints.load(checkpoint, image_size=settings.image_size).to(_device(settings.device))
    shards = ShardSet.open(settings.data)
    folder = Path(settings.out or Path("outputs", "evaluate", f"{checkpoint.stem}_{shards.name}"))
    results = _measure(
        sam,
        shards,
        settings.task,
        folder,
        checkpoint,
        limit=settings.limit,
        workers=settings.workers,
        pictures=settings.pictures,
        ranks=Ranks.from_environment(),
    )
    if results:
        _say(results["metrics"], folder)


def _measure(
    sam: Sam,
    shards: ShardSet,
    task: PointToMask,
    folder: Path,
    checkpoint: Path,
    *,
    limit: int | None = None,
    workers: int = 0,
    pictures: bool = True,
    ranks: Ranks = ALONE,
) -> Results | None:
    published = CONF.parent / "eval" / "point_to_mask" / "published.json"
    rows = published if published.is_file() else None  # a wheel has none
    return point_to_mask.evaluate(
        sam,
        shards,
        task,
        folder,
        checkpoint=checkpoint,
        limit=limit,
        workers=workers,
        published=rows,
        pictures=pictures,
        ranks=ranks,
    )


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda", Ranks.local()) if torch.cuda.is_available() else torch.device("cpu")
    try:
        return torch.zeros(1, device=name).device
    except RuntimeError as error:
        raise UserError(f"device={name!r} cannot be used: {str(error).splitlines()[0]}") from None


def _summarise(results: Results, name: str, folder: Path, checkpoint: Path, seconds: float) -> None:
    summary = {
        "name": name,
        "metrics": results["metrics"],
        "floors": results["floors"],
        "checkpoint": str(checkpoint),
        "report": str(folder / "report" / "report.html"),
        "seconds": round(seconds, 1),
    }
    text = json.dumps(summary, indent=2) + "\n"
    checkpoints.write_atomically(folder / "summary.json", lambda part: part.write_text(text))
    _say(results["metrics"], folder / "report")
    print(f"checkpoint: {checkpoint}")


def _say(metrics: Mapping[str, float], folder: Path) -> None:
    print("  ".join(f"{name} {value:.3f}" for name, value in metrics.items()))
    print(f"report: {folder / 'report.html'}")


def _run_folder(cfg: DictConfig) -> tuple[Path, Training]:
    """A new run's folder with its settings in it, or the folder and the settings of the run to be resumed."""
    if cfg.resume:
        folder = Path(cfg.paths.outputs, "latest") if cfg.resume == "latest" else Path(cfg.resume)
        return folder.resolve(), typed(_resumed(folder), Training)
    settings = typed(cfg, Training)
    outputs = Path(settings.paths.outputs).resolve()
    folder = outputs / f"{datetime.now():%Y-%m-%d_%H-%M-%S}_{settings.name}"
    folder.mkdir(parents=True)
    OmegaConf.save(cfg, folder / "config.yaml", resolve=True)
    return folder, settings


def _point_latest_to(folder: Path) -> None:
    link = folder.parent / f".latest.{os.getpid()}"
    link.symlink_to(folder.name)
    link.replace(folder.parent / "latest")


def _resumed(folder: Path) -> DictConfig:
    if not (folder / "config.yaml").is_file():
        raise UserError(f"cannot resume {folder}: there is no config.yaml of a run in it")
    cfg = OmegaConf.load(folder / "config.yaml")
    assert isinstance(cfg, DictConfig)
    OmegaConf.set_struct(cfg, True)
    changes = list(HydraConfig.get().overrides.task)
    if groups := [c for c in changes if "." not in c.split("=")[0] and not c.startswith("resume=")]:
        raise UserError(f"a resumed run keeps its settings, {groups[0]} cannot be changed: leave it out")
    cfg.merge_with_dotlist(changes)
    return cfg


def _module(settings: Training, *, init_from: str | None) -> SamModule:
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
        max_nonfinite=own.max_nonfinite,
        seed=settings.seed,
    )


def _data(settings: Training, sam: Sam) -> ShardsDataModule:
    own = settings.data
    if own.draw:
        _draw_sample(Path(own.draw), Path(own.held_out).parent)
    shards = [ShardSet.open(part.path, source=part.source) for part in own.train]
    transform = ToExample(
        image_size=sam.image_size,
        loss_size=own.transform.loss_size or sam.mask_size,
        masks_per_image=own.transform.masks_per_image,
        max_area=own.transform.max_area,
        augmentation=own.transform.augmentation,
    )
    return ShardsDataModule(
        Mixture.of(shards, oversample=own.oversample, weights=[part.weight for part in own.train]),
        ShardSet.open(own.held_out),
        transform,
        own.loading,
        batches=settings.trainer.batches,
        seed=settings.seed,
    )


def _draw_sample(program: Path, folder: Path) -> None:
    """Let a program write shards into ``folder`` unless they are there."""
    if folder.is_dir():
        return
    if not program.is_file():
        raise UserError(f"there is no {program} to draw the sample with: run train.py in a clone, or name data=shards")
    part = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    with mock.patch.object(sys, "argv", [str(program), "--out", str(part)]):
        runpy.run_path(str(program), run_name="__main__")
    part.replace(folder)


def _loggers(settings: Training, folder: Path, resume: Path | None) -> list[Logger]:
    table = CsvLog(folder)
    if resume:
        table.drop_after(checkpoints.read_checkpoint(resume)["global_step"])
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


def typed(cfg: DictConfig, kind: type[Typed]) -> Typed:
    """The configuration as typed values.

    Raises UserError that names the key and its value where one is missing, unknown or of the wrong type.
    """
    if missing := OmegaConf.missing_keys(cfg):
        raise UserError(f"give a value for {', '.join(f'{name}=…' for name in sorted(missing))}")
    values = OmegaConf.to_container(cfg, resolve=True)
    try:
        typed = msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        place = re.search(r" - at `\$\.?(.*)`", str(error))
        key = place[1] if place else ""
        raise UserError(f"{key}={_value_at(values, key)!r}: {str(error).split(' - at ')[0]}") from None
    if unknown := _unknown(values, msgspec.to_builtins(typed)):
        raise UserError(f"there is no setting {', '.join(unknown)}")
    return typed


def _value_at(values: Any, path: str) -> Any:
    for key in re.findall(r"[^.\[\]]+", path):
        values = values[int(key) if key.isdigit() else key]
    return values


def _unknown(values: Any, known: Any, path: str = "") -> list[str]:
    """Keys of ``values`` that are not in ``known``, at any depth."""
    if not isinstance(values, dict):
        return []
    here = [f"{path}{key}" for key in values if key not in known]
    return here + [
        name for key in values if key in known for name in _unknown(values[key], known[key], f"{path}{key}.")
    ]
