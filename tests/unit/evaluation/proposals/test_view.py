from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg

from anymask.data.samples import CocoSamples
from anymask.drawing import TRUE
from anymask.evaluation import view as shown
from anymask.evaluation.journal import read_records
from anymask.evaluation.page import Page, write_page
from anymask.evaluation.proposals import pictures
from anymask.evaluation.proposals.protocol import Proposals
from anymask.evaluation.proposals.task import ProposalsTask
from anymask.evaluation.proposals.view import HEADLINES, METRICS, section
from anymask.evaluation.published import PublishedFile, read_published
from anymask.evaluation.results import Results
from anymask.evaluation.running import run
from anymask.models.sam import Sam

PUBLISHED = Path(__file__).resolve().parents[4] / "eval/proposals/published.json"


@pytest.fixture(scope="module")
def measured(lively_sam: Sam, lvis: CocoSamples, tmp_path_factory: pytest.TempPathFactory) -> tuple[Results, list[Any]]:
    folder = tmp_path_factory.mktemp("out")
    task = ProposalsTask(Proposals(points_per_side=8, floors=("boxes",)), lvis, lively_sam)
    results = run(task, folder, progress=False)
    assert results is not None
    return results, read_records(folder / "records.jsonl")


def titles(section: shown.Section) -> list[str]:
    return [block.title for block in section.blocks]


def test_all_but_the_pictures_is_made_of_the_results_alone(
    measured: tuple[Results, list[Any]], lvis: CocoSamples, tmp_path: Path
) -> None:
    results, records = measured
    published = read_published(PUBLISHED)
    bare = section(tmp_path, results, [], published, None)
    whole = section(tmp_path, results, records, published, lvis.find)
    expected = ["Model and floors", "By size and frequency of the objects", "Published numbers"]
    assert titles(bare) == expected
    assert titles(whole) == [*expected[:2], "Pictures", expected[2]]
    assert [block for block in whole.blocks if block.title != "Pictures"] == list(bare.blocks)
    assert [tile.title for tile in bare.tiles] == [METRICS.title(name) for name in HEADLINES]


def test_charts_and_tables_say_what_the_results_say(measured: tuple[Results, list[Any]], tmp_path: Path) -> None:
    results, _ = measured
    floors, groups = section(tmp_path, results, [], PublishedFile(), None).blocks
    over_number, over_iou = floors.charts
    assert isinstance(over_number, shown.Lines)
    assert isinstance(over_iou, shown.Lines)
    assert over_number.log_x
    assert (
        [curve.name for curve in over_number.curves] == [curve.name for curve in over_iou.curves] == ["model", "boxes"]
    )
    x, y, error = over_number.curves[0].points[-1]
    assert (x, y, error) == (1000, results["metrics"]["ar@1000"], results["standard_errors"]["ar@1000"])
    assert (over_number.x_ticks[0][0], over_number.x_ticks[-1][0]) == (1, 1000)
    assert np.mean([y for _, y, _ in over_iou.curves[0].points]) == pytest.approx(results["metrics"]["ar@1000"])
    [table] = groups.tables
    assert [row.name for row in table.rows] == list(results["details"]["objects"])
    assert [row.cells[0] for row in table.rows] == [str(number) for number in results["details"]["objects"].values()]
    assert table.rows[0].cells[1] == f"{100 * (results['metrics']['ar@1000'] or 0):.1f}"


def test_both_pages_can_be_written(measured: tuple[Results, list[Any]], lvis: CocoSamples, tmp_path: Path) -> None:
    results, records = measured
    made = section(tmp_path, results, records, read_published(PUBLISHED), lvis.find)
    write_page(tmp_path / "report", Page("Proposals", "", made.blocks, ()))
    html, markdown = ((tmp_path / f"report.{ending}").read_text() for ending in ("html", "md"))
    assert html.count("data:image/jpeg;base64") == 9
    assert "AR@1000, rare" in markdown
    assert "segment-anything, issue #205" in markdown


def test_the_best_the_middle_and_the_worst_are_drawn(measured: tuple[Results, list[Any]], lvis: CocoSamples) -> None:
    _, records = measured
    drawn = pictures.draw_extremes(records, lvis.find)
    recalls = [picture.recall for picture in drawn.best]
    assert recalls == sorted(recalls, reverse=True)
    assert [picture.recall for picture in drawn.worst] == recalls[::-1]  # there are but three with objects
    image = simplejpeg.decode_jpeg(drawn.best[0].jpeg)
    assert image.shape[1] == pytest.approx(2 * min(420, image.shape[0] * 5 / 3), rel=0.5)
    none_kept = [record | {"best": []} for record in records]
    assert pictures.draw_extremes(none_kept, lvis.find).best == []


def test_objects_are_left_and_coloured_masks_right(measured: tuple[Results, list[Any]], lvis: CocoSamples) -> None:
    [record, *_] = measured[1]
    sample = lvis.find({(record["shard"], record["image"])})[record["shard"], record["image"]]
    grey = replace(sample, image=np.full_like(sample.image, 128))
    (low, _), (high, _) = [(record["best"][k][0], 0) for k in (0, 1)]
    picture = pictures.draw(record | {"best": [(low, 0.2), (high, 0.7)]}, grey)
    left, right = picture[:, : picture.shape[1] // 2], picture[:, picture.shape[1] // 2 :]
    for side, colours in ((left, [TRUE]), (right, [pictures.ramp(0.0), pictures.ramp(1.0)])):
        for colour in colours:
            assert (side == colour).all(axis=-1).any()
    assert not (left == pictures.ramp(1.0)).all(axis=-1).any()


def test_the_ramp_gets_lighter_by_even_steps() -> None:
    light = [np.dot(pictures.ramp(share), (0.2126, 0.7152, 0.0722)) for share in np.linspace(0, 1, 11)]
    assert np.all(np.diff(light) > 10)


def test_published_numbers_are_shares_of_our_metrics() -> None:
    published = read_published(PUBLISHED)
    names = {f"{prefix}@1000" for prefix in ("ar", "ars", "arm", "arl", "arr", "arc", "arf")}
    assert {name for row in published.rows for name in row.numbers} == names
    assert all(0.3 < value < 0.9 for row in published.rows for value in row.numbers.values())
    paper = next(row for row in published.rows if row.source.startswith("SAM") and row.model == "SAM ViT-H")
    for expected in published.expected:
        assert expected.value == paper.numbers[expected.metric]
        settings = Proposals(**expected.settings)
        assert settings == Proposals()  # the expectation is of the defaults
