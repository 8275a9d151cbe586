from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from anymask.data.sa23 import SA23
from anymask.evaluation.point_to_mask import sets_view
from anymask.evaluation.point_to_mask.sets import over_sets
from anymask.evaluation.published import Lead, PublishedFile
from anymask.evaluation.report import Evaluated, write_report
from anymask.evaluation.results import Results, write_results
from anymask.evaluation.view import NOTHING, GroupedBars, Section
from tests.unit.evaluation.point_to_mask.test_sets import result

EVAL = Path(__file__).resolve().parents[4] / "eval"
LEAD = Lead(model="SAM", over="RITM", metric="miou@1", numbers={"lvis": 0.185}, setup="one click", source="figure 9a")


def of_set(first: float, **changes: Any) -> Results:
    numbers = {"miou@1": first, "miou@10": first + 0.3, "oracle@1": first + 0.1, "noc@90": 7.0}
    errors = dict.fromkeys(numbers, 0.01)
    floors = {"disc": {"miou@1": 0.1}, "grabcut": {"miou@1": 0.3}}
    floor_errors = {floor: {"miou@1": 0.02} for floor in floors}
    settings = {"report_at": [1, 10], "clicks": 20}
    own = {"metrics": numbers, "standard_errors": errors, "floors": floors, "floor_standard_errors": floor_errors}
    return result(first, **{**own, "settings": settings, **changes})


@pytest.fixture
def results() -> Results:
    return over_sets({"lvis": of_set(0.2), "gtea": of_set(0.6)}, {"doors": "there is | nothing"})


def section(results: Results, published: PublishedFile) -> Section:
    return sets_view.section(Path("out"), results, [], published, None)


def table(results: Results, lead: Lead | None) -> dict[str, tuple[str, ...]]:
    rows = section(results, PublishedFile(lead=lead)).blocks[0].tables[0].rows
    return {row.name.partition("\N{NO-BREAK SPACE}")[0]: row.cells for row in rows}


def test_all_sets_of_the_paper_have_a_row_and_the_last_is_the_mean(results: Results) -> None:
    rows = section(results, PublishedFile()).blocks[0].tables[0].rows
    assert len(rows) == 24
    assert [row.is_absent for row in rows].count(False) == 3
    assert [row.name.partition("\N{NO-BREAK SPACE}")[0] for row in rows[:-1]] == [one.title for one in SA23.values()]
    assert [row.name for row in rows if row.is_ours] == ["mean of the 2 sets at hand"]


def test_a_drawn_set_is_marked(results: Results) -> None:
    rows = section(results, PublishedFile()).blocks[0].tables[0].rows
    marked = [row.name.partition("\N{NO-BREAK SPACE}")[0] for row in rows if "\N{DAGGER}" in row.name]
    assert marked == [one.title for one in SA23.values() if one.is_drawn]


def test_a_row_has_ours_beside_the_papers_counts_and_what_it_printed(results: Results) -> None:
    rows = table(results, LEAD)
    assert rows["LVIS"] == ("scenes", "2 / 945", "1 / 9642", "20.0 ± 1.0", "30.0", "50.0", "30.0", "+18.5")
    assert rows["GTEA"][-2:] == ("30.0", NOTHING)  # nothing was printed of it here
    assert rows["DOORS"] == ("rendered boulders", f"{NOTHING} / 10000", f"{NOTHING} / 10000", *[NOTHING] * 5)
    assert rows["mean of the 2 sets at hand"] == ("", "4", "2", "40.0 ± 20.0", "50.0", "70.0", "30.0", NOTHING)


def test_without_printed_numbers_there_is_no_column_for_them(results: Results) -> None:
    with_them, without = (section(results, PublishedFile(lead=lead)).blocks[0].tables[0] for lead in (LEAD, None))
    assert len(with_them.columns) == len(without.columns) + 1
    assert {len(row.cells) for row in without.rows} == {len(without.columns) - 1}


def test_the_bars_go_from_the_best_to_the_worst_beside_the_best_floor(results: Results) -> None:
    bars = section(results, PublishedFile()).blocks[0].charts[0]
    assert isinstance(bars, GroupedBars)
    assert bars.series == ("model", "best floor")
    assert bars.groups == (("GTEA", ((0.6, 0.01), (0.3, 0.0))), ("LVIS", ((0.2, 0.01), (0.3, 0.0))))


def test_without_floors_there_are_bars_of_the_model_alone() -> None:
    bare = of_set(0.2, floors={}, floor_standard_errors={}, verdict={"beats_every_floor": None, "sentence": "None."})
    alone = over_sets({"lvis": bare}, {})
    bars = section(alone, PublishedFile()).blocks[0].charts[0]
    assert isinstance(bars, GroupedBars)
    assert (bars.series, bars.groups) == (("model",), (("LVIS", ((0.2, 0.01),)),))
    assert table(alone, None)["the one set at hand"][-1] == NOTHING


@pytest.fixture
def page(results: Results, tmp_path: Path) -> Path:
    """The report as files; that of the sets lies in a folder below, as with other tasks beside it."""
    own = tmp_path / "point_to_mask"
    own.mkdir()
    write_results(own / "results.json", results)
    write_report(tmp_path, [Evaluated(own, None)], EVAL)
    return tmp_path / "report.html"


def test_names_lead_to_the_reports_of_the_sets(page: Path) -> None:
    assert re.findall(r'href="([^"]+)">([^<\xa0]+)', page.read_text()) == [
        ("point_to_mask/lvis/report.html", "LVIS"),
        ("point_to_mask/gtea/report.html", "GTEA"),
    ]
    assert "[GTEA](point_to_mask/gtea/report.html)" in page.with_suffix(".md").read_text()


def test_the_mean_is_never_called_that_of_the_paper_or_of_the_suite(page: Path) -> None:
    text = page.with_suffix(".md").read_text()
    assert "Mean of the 2 sets at hand" in text
    assert "SA-23 mean" not in text
    assert "paper's mean" not in text
    assert "ours is over 2 of the paper's 23 sets" in text
    assert "| SAM ViT-H | SA-23, all 23 sets | 58.1 |" in text
    assert "COCO val2017" not in text  # not a mean over sets


def test_what_is_missing_or_failed_is_told_with_where_it_comes_from(page: Path) -> None:
    text = page.with_suffix(".md").read_text()
    assert "| DOORS | there is &#124; nothing |" in text
    missing = text[text.index("| not at hand") :]
    assert missing.count("prepare.py --out data/") == 20
    assert "https://github.com/apple/ml-hypersim" in missing


def test_tables_are_whole(page: Path) -> None:
    tables = re.findall(r"(?:^\|.*\n)+", page.with_suffix(".md").read_text(), re.MULTILINE)
    assert len(tables) == 5
    assert all(len({line.count("|") for line in table.splitlines()}) == 1 for table in tables)


def test_a_limit_is_in_every_table(results: Results, tmp_path: Path) -> None:
    limited = {**results, "limit": 3}
    (tmp_path / "results.json").write_text(json.dumps(limited))
    write_report(tmp_path, [Evaluated(tmp_path, None)], EVAL)
    text = (tmp_path / "report.md").read_text()
    assert "4 images of 2 sets, the first 3 of each only" in text
    numbers = [part for part in text.split("\n## ")[1:] if "mIoU" in part]
    assert len(numbers) == 3
    assert all("Of the first 3 images of each set only." in part for part in numbers)
