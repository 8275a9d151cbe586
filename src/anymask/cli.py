"""The two programs. They and `configuration` alone see a config object; below them everything takes typed arguments.

python train.py experiment=sample optim.lr=1e-3          python evaluate.py task=edges checkpoint=… data=…
"""

from __future__ import annotations

import json
import logging
import os
import runpy
import shutil
import sys
import time
import warnings
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime
from itertools import chain, count
from pathlib import Path
from unittest import mock

import hydra
import lightning as L
from hydra.core.hydra_config import HydraConfig
from lightning.fabric.utilities.warnings import PossibleUserWarning
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.loggers.logger import Logger
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from anymask import evaluating
from anymask.atomic import write_atomically
from anymask.configuration import typed
from anymask.data.datamodule import ShardsDataModule
from anymask.data.mixture import Mixture
from anymask.data.samples import ShardSamples
from anymask.data.shards import ShardSet
from anymask.data.storage import Pipes
from anymask.data.transforms import ToExample
from anymask.errors import UserError
from anymask.evaluation.results import Results
from anymask.models import checkpoints
from anymask.models.sam import Sam, build
from anymask.settings import Draw, Evaluation, Training
from anymask.suite import measure
from anymask.training.checkpointing import newest_checkpoint, remove_parts
from anymask.training.csv_log import CsvLog
from anymask.training.run import fit
from anymask.training.sam_module import SamModule

__all__ = ["CONF", "evaluate", "train"]

_HERE = Path(__file__).resolve().parent
CONF = next(path for path in (_HERE.parents[1] / "conf", _HERE / "conf") if path.is_dir())  # a clone's, then a wheel's

OmegaConf.register_new_resolver("clone", lambda: str(CONF.parent))


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="train")
def train(cfg: DictConfig) -> None:
    """Train a model, measure it on what was held out, and say where everything lies."""
    _answer_mistakes(lambda: _train(cfg))


@hydra.main(version_base="1.3", config_path=str(CONF / "evaluate"), config_name="evaluate")
def evaluate(cfg: DictConfig) -> None:
    """Measure a checkpoint by one task of the suite or by all, or lay results side by side."""
    _answer_mistakes(lambda: evaluating.evaluate(typed(cfg, Evaluation), published=_published()))


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
    if cfg.resume:
        folder, cfg = _resumed(cfg)
        settings = typed(cfg, Training)
        resume, step = _checkpoint_to_go_on_from(folder, settings)
    else:
        settings = typed(cfg, Training)
        folder, resume, step = None, None, 0
    L.seed_everything(settings.seed, verbose=False)
    module = _module(settings, init_from=None if resume else settings.init_from)
    data = _data(settings, module.sam)
    folder = folder or _new_folder(Path(settings.paths.outputs).resolve(), settings.name)
    _record(cfg, folder)  # not before the settings are read, which may name the latest run
    final = fit(module, data, settings.trainer, folder, _loggers(settings, folder, step), resume=resume)
    if module.global_rank == 0:
        shutil.rmtree(folder / "report", ignore_errors=True)  # of other weights, where a run went on
        sam, samples = module.best.eval(), ShardSamples(data.held_out)
        report = folder / "report"
        results = measure(sam, samples, settings.point_to_mask, report, checkpoint=final, published=_published())
        _summarise(results, settings.name, folder, final, time.monotonic() - begin)


def _published() -> Path | None:
    """The folder of what others printed; a wheel has none."""
    folder = CONF.parent / "eval"
    return folder if folder.is_dir() else None


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
    write_atomically(folder / "summary.json", lambda part: part.write_text(text))
    print(evaluating.shown(results))
    print(f"report: {folder / 'report' / 'report.html'}")
    print(f"checkpoint: {checkpoint}")


def _resumed(cfg: DictConfig) -> tuple[Path, DictConfig]:
    """The folder of the run to be resumed, and its configuration with what the command line changes."""
    folder = Path(cfg.paths.outputs, "latest") if cfg.resume == "latest" else Path(cfg.resume)
    if not (folder / "config.yaml").is_file():
        raise UserError(f"cannot resume {folder}: there is no config.yaml of a run in it")
    own = OmegaConf.load(folder / "config.yaml")
    assert isinstance(own, DictConfig)
    OmegaConf.set_struct(own, True)
    changes = [change for change in HydraConfig.get().overrides.task if not change.startswith("resume=")]
    if groups := [change for change in changes if "." not in change.split("=")[0]]:
        raise UserError(f"a resumed run keeps its settings, {groups[0]} cannot be changed: leave it out")
    own.merge_with_dotlist(changes)
    return folder.resolve(), own


def _checkpoint_to_go_on_from(folder: Path, settings: Training) -> tuple[Path, int]:
    """The newest checkpoint and its step."""
    remove_parts(folder)
    path, step = newest_checkpoint(folder)
    steps = settings.trainer.steps
    if step > steps:
        raise UserError(f"{folder} has done {step} steps: it cannot go on to trainer.steps={steps}")
    if step == steps:
        print(f"this run is finished, its {steps} steps are done: it is measured again (trainer.steps=… gives it more)")
    return path, step


def _new_folder(outputs: Path, name: str) -> Path:
    """Of its own, also where two runs of one name begin in the same second."""
    stem = f"{datetime.now():%Y-%m-%d_%H-%M-%S}_{name}"
    outputs.mkdir(parents=True, exist_ok=True)
    for ending in chain([""], (f"_{number}" for number in count(2))):
        with suppress(FileExistsError):
            (outputs / f"{stem}{ending}").mkdir()
            return outputs / f"{stem}{ending}"
    raise AssertionError("numbers do not end")


def _record(cfg: DictConfig, folder: Path) -> None:
    """Write down the configuration and let outputs/latest point to the run.

    What refers to another setting is kept as a reference, so that it follows when a resumed run changes that setting.
    """
    kept = cfg.copy()
    kept.resume = None
    text = OmegaConf.to_yaml(kept)
    write_atomically(folder / "config.yaml", lambda part: part.write_text(text))
    link = folder.parent / f".latest.{os.getpid()}"
    link.symlink_to(folder.name)
    link.replace(folder.parent / "latest")


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
        _draw_where_absent(own.draw, [own.held_out, *(part.path for part in own.train)])
    pipes = Pipes(own.pipes.programs, Path(own.pipes.copies) if own.pipes.copies else None)
    shards = [ShardSet.open(part.path, source=part.source, pipes=pipes) for part in own.train]
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
        shutil.rmtree(part, ignore_errors=True)


def _loggers(settings: Training, folder: Path, step: int) -> list[Logger]:
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
