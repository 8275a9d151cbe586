"""``report.md`` and ``report.html`` from the files of evaluations, for a reader without a network or a model.

The HTML is one file: styles, curves (SVG) and pictures (JPEG) are inside it. What it shows of the data set, of paths
and of errors is escaped.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from anymask.errors import UserError
from anymask.evaluation import view
from anymask.evaluation.edges import view as edges
from anymask.evaluation.instance_segmentation import view as instance_segmentation
from anymask.evaluation.journal import read_records
from anymask.evaluation.page import Page, write_page
from anymask.evaluation.point_to_mask import sets_view
from anymask.evaluation.point_to_mask import view as point_to_mask
from anymask.evaluation.proposals import view as proposals
from anymask.evaluation.published import PublishedFile, read_published
from anymask.evaluation.results import Results
from anymask.evaluation.task import TaskName

__all__ = ["VIEWS", "Evaluated", "Find", "model_of", "read_results", "write_report"]

VIEWS: dict[TaskName, ModuleType] = {
    "point_to_mask": point_to_mask,
    "edges": edges,
    "proposals": proposals,
    "instance_segmentation": instance_segmentation,
}
"""Each with METRICS, HEADLINES, ``section``, and ``chart``: the one that results can be compared by."""

NEEDED = ("protocol", "data", "limit", "checkpoint", "counts", "metrics", "standard_errors", "floors")
"""Fields without which a file holds no results; all versions have them."""

Find = Callable[[set[tuple[str, str]]], Mapping[tuple[str, str], Any]]
"""The images of a task by shard and key, for its pictures."""


@dataclass(frozen=True, slots=True)
class Evaluated:
    """One evaluation as it lies on disk, and where its images are."""

    folder: Path
    find: Find | None  # None: without pictures


def write_report(folder: Path, evaluated: Sequence[Evaluated], published: Path | None) -> None:
    """Write both forms of one report on all of these into ``folder``.

    ``published`` is a folder with ``<task>/published.json``; without it only our own numbers are shown.
    """
    sections, summaries = [], []
    for one in evaluated:
        results = read_results(one.folder)
        records = one.folder / "records.jsonl"
        task = cast(TaskName, results["task"])
        rows = read_published(published / task / "published.json") if published else PublishedFile()
        read = read_records(records) if one.find is not None and records.is_file() else []
        section = sets_view.section if view.is_of_sets(results) else VIEWS[task].section
        sections.append(section(one.folder, results, read, rows, one.find))
        summaries.append(_summary(results, rows))
    write_page(folder / "report", _page(sections, summaries))


def read_results(path: Path) -> Results:
    """``results.json``, or that of a folder. Raises UserError where there is none."""
    file = path / "results.json" if path.is_dir() else path
    try:
        results = json.loads(file.read_text())
        if results["task"] not in VIEWS:
            raise KeyError(results["task"])
        for name in NEEDED:
            results[name]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file} holds no results: {type(error).__name__} {error}") from None
    return cast(Results, results)


def _page(sections: Sequence[view.Section], summaries: Sequence[view.Table]) -> Page:
    if len(sections) == 1:
        return Page(f"{sections[0].title} on {sections[0].results['data']['name']}", "", (), tuple(sections))
    text = (
        "Ours, what needs no learning, and what the paper printed. Published numbers were measured on the whole of "
        "the data set that they name; each task's section says how ours was."
    )
    block = view.Block(title="Summary", text=text, tables=tuple(summaries))
    return Page(f"The zero-shot suite: {model_of(sections[0].results)}", "", (block,), tuple(sections))


def _summary(results: Results, published: PublishedFile) -> view.Table:
    """The headline numbers with the floors and the rows that are marked as headlines."""
    task = VIEWS[cast(TaskName, results["task"])]
    there = [name for name, value in results["metrics"].items() if value is not None]
    names = [name for name in task.HEADLINES if name in there] or there[:4]
    ours = view.cells(names, results["metrics"], results["standard_errors"], task.METRICS)
    others = {floor.replace("_", " "): values for floor, values in results["floors"].items()}
    others |= {f"{row.model}, {row.dataset}": dict(row.numbers) for row in published.rows if row.headline}
    rows = [view.Row(name, view.cells(names, values, {}, task.METRICS)) for name, values in others.items()]
    title = f"{results['task'].replace('_', ' ')} on {results['data']['name']}"
    images = f"{results['counts']['images']} images. {view.sample_said(results)}".strip()
    return view.Table(
        columns=(title, *map(task.METRICS.title, names)),
        rows=(view.Row(view.ours(results, "this model"), ours, is_ours=True), *rows),
        caption=images,
    )


def model_of(results: Results) -> str:
    """Where the weights come from, or the predictions."""
    weights = results["checkpoint"]
    return str(weights["path"]) if weights else results["data"].get("predictions", "predictions of others")
