"""How a report shows point-to-mask over the paper's data sets, those that are not at hand among them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from anymask.data.sa23 import SA23
from anymask.evaluation import view
from anymask.evaluation.point_to_mask.sets import command
from anymask.evaluation.point_to_mask.view import HEADLINES, METRICS, chart
from anymask.evaluation.published import Lead, PublishedFile
from anymask.evaluation.results import Results

__all__ = ["section"]

ALL_SETS = "SA-23"
"""What rows of published means over the sets say first of their data set."""

PART = "\N{DAGGER}"


def section(folder: Path, results: Results, records: list[Any], published: PublishedFile, find: object) -> view.Section:
    """All of it; ``folder`` has those of the sets. Records and photographs are in the reports of these."""
    number = results["counts"]["sets"]
    return view.Section(
        title="Point-to-mask",
        results=results,
        tiles=view.tiles(results, METRICS, HEADLINES),
        note=(
            f"{_mean(results)}: over the masks of each set, then over the sets, each of which counts the same. "
            f"IoU in per cent ± its standard error, {results['errors_are']}."
        ),
        blocks=(
            _sets(folder, results, published.lead),
            view.Block(
                title="Model and floors",
                text=f"{_mean(results)}. A floor has learned nothing; it gets its clicks by the same rule.",
                tables=(view.against_floors(results, METRICS, caption=f"Means of {number} sets."),),
            ),
            *_not_measured(results),
            *_published(results, published),
        ),
        facts=tuple((term, text) for term, text in view.facts(results) if term != "median time"),
    )


def _mean(results: Results) -> str:
    """Never the mean of the 23: sets are absent, or drawn in another way than the paper's."""
    number = results["counts"]["sets"]
    return f"Mean of the {number} sets at hand" if number > 1 else "The one set at hand"


def _sets(folder: Path, results: Results, lead: Lead | None) -> view.Block:
    return view.Block(
        title="Set by set",
        text=_words(lead),
        charts=(_bars(results), chart(results)),
        tables=(_table(folder, results, lead),),
    )


def _words(lead: Lead | None) -> str:
    """What the columns are, and what nobody has printed."""
    text = (
        "Each set has a report of its own, behind its name. Photographs and masks are ours / the paper's; of a set "
        f"with {PART} the paper evaluated a part and tells neither which nor how it was drawn: ours is drawn anew. The "
        "standard error of a set is over its masks; its floor is the best one."
    )
    if lead is None:
        return text
    printed = f"by how many points {lead.model} was above {lead.over} ({lead.source}; {lead.setup})"
    return (
        f"{text} The paper's own mIoU of each set was printed as curves alone, so that none can stand beside ours; the "
        f"last column is what was printed, {printed}."
    )


def _bars(results: Results) -> view.GroupedBars:
    """From the best to the worst."""
    name = _names(results)[0]
    groups = [(SA23[key].title, _pair(one, name)) for key, one in results["details"]["sets"].items()]
    series = ("model", "best floor")[: 1 + bool(results["floors"])]
    return view.GroupedBars(
        title=f"{METRICS.title(name)}, of each set at hand",
        x_title="mean IoU, %",
        series=series,
        groups=tuple((title, pair[: len(series)]) for title, pair in sorted(groups, key=lambda group: -group[1][0][0])),
    )


def _pair(one: Mapping[str, Any], name: str) -> tuple[tuple[float, float], ...]:
    """Value and standard error of the model, then of the best floor, whose error is not drawn."""
    return (one["metrics"][name], one["standard_errors"][name] or 0.0), (_best_floor(one, name) or 0.0, 0.0)


def _table(folder: Path, results: Results, lead: Lead | None) -> view.Table:
    names = _names(results)
    first = names[0]
    counts = tuple(str(results["counts"][of]) for of in ("images", "masks"))
    floors = [best for one in results["details"]["sets"].values() if (best := _best_floor(one, first)) is not None]
    floor = view.per_cent(fmean(floors)) if floors else view.NOTHING
    mean = (*_cells(names, results), floor, *([view.NOTHING] if lead else []))
    return view.Table(
        columns=(
            "set",
            "domain",
            "photographs",
            "masks",
            *map(METRICS.title, names),
            f"floor, {_clicks(first)}",
            *([f"{lead.model} \N{MINUS SIGN} {lead.over}, {_clicks(lead.metric)}"] if lead else []),
        ),
        rows=(
            *(_row(folder, name, results, lead) for name in SA23),
            view.Row(_mean(results).lower(), ("", *counts, *mean), is_ours=True),
        ),
        caption=view.sample_said(results),
        texts=(1,),
    )


def _row(folder: Path, name: str, results: Results, lead: Lead | None) -> view.Row:
    own, names = SA23[name], _names(results)
    title = f"{own.title}\N{NO-BREAK SPACE}{PART}" if own.is_drawn else own.title
    published = [_points(lead.numbers.get(name))] if lead else []
    one = results["details"]["sets"].get(name)
    if one is None:
        counts = [f"{view.NOTHING} / {number}" for number in (own.images, own.masks)]
        nothing = [view.NOTHING] * (len(names) + 1)
        return view.Row(title, (own.domain, *counts, *nothing, *published), is_absent=True)
    counts = [f"{one['counts']['images']} / {own.images}", f"{one['counts']['masks']} / {own.masks}"]
    cells = (own.domain, *counts, *_cells(names, one), _floor(one, names[0]), *published)
    return view.Row(title, cells, link=folder / name / "report.html")


def _cells(names: list[str], one: Mapping[str, Any]) -> tuple[str, ...]:
    """Of all the first alone has its standard error, for want of room."""
    return view.cells(names, one["metrics"], {names[0]: one["standard_errors"][names[0]]}, METRICS)


def _points(share: float | None) -> str:
    return view.NOTHING if share is None else f"{100 * share:+.1f}"


def _not_measured(results: Results) -> tuple[view.Block, ...]:
    """Those that failed, with the reason, and those that are missing, with where they come from."""
    failed, missing = results["details"]["failed"], results["details"]["missing"]
    tables = []
    if failed:
        rows = tuple(view.Row(SA23[name].title, (reason,)) for name, reason in failed.items())
        tables.append(view.Table(columns=("could not be measured", "why"), rows=rows, texts=(1,)))
    if missing:
        rows = tuple(
            view.Row(SA23[name].title, (SA23[name].split, SA23[name].licence, SA23[name].site, command(name)))
            for name in missing
        )
        columns = ("not at hand", "split", "licence", "site", "command")
        caption = "Each program tells with --help what stands for the dots."
        tables.append(view.Table(columns=columns, rows=rows, caption=caption, texts=(1, 2, 3, 4)))
    return (view.Block(title="Sets without a number", tables=tuple(tables)),) if tables else ()


def _published(results: Results, published: PublishedFile) -> tuple[view.Block, ...]:
    """Means that others printed over all of the sets."""
    rows = [row for row in published.rows if row.dataset.startswith(ALL_SETS)]
    if not rows:
        return ()
    text = (
        "Theirs are over the paper's sets, all or some as a row says, of which parts were drawn that nobody else can "
        f"draw again; ours is over {results['data']['name']}, as prepared here. They show the scale and rank nothing."
    )
    return (view.Block(title="Published means", text=text, tables=(view.against_published(results, METRICS, rows),)),)


def _names(results: Results) -> list[str]:
    """The IoUs by clicks, the model's before the oracle's."""
    ious = [name for name in results["metrics"] if name.startswith(("miou@", "oracle@"))]
    return sorted(ious, key=lambda name: (int(name.partition("@")[2]), name))


def _best_floor(one: Mapping[str, Any], name: str) -> float | None:
    """All floors are given the first reported click; later ones need not be."""
    return max((values[name] for values in one["floors"].values()), default=None)


def _floor(one: Mapping[str, Any], name: str) -> str:
    return view.cells([name], {name: _best_floor(one, name)}, {}, METRICS)[0]


def _clicks(name: str) -> str:
    return METRICS.title(name).partition(", ")[2]
