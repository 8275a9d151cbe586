"""The two programs. They and `configuration` alone see a config object; below them everything takes typed arguments.

python train.py experiment=sample optim.lr=1e-3          python evaluate.py task=edges checkpoint=… data=…
"""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import shlex
import signal
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import hydra
import lightning as L
from hydra.core.hydra_config import HydraConfig
from lightning.fabric.utilities.warnings import PossibleUserWarning
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console

from anymask import evaluating
from anymask.assembly import data_of, loggers_of, module_of, workload_of
from anymask.atomic import discard, write_atomically
from anymask.configuration import typed
from anymask.data.datamodule import ShardsDataModule
from anymask.data.samples import ShardSamples
from anymask.errors import UserError
from anymask.evaluation.results import Results
from anymask.launching.local import run_processes
from anymask.launching.requeue import requeue_own_job
from anymask.launching.slurm import TrainingSlurm, indices
from anymask.launching.submission import check, counted, folder_of_seed, submit_evaluation, submit_training
from anymask.models import checkpoints
from anymask.planning.hardware import gpu
from anymask.planning.plan import Planned, Run, lay_out
from anymask.planning.view import as_values, page
from anymask.ranks import Ranks
from anymask.run_folder import link_latest, new_folder, record_start
from anymask.settings import Evaluation, Training
from anymask.suite import measure
from anymask.training.callbacks import Stopped
from anymask.training.checkpointing import newest_checkpoint, remove_parts
from anymask.training.process_logs import logged
from anymask.training.run import fit
from anymask.training.sam_module import SamModule

__all__ = ["CONF", "evaluate", "plan", "train"]

LONGEST_WAIT = timedelta(hours=1)
"""For a process of a run that does not answer: one that writes a checkpoint or draws its data takes less."""
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
    _answer_mistakes(lambda: _evaluate(cfg))


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="plan")
def plan(cfg: DictConfig) -> None:
    """Say what a training run needs and costs, without beginning it."""
    _answer_mistakes(lambda: _plan(cfg))


def _answer_mistakes(program: Callable[[], None]) -> None:
    """A user's mistake is answered with one sentence."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", category=PossibleUserWarning)
    warnings.filterwarnings("ignore", message=".*(LeafSpec|`IterableDataset` has `__len__`).*")  # within Lightning
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view tensor")  # nobody writes into it
    warnings.showwarning = lambda message, *_, **__: print(f"warning: {message}", file=sys.stderr)
    try:
        program()
    except (UserError, OmegaConfBaseException) as error:
        sys.exit(f"error: {_whose()}{str(error).splitlines()[0]}")
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        sys.exit(f"error: {_whose()}{error.filename or 'a file'} could not be written: {error.strerror}")
    except RuntimeError as error:
        if Ranks.of_environment().world == 1 or not re.search(r"\bpeer\b|Connection (closed|reset)", str(error)):
            raise
        sys.exit(f"error: {_whose()}another process has ended, and this one with it: {str(error).splitlines()[0]}")


def _whose() -> str:
    """Of several processes that one of them is not the first."""
    rank = Ranks.of_environment().rank
    return f"process {rank}: " if rank else ""


def _train(cfg: DictConfig) -> None:
    folder = None
    if cfg.resume:
        folder, cfg = _resumed(cfg)
    settings = typed(cfg, Training)
    if settings.launcher is not None:
        _submit_training(cfg, settings, settings.launcher, folder)
        return
    images = settings.data.loading.images_per_batch
    settings = replace(settings, trainer=settings.trainer.counted().accumulating(images))
    trainer, started = settings.trainer, Ranks.of_environment().world
    if started == 1 < trainer.processes == trainer.devices:
        sys.exit(run_processes(trainer.processes, [sys.executable, *sys.argv]))
    if started != trainer.processes:
        raise UserError(
            f"trainer.nodes={trainer.nodes} x trainer.devices={trainer.devices} are {trainer.processes} processes, and "
            f"{started} started: launcher=slurm and torchrun start as many as they are told"
        )
    with Ranks.joined(uses_cuda=trainer.uses_cuda, longest_wait=LONGEST_WAIT) as ranks:
        _train_together(cfg, settings, folder, ranks)


def _train_together(cfg: DictConfig, settings: Training, folder: Path | None, ranks: Ranks) -> None:
    """By each process of a run. The first one sees to its folder."""
    begin = time.monotonic()
    resume, step = ranks.first(lambda: _checkpoint_to_go_on_from(folder, settings)) or (None, 0)
    L.seed_everything(settings.seed, verbose=False)
    module = module_of(settings, init_from=None if resume else settings.init_from)
    data = data_of(settings, module.sam)
    folder = ranks.first(lambda: _recorded(cfg, settings, folder, step))  # now that settings and data are known good
    with logged(folder, ranks.rank):
        loggers = loggers_of(settings, folder, step) if ranks.rank == 0 else []
        try:
            final = fit(module, data, settings.trainer, folder, loggers, resume=resume)
        except Stopped as stopped:
            sys.exit(_code_of(stopped, folder, ranks))
        results = _measure(module, data, settings, folder, final, ranks)
        if results is not None:
            _summarise(results, settings.name, folder, final, time.monotonic() - begin)


def _measure(
    module: SamModule, data: ShardsDataModule, settings: Training, folder: Path, final: Path, ranks: Ranks
) -> Results | None:
    """By all processes together: of the weights in the file, in single precision."""
    report = folder / "report"
    ranks.first(lambda: discard(report))  # of other weights, where a run went on
    # From here on there is nothing to save: a job that is told of its limit is queued again, and measures again.
    signal.signal(signal.SIGUSR1, lambda *_: ranks.rank == 0 and requeue_own_job())
    sam = checkpoints.load(final).to(module.device)
    samples = ShardSamples(data.held_out)
    return measure(sam, samples, settings.point_to_mask, report, checkpoint=final, published=_published(), ranks=ranks)


def _code_of(stopped: Stopped, folder: Path, ranks: Ranks) -> int:
    """What a run that was asked to end ends with, and how it goes on."""
    if ranks.rank == 0:
        print(f"{stopped}: python train.py resume={shlex.quote(str(folder))} goes on", flush=True)
    is_told_of_limit = stopped.signum == signal.SIGUSR1 and "SLURM_JOB_ID" in os.environ
    if is_told_of_limit and (ranks.rank > 0 or requeue_own_job()):
        return 0
    return 128 + stopped.signum


def _plan(cfg: DictConfig) -> None:
    asked = typed(OmegaConf.masked_copy(cfg, "plan"), Planned).plan
    settings = typed(OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "plan"]), Training)
    work = workload_of(settings)
    run = Run.of(settings.trainer, images_per_batch=work.images, average=settings.module.ema_decay > 0)
    known = gpu(asked.gpu, memory=asked.memory, tflops=asked.tflops)
    laid_out = lay_out(work, run, known, share=asked.share, tf32=asked.tf32)
    if asked.json:
        print(json.dumps(as_values(laid_out, asked.gpu), indent=2))
    else:
        Console().print(page(laid_out, asked.gpu))


def _submit_training(cfg: DictConfig, settings: Training, slurm: TrainingSlurm, folder: Path | None) -> None:
    """Make the run's folder, or one for each seed of an array, and a job that begins or goes on there."""
    check(slurm, name=settings.name)
    devices = counted(settings.trainer.devices)
    # What the job would refuse is told before it has waited for its nodes.
    replace(settings.trainer, devices=devices).accumulating(settings.data.loading.images_per_batch)
    if settings.init_from and not Path(settings.init_from).exists():
        raise UserError(f"there is no checkpoint at {settings.init_from}")
    if slurm.array is not None and folder is not None:
        raise UserError(f"launcher.array={slurm.array!r} begins new runs, and {folder} is to go on: leave it out")
    seeds = [] if slurm.array is None else indices(slurm.array)
    folder = folder or new_folder(Path(settings.paths.outputs).resolve(), settings.name)
    if not seeds:
        _record(cfg, folder)
    for seed in seeds:
        cfg.seed = seed
        _record(cfg, folder_of_seed(folder, seed))
    submit_training(
        slurm,
        folder,
        name=settings.name,
        nodes=settings.trainer.nodes,
        devices=devices,
        workers=settings.data.loading.workers,
        accelerator=settings.trainer.accelerator,
    )


def _evaluate(cfg: DictConfig) -> None:
    settings = typed(cfg, Evaluation)
    slurm = settings.launcher
    if slurm is None:
        evaluating.evaluate(settings, published=_published())
        return
    if settings.compare:
        raise UserError("compare=… only reads results: leave launcher=slurm out")
    folder = (Path(settings.out) if settings.out else evaluating.folder_of(settings)).resolve()
    check(slurm, name=folder.name)
    if settings.checkpoint and not Path(settings.checkpoint).exists():  # before it has waited for its nodes
        raise UserError(f"there is no checkpoint at {settings.checkpoint}")
    changes = HydraConfig.get().overrides.task
    submit_evaluation(slurm, folder, changes, workers=settings.workers, device=settings.device)


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
    own.launcher = cfg.launcher  # how it is started is no part of a run
    OmegaConf.set_struct(own, True)
    changes = [change for change in HydraConfig.get().overrides.task if not change.startswith(("resume=", "launcher"))]
    if groups := [change for change in changes if "." not in change.split("=")[0]]:
        raise UserError(f"a resumed run keeps its settings, {groups[0]} cannot be changed: leave it out")
    own.merge_with_dotlist(changes)
    return folder.resolve(), own


def _checkpoint_to_go_on_from(folder: Path | None, settings: Training) -> tuple[Path, int] | None:
    """The newest checkpoint and its step; None where the run has none yet, or is a new one."""
    if folder is None:
        return None
    remove_parts(folder)
    found = newest_checkpoint(folder)
    if found is None:
        return None
    steps = settings.trainer.steps
    if found[1] > steps:
        raise UserError(f"{folder} has done {found[1]} steps: it cannot go on to trainer.steps={steps}")
    if found[1] == steps:
        print(f"this run is finished, its {steps} steps are done: it is measured again (trainer.steps=… gives it more)")
    return found


def _recorded(cfg: DictConfig, settings: Training, folder: Path | None, step: int) -> Path:
    """The run's folder, new where it is not one that goes on, with what is started there written down."""
    folder = folder or new_folder(Path(settings.paths.outputs).resolve(), settings.name)
    _record(cfg, folder)
    record_start(folder, step=step, processes=settings.trainer.processes)
    return folder


def _record(cfg: DictConfig, folder: Path) -> None:
    """Write down the configuration and let outputs/latest point to the run.

    What refers to another setting is kept as a reference, so that it follows when a resumed run changes that setting.
    """
    kept = cfg.copy()
    kept.resume, kept.launcher = None, None
    text = f"# python train.py resume={shlex.quote(str(folder))}\n{OmegaConf.to_yaml(kept)}"
    write_atomically(folder / "config.yaml", lambda part: part.write_text(text))
    link_latest(folder)
