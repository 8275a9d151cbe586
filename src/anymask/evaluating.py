"""What ``evaluate.py`` does with its settings, from the device and the folder to what it prints."""

from __future__ import annotations

from pathlib import Path

import torch

from anymask.data.shards import name_of
from anymask.errors import UserError
from anymask.evaluation.comparison import write_comparison
from anymask.evaluation.results import Results
from anymask.evaluation.task import TaskName
from anymask.evaluation.view import is_of_sets
from anymask.models import checkpoints
from anymask.ranks import Ranks
from anymask.settings import Evaluation
from anymask.suite import run_suite

__all__ = ["device_named", "evaluate", "folder_of", "shown"]


def evaluate(settings: Evaluation, *, published: Path | None) -> None:
    """Measure a checkpoint by the chosen tasks, or lay results side by side; ``published`` is what others printed.

    Raises UserError for what the user can get wrong.
    """
    if settings.compare:
        folder = Path(settings.out or "outputs/evaluate")
        _check_folder(folder)
        write_comparison(folder, [Path(path) for path in settings.compare])
        print(f"comparison: {folder / 'compare.html'}")
        return
    folder = Path(settings.out) if settings.out else folder_of(settings)
    _check_folder(folder)
    sam = None
    if settings.checkpoint:
        device = device_named(settings.device)
        sam = checkpoints.load(Path(settings.checkpoint), image_size=settings.image_size).to(device)
    with Ranks.joined() as ranks:
        found, failed = run_suite(settings, sam, folder, published=published, ranks=ranks)
    for name, results in found.items():
        print(f"{_title(name, results)}: {shown(results)}")
    if found:
        print(f"report: {folder / 'report.html'}")
    if failed:
        raise UserError("; ".join(failed))


def folder_of(settings: Evaluation) -> Path:
    """Where results go by default; every run has a final.ckpt, so its name stands before that of the file."""
    told = []
    if settings.checkpoint:
        path = Path(settings.checkpoint).resolve()
        told += [path.parents[1].name] if path.parent.name == "checkpoints" else []
        told.append(path.stem)
    told.append("_".join(settings.tasks) if len(settings.tasks) == 1 else "suite")
    if len(settings.tasks) == 1:
        told.append(_name_of_data(Path(settings.predictions or settings.data_for(settings.tasks[0]))))
    return Path("outputs", "evaluate", "_".join(told).replace(" ", "_"))


def device_named(name: str) -> torch.device:
    """``auto`` is CUDA where there is one; of several processes on a machine each has a GPU of its own."""
    kind = ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name
    if kind == "cuda" and torch.cuda.is_available():
        if Ranks.local() >= torch.cuda.device_count():
            raise UserError(
                f"device={name!r}: this is process {Ranks.local() + 1} of the machine, and it has "
                f"{torch.cuda.device_count()} GPU: start no more processes than GPUs, or say device=cpu"
            )
        kind = f"cuda:{Ranks.local()}"
    try:
        return torch.zeros(1, device=kind).device
    except (RuntimeError, AssertionError) as error:  # the second of a torch without CUDA
        raise UserError(f"device={name!r} cannot be used: {str(error).splitlines()[0]}") from None


def shown(results: Results) -> str:
    """The metrics that there are, in one line."""
    there = {name: value for name, value in results["metrics"].items() if value is not None}
    return "  ".join(f"{name} {value:.3f}" for name, value in there.items())


def _title(name: TaskName, results: Results) -> str:
    title = name.replace("_", " ")
    return f"{title}, mean of the {results['counts']['sets']} sets at hand" if is_of_sets(results) else title


def _name_of_data(path: Path) -> str:
    """A folder's, that of the folder of some tars, or a file's without its ending."""
    return name_of(path.parent if path.suffix == ".tar" else path.with_suffix("") if path.suffix == ".json" else path)


def _check_folder(folder: Path) -> None:
    """Raises UserError where ``out`` cannot be a folder, before anything is loaded."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not there.is_dir():
        raise UserError(f"out={str(folder)!r} cannot be a folder: {there} is a file")
