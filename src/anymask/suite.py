"""The zero-shot suite: the chosen tasks with their data and the model, one after the other, and one report of all."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from anymask.data.edge_sets import open_edge_set
from anymask.data.samples import CocoSamples, Samples, open_samples
from anymask.errors import UserError
from anymask.evaluation.edges.task import EdgesTask
from anymask.evaluation.instance_segmentation.task import InstanceSegmentationTask
from anymask.evaluation.point_to_mask.protocol import PointToMask
from anymask.evaluation.point_to_mask.sets import absent, at_hand, run_sets, where_from
from anymask.evaluation.point_to_mask.task import PointToMaskTask
from anymask.evaluation.proposals.task import ProposalsTask
from anymask.evaluation.report import Evaluated, write_report
from anymask.evaluation.results import Results
from anymask.evaluation.running import run
from anymask.evaluation.task import Task, TaskName
from anymask.models.sam import Sam
from anymask.ranks import ALONE, Ranks
from anymask.settings import Evaluation

__all__ = ["measure", "run_suite", "tasks_of"]

DEFAULT_ROOT = "data"


def tasks_of(settings: Evaluation, sam: Sam | None, folder: Path) -> dict[TaskName, Task[Any]]:
    """Every chosen task on one data set, ready to be run; ``folder`` is where each has one for what it writes.

    Everything that they read is opened here: raises UserError for whatever is not there or not in the form.
    """
    opened = Opened(settings.images)
    names = [name for name in settings.tasks if not (settings.is_over_sets and name == "point_to_mask")]
    return {name: _task(name, settings, sam, opened, _folder_of(folder, name, settings)) for name in names}


def run_suite(
    settings: Evaluation, sam: Sam | None, folder: Path, *, published: Path | None, ranks: Ranks = ALONE
) -> tuple[dict[TaskName, Results], list[str]]:
    """Run every chosen task and write one report; ``published`` is the folder with what others printed.

    Gives the results, of several processes to the first one, and what went wrong: a task or a set that cannot be
    measured does not keep the others from it.
    """
    sets = _sets(settings, ranks) if settings.is_over_sets else {}
    tasks = tasks_of(settings, sam, folder)
    found: dict[TaskName, Results] = {}
    failed: list[str] = []
    for name in settings.tasks:
        own = _folder_of(folder, name, settings)
        try:
            if name in tasks:
                results = _run(tasks[name], settings, sam, own, ranks)
            else:
                results = run_sets(sets, own, partial(_run_set, settings, sam, published, ranks), ranks=ranks)
        except UserError as error:  # the other tasks have data of their own
            failed.append(str(error))
            continue
        if results is not None:
            found[name] = results
            failed += [f"{each}: {reason}" for each, reason in results["details"].get("failed", {}).items()]
    if found:
        finds = {name: task.find for name, task in tasks.items() if settings.pictures}
        evaluated = [Evaluated(_folder_of(folder, name, settings), finds.get(name)) for name in found]
        write_report(folder, evaluated, published)
    return found, failed


def measure(
    sam: Sam,
    samples: Samples,
    settings: PointToMask,
    folder: Path,
    *,
    checkpoint: Path,
    published: Path | None,
    ranks: Ranks = ALONE,
) -> Results | None:
    """Point-to-mask alone: what a training ends with. The results, of several processes to the first one."""
    task = PointToMaskTask(settings, samples, sam)
    results = run(task, folder, checkpoint=checkpoint, image_size=sam.image_size, ranks=ranks)
    if results is not None:
        write_report(folder, [Evaluated(folder, samples.find)], published)
    return results


def _sets(settings: Evaluation, ranks: Ranks) -> dict[str, str]:
    """The sets at hand with the addresses of their shards; prints where the others come from."""
    root = settings.root or DEFAULT_ROOT
    sets = at_hand(root)
    if ranks.rank == 0 and (missing := absent(sets)):
        print(f"{len(sets)} of the paper's sets are in {root}, these are not:")
        print("\n".join(f"  {where_from(name, root)}" for name in missing), flush=True)
    return sets


def _run_set(
    settings: Evaluation, sam: Sam | None, published: Path | None, ranks: Ranks, shards: str, folder: Path
) -> Results | None:
    """Point-to-mask with a report of its own; where it is finished, only the report is written again."""
    assert sam is not None, "the settings were checked"
    assert settings.point_to_mask is not None
    samples = open_samples(shards)
    task = PointToMaskTask(settings.point_to_mask, samples, sam, workers=settings.workers)
    results = _run(task, settings, sam, folder, ranks, keep_finished=True)
    if results is not None:
        write_report(folder, [Evaluated(folder, samples.find if settings.pictures else None)], published)
    return results


def _run(
    task: Task[Any], settings: Evaluation, sam: Sam | None, folder: Path, ranks: Ranks, *, keep_finished: bool = False
) -> Results | None:
    has_model = task.name != "edges" or settings.predictions is None
    return run(
        task,
        folder,
        checkpoint=settings.checkpoint if has_model else None,
        image_size=sam.image_size if sam is not None and has_model else None,
        limit=settings.limit,
        ranks=ranks,
        keep_finished=keep_finished,
    )


@dataclass(slots=True)
class Opened:
    """Samples that several tasks read: a large instances file takes a while."""

    images: str | None
    known: dict[str, Samples] = field(default_factory=dict)

    def samples(self, data: str) -> Samples:
        """Raises UserError where there is nothing to read."""
        if data not in self.known:
            self.known[data] = open_samples(data, self.images)
        return self.known[data]


def _task(name: TaskName, settings: Evaluation, sam: Sam | None, opened: Opened, folder: Path) -> Task[Any]:
    data = settings.data_for(name)
    if name == "edges":
        assert settings.edges is not None
        predictions = Path(settings.predictions) if settings.predictions else None
        model = None if predictions else sam
        return EdgesTask(settings.edges, open_edge_set(data), maps=folder / "maps", sam=model, predictions=predictions)
    assert sam is not None, "the settings were checked"
    samples = opened.samples(data)
    if name == "point_to_mask":
        assert settings.point_to_mask is not None
        return PointToMaskTask(settings.point_to_mask, samples, sam, workers=settings.workers)
    if name == "proposals":
        assert settings.proposals is not None
        return ProposalsTask(settings.proposals, samples, sam, workers=settings.workers)
    assert settings.instance_segmentation is not None
    assert settings.detections is not None
    if not isinstance(samples, CocoSamples):
        raise UserError(f"instance segmentation needs categories, so an instances .json; data={data!r} is none")
    return InstanceSegmentationTask(settings.instance_segmentation, samples, Path(settings.detections), sam)


def _folder_of(folder: Path, name: TaskName, settings: Evaluation) -> Path:
    return folder if len(settings.tasks) == 1 else folder / name
