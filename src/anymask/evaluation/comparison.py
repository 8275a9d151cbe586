"""Several results side by side, as ``evaluate.py compare=[…]`` shows them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from anymask.evaluation import view
from anymask.evaluation.page import Page, write_page
from anymask.evaluation.report import VIEWS, model_of, read_results
from anymask.evaluation.results import Results
from anymask.evaluation.task import TaskName

__all__ = ["write_comparison"]


def write_comparison(folder: Path, paths: Sequence[Path]) -> None:
    """Write both forms of a page that shows results side by side, task by task.

    ``paths`` are result files, or folders of one or of several tasks. Raises UserError where there is no result.
    """
    named = [(_name(path, paths), results) for path in paths for results in _results_in(path)]
    tasks = [task for task in VIEWS if any(results["task"] == task for _, results in named)]
    blocks = [_side_by_side(task, [(n, r) for n, r in named if r["task"] == task]) for task in tasks]
    lead = "Each column is a result file. Standard errors are those of each file alone: the images may be the same."
    write_page(folder / "compare", Page("Results side by side", lead, tuple(blocks), ()))


def _side_by_side(task: TaskName, named: Sequence[tuple[str, Results]]) -> view.Block:
    metrics = VIEWS[task].METRICS
    all_results = [results for _, results in named]
    names = _in_order(name for results in all_results for name in results["metrics"])
    rows = [
        view.Row(
            metrics.title(name),
            tuple(view.cells([name], r["metrics"], r["standard_errors"], metrics)[0] for r in all_results),
        )
        for name in names
    ]
    about = [
        view.Row("images", tuple(str(results["counts"]["images"]) for results in all_results)),
        view.Row("data", tuple(results["data"]["name"] for results in all_results)),
        view.Row("sample", tuple(view.sample_said(results) or "all" for results in all_results)),
        view.Row("weights", tuple(model_of(results) for results in all_results)),
    ]
    table = view.Table(columns=("", *(name for name, _ in named)), rows=(*rows, *about))
    return view.Block(
        title=task.replace("_", " ").capitalize(),
        text=_differences(all_results),
        charts=(_together(task, named),),
        tables=(table, *_set_by_set(task, named)),
    )


def _set_by_set(task: TaskName, named: Sequence[tuple[str, Results]]) -> tuple[view.Table, ...]:
    """The first headline of every set, where each of the results is over several sets."""
    if not all(view.is_of_sets(results) for _, results in named):
        return ()
    metric, metrics = VIEWS[task].HEADLINES[0], VIEWS[task].METRICS
    sets = [results["details"]["sets"] for _, results in named]
    rows = [
        view.Row(name, tuple(_of_set(of_file.get(name), metric, metrics) for of_file in sets))
        for name in _in_order(name for of_file in sets for name in of_file)
    ]
    return (view.Table(columns=(metrics.title(metric), *(name for name, _ in named)), rows=tuple(rows)),)


def _of_set(results: Mapping[str, Any] | None, metric: str, metrics: view.Metrics) -> str:
    if results is None:
        return view.NOTHING
    return view.cells([metric], results["metrics"], results["standard_errors"], metrics)[0]


def _together(task: TaskName, named: Sequence[tuple[str, Results]]) -> view.Lines:
    """The models' curves in one chart, as each report has it beside its floors."""
    charts = [(name, VIEWS[task].chart(results)) for name, results in named]
    curves = tuple(replace(chart.curves[0], name=name) for name, chart in charts if chart.curves)
    longest = max((chart for _, chart in charts), key=lambda chart: chart.x_ticks[-1][0])
    return replace(longest, curves=curves)


def _differences(results: Sequence[Results]) -> str:
    """Why numbers may not be compared; nothing of a single result."""
    if len(results) == 1:
        return ""
    asked: dict[str, list[Any]] = {
        "protocols": [one["protocol"] for one in results],
        "data": [sorted(one["data"].items()) for one in results],
        "model frames": [one.get("image_size") for one in results],
        "numbers of images": [one["counts"]["images"] for one in results],
    }
    different = [what for what, values in asked.items() if any(value != values[0] for value in values)]
    if not different:
        return "One protocol, the same data: these numbers can be compared."
    return f"Caution: their {' and '.join(different)} differ, so that these numbers are not comparable."


def _results_in(path: Path) -> list[Results]:
    """Of a file, of a folder, or of the folders of the tasks in it."""
    inside = [path / task for task in VIEWS if (path / task / "results.json").is_file()]
    return [read_results(folder) for folder in inside] if inside else [read_results(path)]


def _name(path: Path, paths: Sequence[Path]) -> str:
    """The folder's name; with that of the one above where it is not the only one of its name."""
    folders = [each if each.is_dir() else each.parent for each in paths]
    folder = path if path.is_dir() else path.parent
    is_alone = sum(each.resolve().name == folder.resolve().name for each in folders) == 1
    return folder.resolve().name if is_alone else "/".join(folder.resolve().parts[-2:])


def _in_order(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
