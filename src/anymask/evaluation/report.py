"""``report.md`` and ``report.html`` from the files of an evaluation, for a reader without a network or a model.

The HTML is one file: styles, curves (SVG) and pictures (JPEG) are inside it. What it shows of the data set, of paths
and of errors is escaped.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import jinja2
import msgspec
from markupsafe import Markup, escape

from anymask.atomic import write_atomically
from anymask.data.shards import ShardSet
from anymask.errors import UserError
from anymask.evaluation.journal import read_records
from anymask.evaluation.pictures import draw_extremes
from anymask.evaluation.results import Record, Results
from anymask.metrics.overlap import iou_after

__all__ = ["NOTHING", "Published", "read_published", "write_report"]

TEMPLATES = Path(__file__).parent / "templates"
HISTOGRAM_BINS = 10
NOTHING = "\N{EN DASH}"


class Published(msgspec.Struct):
    """One row of numbers that others printed; IoUs are 0 to 1."""

    model: str
    dataset: str
    numbers: dict[str, float]  # by the names of our metrics
    setup: str
    source: str


class _PublishedFile(msgspec.Struct):
    rows: list[Published]


def write_report(folder: Path, shards: ShardSet | None, published: Path | None) -> None:
    """Write both reports beside ``results.json`` and ``records.jsonl``.

    The shards are read for the pictures alone; without them there are none.
    """
    results = cast(Results, json.loads((folder / "results.json").read_text()))
    records = read_records(folder / "records.jsonl")
    rows = read_published(published) if published else []
    first, later = results["pictured"]
    view = {
        "results": results,
        "published": rows,
        "published_metrics": [key for key in results["metrics"] if any(key in row.numbers for row in rows)],
        "shown": draw_extremes(records, shards, (first, later)) if shards else None,
        "histogram": _histogram(records),
        "curves": _curves(results),
    }
    environment = _environment()
    for name in ("report.md", "report.html"):
        _write(folder / name, environment.get_template(name).render(view))


def read_published(path: Path) -> list[Published]:
    """The rows of a file such as ``eval/point_to_mask/published.json``. Raises UserError if it is no such file."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=_PublishedFile).rows
    except (OSError, msgspec.MsgspecError) as error:
        raise UserError(f"{path} holds no published numbers: {error}") from None


@dataclass(frozen=True, slots=True)
class Curve:
    """Mean IoU over clicks."""

    name: str
    points: list[tuple[int, float, float]]  # click, mean, standard error


def _curves(results: Results) -> list[Curve]:
    """The model first, then the floors, then the oracle."""
    metrics, errors = results["metrics"], results["standard_errors"]
    floors = [
        _curve(name, "miou", values, results["floor_standard_errors"][name])
        for name, values in results["floors"].items()
    ]
    return [_curve("model", "miou", metrics, errors), *floors, _curve("oracle", "oracle", metrics, errors)]


def _curve(name: str, kind: str, metrics: dict[str, float], errors: dict[str, float | None]) -> Curve:
    keys = [key for key in metrics if key.startswith(f"{kind}@")]
    return Curve(name, [(int(key.partition("@")[2]), metrics[key], errors[key] or 0.0) for key in keys])


def _histogram(records: list[Record]) -> list[int]:
    """Masks by their IoU after the first click, in tenths; a perfect one is in the last."""
    counts = [0] * HISTOGRAM_BINS
    for record in records:
        counts[min(HISTOGRAM_BINS - 1, int(iou_after(record["model"]["ious"], 1) * HISTOGRAM_BINS))] += 1
    return counts


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"value": _value, "error": _error, "title": _title, "data_url": _data_url, "plain": _plain}
    return environment


def _value(value: float | None, metric: str) -> str:
    """IoUs in per cent, as papers print them; clicks as they are."""
    if value is None:
        return NOTHING
    return f"{value:.2f}" if metric.startswith("noc@") else f"{100 * value:.1f}"


def _error(value: float | None, metric: str) -> str:
    return "" if value is None else f" ± {_value(value, metric)}"


def _title(metric: str) -> str:
    """``mIoU, 5 clicks`` for ``miou@5``.

    >>> _title("noc@90")
    'NoC at 90'
    """
    kind, _, number = metric.partition("@")
    if kind == "noc":
        return f"NoC at {number}"
    words = {"miou": "mIoU", "oracle": "oracle"}
    return f"{words.get(kind, kind)}, {number} click{'s' if number != '1' else ''}"


def _plain(text: str) -> Markup:
    """Escaped, and without what Markdown would take for the end of a cell or a line."""
    return escape(" ".join(str(text).split())).replace("|", Markup("&#124;"))


def _data_url(jpeg: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")


def _write(path: Path, text: str) -> None:
    write_atomically(path, lambda part: part.write_text(text))
