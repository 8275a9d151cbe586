"""What a report shows, before it is HTML or Markdown: sections of tables, charts and pictures.

A task's ``view`` module makes a section of its results; the templates know nothing of tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from anymask.evaluation.published import Expectation, Published, PublishedFile
from anymask.evaluation.results import Results

__all__ = [
    "NOTHING",
    "Bars",
    "Block",
    "Chart",
    "Curve",
    "Dots",
    "GroupedBars",
    "Lines",
    "Metrics",
    "Picture",
    "Row",
    "Section",
    "Table",
    "Tile",
    "against_expected",
    "against_floors",
    "against_published",
    "cells",
    "facts",
    "is_of_sets",
    "ours",
    "per_cent",
    "published_block",
    "sample_said",
    "tiles",
]

NOTHING = "\N{EN DASH}"

Point = tuple[float, float, float]
"""x, y, and the standard error of y or 0."""


@dataclass(frozen=True, slots=True)
class Metrics:
    """How the metrics of a task are called and written."""

    title: Callable[[str], str]  # of a metric's name
    shown: Callable[[float, str], str]  # a value, by the metric's name


@dataclass(frozen=True, slots=True)
class Tile:
    """One number, large."""

    title: str
    value: str
    error: str  # "± 1.2", or nothing


@dataclass(frozen=True, slots=True)
class Row:
    """Of a table; cells are texts, ``a ± b`` with the error set small."""

    name: str
    cells: tuple[str, ...]
    is_ours: bool = False
    is_absent: bool = False  # set faint: there is nothing of ours
    link: Path | None = None  # a page, behind the name


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """The first column holds the rows' names; columns whose number is in ``texts`` hold words."""

    columns: tuple[str, ...]  # with that of the names
    rows: tuple[Row, ...]
    caption: str = ""
    texts: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Curve:
    """Of a chart of lines; ``dots`` marks its points, which else are only joined."""

    name: str
    points: tuple[Point, ...]
    dots: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Lines:
    """Curves over one axis; with ``log_x`` the axis is logarithmic."""

    title: str
    x_title: str
    y_title: str
    x_ticks: tuple[tuple[float, str], ...]  # the axis ends at the first and the last
    y_ticks: tuple[tuple[float, str], ...]
    curves: tuple[Curve, ...]
    log_x: bool = False
    diagonal: bool = False  # a dashed line from corner to corner, where the two axes are equal
    note: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bars:
    """How many there are between each edge and the next."""

    title: str
    x_title: str
    y_title: str
    edges: tuple[str, ...]  # one more than there are counts
    counts: tuple[int, ...]
    note: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Dots:
    """Shares against shares, each dot as large as the number that it stands for."""

    title: str
    x_title: str
    y_title: str
    dots: tuple[tuple[float, float, int], ...]  # x, y, number
    note: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupedBars:
    """Shares, 0 to 1, side by side in groups that have names; a bar is a value and its standard error or 0."""

    title: str
    x_title: str
    series: tuple[str, ...]  # the name of each bar of a group
    groups: tuple[tuple[str, tuple[tuple[float, float], ...]], ...]
    note: str = ""


Chart = Lines | Bars | Dots | GroupedBars


@dataclass(frozen=True, slots=True)
class Picture:
    """A JPEG and what it shows; ``alt`` for those who do not see it."""

    jpeg: bytes
    caption: str
    alt: str
    is_broad: bool = False  # several panels side by side: fewer pictures in a row


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """A part of a section under a heading of its own."""

    title: str
    text: str = ""
    charts: tuple[Chart, ...] = ()
    tables: tuple[Table, ...] = ()
    pictures: tuple[tuple[str, tuple[Picture, ...]], ...] = ()  # under headings


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """All of one task."""

    title: str  # of the task
    results: Results
    tiles: tuple[Tile, ...]
    note: str  # what the numbers are
    blocks: tuple[Block, ...]
    facts: tuple[tuple[str, str], ...]


def per_cent(value: float, _: str = "") -> str:
    """As most papers print shares.

    >>> per_cent(0.5814)
    '58.1'
    """
    return f"{100 * value:.1f}"


def tiles(results: Results, metrics: Metrics, names: Sequence[str]) -> tuple[Tile, ...]:
    """Of those metrics that there are."""
    there = [name for name in names if results["metrics"].get(name) is not None]
    return tuple(
        Tile(
            metrics.title(name),
            _value(results["metrics"][name], name, metrics),
            _error(results["standard_errors"].get(name), name, metrics),
        )
        for name in there
    )


def against_floors(results: Results, metrics: Metrics, *, caption: str = "") -> Table:
    """The model first, then each floor by what it was measured."""
    names = tuple(results["metrics"])
    errors = results["floor_standard_errors"]
    rows = [
        Row(ours(results, "model"), cells(names, results["metrics"], results["standard_errors"], metrics), is_ours=True)
    ]
    for floor, values in results["floors"].items():
        rows.append(Row(floor.replace("_", " "), cells(names, values, errors.get(floor, {}), metrics)))
    return Table(
        columns=("on the same data", *map(metrics.title, names)),
        rows=tuple(rows),
        caption=" ".join(filter(None, [caption, sample_said(results)])),
    )


def against_published(results: Results, metrics: Metrics, rows: Sequence[Published]) -> Table:
    """Ours, then what others printed, by the metrics that any of them has."""
    names = tuple(name for name in results["metrics"] if any(name in row.numbers for row in rows))
    own = (results["data"]["name"], *cells(names, results["metrics"], {}, metrics), "as below", "this report")
    return Table(
        columns=("model", "data set", *map(metrics.title, names), "set-up", "source"),
        rows=(
            Row(ours(results, "this model"), own, is_ours=True),
            *(
                Row(row.model, (row.dataset, *cells(names, row.numbers, {}, metrics), row.setup, row.source))
                for row in rows
            ),
        ),
        caption=sample_said(results),
        texts=(1, len(names) + 2, len(names) + 3),
    )


def against_expected(results: Results, metrics: Metrics, expected: Sequence[Expectation]) -> Table:
    """What official weights must reach, and whether this run, where it is of them and of all the data, does."""
    return Table(
        columns=("official weights", "data set", "metric", "expected", "this run", "passes", "why so wide"),
        rows=tuple(
            Row(
                one.model,
                (
                    f"{one.dataset}, {one.images} images",
                    metrics.title(one.metric),
                    f"{metrics.shown(one.value, one.metric)} ± {metrics.shown(one.tolerance, one.metric)}",
                    _value(results["metrics"].get(one.metric), one.metric, metrics),
                    _passes(one, results),
                    one.reason,
                ),
                is_ours=one.applies_to(results),
            )
            for one in expected
        ),
        caption=sample_said(results),
        texts=(1, 2, 5, 6),
    )


def published_block(results: Results, metrics: Metrics, published: PublishedFile, text: str) -> tuple[Block, ...]:
    """Both tables under one heading, where there is anything published."""
    if not published.rows:
        return ()
    tables = [against_published(results, metrics, published.rows)]
    if published.expected:
        tables.append(against_expected(results, metrics, published.expected))
    return (
        Block(title="Published numbers", text=" ".join(filter(None, [text, published.note])), tables=tuple(tables)),
    )


def ours(results: Results, model: str) -> str:
    """What the row of what was measured is called."""
    return "the predictions" if "predictions" in results["data"] else model


def _passes(expected: Expectation, results: Results) -> str:
    if not expected.applies_to(results):
        return "not known: other weights, data or settings"
    return "yes" if expected.is_met_by(results) else "NO: a mistake in the code or in the data"


def sample_said(results: Results) -> str:
    """What every table says where not all images were taken."""
    if results["limit"] is None:
        return ""
    return f"Of the first {results['limit']} images {'of each set ' if is_of_sets(results) else ''}only."


def is_of_sets(results: Results) -> bool:
    """Whether these are means over several data sets."""
    return "sets" in results["counts"]


def facts(results: Results) -> tuple[tuple[str, str], ...]:
    """How it was measured."""
    data, checkpoint = results["data"], results["checkpoint"]
    others = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in data.items() if key != "name")
    times = ", ".join(f"{key.replace('_', ' ')} {value:.1f} ms" for key, value in results["latency_ms"].items())
    weights = f"{checkpoint['path']}, sha256 {checkpoint['sha256'] or 'unknown'}" if checkpoint else "none"
    if side := results.get("image_size"):
        weights += f", model frame of {side} pixels"
    return (
        ("protocol", results["protocol"]),
        ("settings", ", ".join(f"{key}={value}" for key, value in results["settings"].items())),
        ("data", ", ".join(filter(None, [data["name"], others, sample_said(results).rstrip(".").lower()]))),
        ("counts", ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in results["counts"].items())),
        ("standard errors", results["errors_are"]),
        ("checkpoint", weights),
        ("code", f"{results['commit'] or 'unknown'}, torch {results['torch']}"),
        ("hardware", f"{results['hardware']}, {results['processes']} process{'es' * (results['processes'] > 1)}"),
        ("median time", times or "not measured"),
        ("date", results["date"]),
    )


def cells(
    names: Sequence[str],
    values: Mapping[str, float | None],
    errors: Mapping[str, float | None],
    metrics: Metrics,
) -> tuple[str, ...]:
    """Of a row, one for each name; what is missing is a dash."""
    return tuple(
        " ".join(filter(None, [_value(values.get(name), name, metrics), _error(errors.get(name), name, metrics)]))
        for name in names
    )


def _value(value: float | None, name: str, metrics: Metrics) -> str:
    return NOTHING if value is None else metrics.shown(value, name)


def _error(value: float | None, name: str, metrics: Metrics) -> str:
    return "" if value is None else f"± {metrics.shown(value, name)}"
