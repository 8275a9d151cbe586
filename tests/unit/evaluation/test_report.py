from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from anymask.data.records import decode_image
from anymask.data.samples import ShardSamples
from anymask.data.shards import ShardSet
from anymask.errors import UserError
from anymask.evaluation.point_to_mask.protocol import PointToMask
from anymask.evaluation.point_to_mask.task import PointToMaskTask
from anymask.evaluation.published import read_published
from anymask.evaluation.report import Evaluated, write_report
from anymask.evaluation.running import run
from anymask.evaluation.view import NOTHING
from anymask.models.sam import Sam

PUBLISHED = Path(__file__).resolve().parents[3] / "eval" / "point_to_mask" / "published.json"


class Tags(HTMLParser):
    """Every tag with its attributes, and the cells of every table row."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.in_cell = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self.in_cell = True

    def handle_endtag(self, tag: str) -> None:
        self.in_cell = self.in_cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self.in_cell:
            self.rows[-1][-1] += data


@pytest.fixture
def evaluated(sam: Sam, shards: ShardSet, tmp_path: Path, published: Path) -> Path:
    task = PointToMask(clicks=6, report_at=(1, 2, 3), floors=("disc",))
    samples = ShardSamples(shards)
    run(PointToMaskTask(task, samples, sam), tmp_path / "out", checkpoint="<b>|weights", progress=False)
    write_report(tmp_path / "out", [Evaluated(tmp_path / "out", samples.find)], published)
    return tmp_path / "out"


def test_the_page_loads_nothing_and_runs_nothing(evaluated: Path) -> None:
    text = (evaluated / "report.html").read_text()
    tags = Tags(text).tags
    assert not [tag for tag, _ in tags if tag in ("script", "link", "iframe", "object")]
    sources = [value for _, attributes in tags for name, value in attributes.items() if name in ("src", "href")]
    assert sources
    assert all(source is not None and source.startswith("data:image/jpeg;base64,") for source in sources)
    assert "url(" not in text
    assert "http" not in text.replace("http-equiv", "")


def test_what_comes_from_outside_is_escaped_in_both(evaluated: Path) -> None:
    html, markdown = (evaluated / "report.html").read_text(), (evaluated / "report.md").read_text()
    assert "<script>" not in html
    assert "&lt;script&gt;alert(1)" in html
    assert "&lt;b&gt;|weights" in html
    assert "<b>" not in markdown
    assert "&lt;b&gt;&#124;weights" in markdown
    assert "other &#124; clicks" in markdown
    assert "SAM &amp; co" in html


def test_the_table_shows_the_numbers_of_the_results(evaluated: Path) -> None:
    results = json.loads((evaluated / "results.json").read_text())
    rows = Tags((evaluated / "report.html").read_text()).rows
    heads = next(row for row in rows if row[0] == "on the same data")
    model = next(row for row in rows if row[0] == "model" and row is not heads)
    for cell, (key, value) in zip(model[1:], results["metrics"].items(), strict=True):
        shown, error = (float(part) for part in cell.split(" ± "))
        unit, digits = (1, 2) if key.startswith("noc") else (100, 1)
        assert shown == pytest.approx(value * unit, abs=0.51 * 10**-digits)
        assert error == pytest.approx(results["standard_errors"][key] * unit, abs=0.51 * 10**-digits)
    disc = next(row for row in rows if row[0] == "disc")
    assert float(disc[1].split("±")[0]) == pytest.approx(100 * results["floors"]["disc"]["miou@1"], abs=0.051)
    assert disc[-1] == NOTHING


def test_markdown_and_page_show_the_same_model_row(evaluated: Path) -> None:
    rows = Tags((evaluated / "report.html").read_text()).rows
    page = next(row for row in rows if row[0] == "model" and "±" in row[1])
    markdown = next(
        line for line in (evaluated / "report.md").read_text().splitlines() if line.startswith("| **model**")
    )
    assert [cell.strip() for cell in markdown.strip("|").split("|")][1:] == page[1:]


def test_markdown_tables_are_whole(evaluated: Path) -> None:
    """In each table all rows have the same number of cells, and the second rules the first off."""
    tables = re.findall(r"(?:^\|.*\n)+", (evaluated / "report.md").read_text(), re.MULTILINE)
    assert len(tables) == 4
    for table in tables:
        lines = table.splitlines()
        assert len({line.count("|") for line in lines}) == 1
        assert set(lines[1]) == {"|", "-"}


def test_published_rows_stand_beside_ours_with_their_source_and_set_up(evaluated: Path) -> None:
    rows = Tags((evaluated / "report.html").read_text()).rows
    row = next(row for row in rows if row[0] == "SAM & co")
    assert row == ["SAM & co", "elsewhere", "58.1", "1.88", "other | clicks", "a paper"]
    assert "None of them was measured on these masks" in (evaluated / "report.html").read_text()


def test_pictures_are_whole_and_show_the_best_and_the_worst(evaluated: Path) -> None:
    text = (evaluated / "report.html").read_text()
    pictures = re.findall(r"data:image/jpeg;base64,([A-Za-z0-9+/=]+)", text)
    assert len(pictures) == 9
    assert all(decode_image(base64.b64decode(picture)).size > 10_000 for picture in pictures)
    captions = [float(iou) for iou in re.findall(r"at click 1, ([\d.]+) at click 3", text)]
    assert captions[0] == max(captions)
    assert captions[-3] == min(captions)


def test_a_report_without_shards_has_no_photograph(evaluated: Path) -> None:
    write_report(evaluated, [Evaluated(evaluated, None)], None)
    tags = Tags((evaluated / "report.html").read_text()).tags
    assert not [name for name, _ in tags if name == "img"]
    assert [name for name, _ in tags if name == "svg"]


def test_skipped_samples_are_listed(evaluated: Path) -> None:
    for name in ("report.html", "report.md"):
        assert "broken in manual-000000.tar" in (evaluated / name).read_text()


def rewrite(folder: Path, shards: ShardSet, change: dict[str, Any]) -> str:
    path = folder / "results.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    write_report(folder, [Evaluated(folder, ShardSamples(shards).find)], None)
    return (folder / "report.html").read_text()


@pytest.mark.parametrize(("beats", "style"), [(True, "verdict good"), (False, "verdict bad"), (None, "verdict ")])
def test_the_verdict_stands_at_the_top(evaluated: Path, shards: ShardSet, beats: bool | None, style: str) -> None:
    verdict = {"beats_every_floor": beats, "sentence": "So it is."}
    text = rewrite(evaluated, shards, {"verdict": verdict})
    assert f'class="{style}">So it is.' in text
    assert text.index("So it is.") < text.index("<table")
    assert "**So it is.**" in (evaluated / "report.md").read_text()


def test_a_report_is_made_again_without_a_model_and_without_floors_or_published(
    evaluated: Path, shards: ShardSet
) -> None:
    text = rewrite(evaluated, shards, {"floors": {}, "floor_standard_errors": {}, "limit": 2})
    assert "Published numbers" not in text
    assert text.count("Of the first 2 images only.") == 3


def test_the_published_numbers_of_the_project_can_be_read() -> None:
    rows = read_published(PUBLISHED).rows
    vit_h = next(row for row in rows if row.model == "SAM ViT-H" and row.dataset == "SA-23, all 23 sets")
    assert vit_h.numbers == {"miou@1": 0.581, "miou@5": 0.813}
    for row in rows:
        assert row.numbers
        assert row.source
        assert row.setup
        for name, value in row.numbers.items():
            assert 1 <= value <= 20 if name.startswith("noc@") else 0 < value < 1


@pytest.mark.parametrize("content", ["", "[]", '{"rows": [{"model": "x"}]}'])
def test_a_file_without_published_numbers_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "published.json"
    path.write_text(content)
    with pytest.raises(UserError, match=r"published\.json holds no published numbers"):
        read_published(path)
