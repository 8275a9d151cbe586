"""A page of tables, charts and pictures as Markdown and as one HTML file."""

from __future__ import annotations

import base64
import html
import math
import os
import re
from dataclasses import dataclass
from pathlib import Path

import jinja2
from markupsafe import Markup

from anymask.atomic import write_atomically
from anymask.evaluation.view import Block, Chart, Lines, Section, is_of_sets

__all__ = ["Page", "write_page"]

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True, slots=True)
class Page:
    """Blocks, then sections."""

    title: str
    lead: str
    blocks: tuple[Block, ...]
    sections: tuple[Section, ...]


def write_page(path: Path, page: Page) -> None:
    """Write ``path.md`` and ``path.html``; the Markdown has the tables alone."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "across": across,
        "data_url": _data_url,
        "down": down,
        "from_here": lambda page: Path(os.path.relpath(page, path.parent)).as_posix(),
        "kind": _kind,
        "plain": _plain,
        "subtitle": _subtitle,
    }
    for ending in (".md", ".html"):
        text = environment.get_template(f"page{ending}").render(page=page)
        _write(path.with_name(path.name + ending), text)


def across(chart: Lines, x: float, left: float, right: float) -> float:
    """Where a value of the x axis lies between ``left`` and ``right``; beyond the axis, at its end."""
    return _place(x, chart.x_ticks[0][0], chart.x_ticks[-1][0], left, right, is_log=chart.log_x)


def down(chart: Lines, y: float, top: float, bottom: float) -> float:
    """Where a value of the y axis lies between ``bottom`` and ``top``; beyond the axis, at its end."""
    return _place(y, chart.y_ticks[0][0], chart.y_ticks[-1][0], bottom, top, is_log=False)


def _place(value: float, first: float, last: float, begin: float, end: float, *, is_log: bool) -> float:
    if is_log:
        value, first, last = (math.log(max(each, first)) for each in (value, first, last))
    share = (value - first) / (last - first) if last > first else 0.5
    return round(begin + (end - begin) * min(max(share, 0), 1), 1)


def _kind(chart: Chart) -> str:
    return type(chart).__name__


def _subtitle(section: Section) -> str:
    results = section.results
    weights, limit = results["checkpoint"], results["limit"]
    images, sets, of_each = f"{results['counts']['images']} images", "", ""
    if is_of_sets(results):
        sets, of_each = f" of {results['counts']['sets']} sets", " of each"
    return " · ".join(
        [
            weights["path"] or "" if weights else "predictions of others",
            f"{images}{sets}" + (f", the first {limit}{of_each} only" if limit else ""),
            results["date"],
        ]
    )


def _plain(text: str) -> Markup:
    """Escaped, and without what Markdown would take for a link, for stress, or for the end of a cell or a line."""
    told = html.escape(" ".join(str(text).split()), quote=False).replace("|", "&#124;")
    return Markup(re.sub(r"([*`\[\]])", r"\\\1", told))


def _data_url(jpeg: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")


def _write(path: Path, text: str) -> None:
    write_atomically(path, lambda part: part.write_text(text))
