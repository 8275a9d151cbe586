from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from anymask.data.edge_sets import EdgeImage, EdgeSet, open_edge_set
from anymask.evaluation.edges import pictures
from anymask.evaluation.edges.maps import keep_map
from anymask.evaluation.edges.protocol import Edges
from anymask.evaluation.edges.task import EdgesTask
from anymask.evaluation.edges.view import HEADLINES, METRICS, section
from anymask.evaluation.journal import read_records
from anymask.evaluation.published import PublishedFile, read_published
from anymask.evaluation.results import Results
from anymask.evaluation.running import run

PROJECT = Path(__file__).resolve().parents[4]


@pytest.fixture
def predictions(data: EdgeSet, folder: Path) -> Path:
    """What one annotator drew is the map of image 0; image 1 has half of it, and noise."""
    images = {image.key: image for image in data.read() if isinstance(image, EdgeImage)}
    chance = np.random.default_rng(0)
    keep_map(folder / "maps", "0", 0.5 * images["0"].boundaries[0], "float")
    half = images["1"].boundaries[0] * (np.indices((144, 192))[1] < 96)
    keep_map(folder / "maps", "1", np.maximum(half * 0.9, chance.random((144, 192)) ** 6), "float")
    keep_map(folder / "maps", "2", np.zeros((144, 192)), "float")
    return folder / "maps"


@pytest.fixture
def evaluated(data: EdgeSet, predictions: Path, tmp_path: Path) -> tuple[EdgesTask, Path, Results]:
    out = tmp_path / "out"
    task = EdgesTask(Edges(thresholds=9, bootstrap=5), data, maps=out / "maps", predictions=predictions)
    results = run(task, out, progress=False)
    assert results is not None
    return task, out, results


def test_the_section_needs_the_results_alone(evaluated: tuple[EdgesTask, Path, Results], tmp_path: Path) -> None:
    _, _, results = evaluated
    published = read_published(PROJECT / "eval/edges/published.json")
    shown = section(tmp_path / "gone", results, [], published, None)
    assert [tile.title for tile in shown.tiles] == ["ODS", "OIS", "AP", "R50"]
    assert shown.tiles[0].value == f"{results['metrics']['ods']:.3f}"[1:]
    assert [block.title for block in shown.blocks] == ["Model and floors", "Published numbers"]
    floors, points = shown.blocks[0].tables
    names = ["the predictions", "sobel", "canny"]
    assert [row.name for row in floors.rows] == [row.name for row in points.rows] == names
    rows = {row.name: row.cells for row in shown.blocks[1].tables[0].rows}
    assert rows["SAM ViT-H"][:5] == ("BSDS500 test", ".768", ".786", ".794", ".928")
    assert "a recall of .7235 and a precision of .9014" in rows["people"][5]
    assert "zero-shot only if no photograph of BSDS500 was trained on" in shown.note
    assert len(section(tmp_path, results, [], PublishedFile(), None).blocks) == 1


def test_a_curve_ends_where_nothing_is_drawn(evaluated: tuple[EdgesTask, Path, Results], tmp_path: Path) -> None:
    _, _, results = evaluated
    results["details"]["sobel"]["curve"][-2:] = [[0, 0], [0, 0]]
    (chart,) = section(tmp_path, results, [], PublishedFile(), None).blocks[0].charts
    curves: dict[str, Any] = {curve.name: curve.points for curve in chart.curves}  # type: ignore[union-attr]
    assert (len(curves["the predictions"]), len(curves["sobel"])) == (9, 7)
    recall, precision = results["details"]["model"]["curve"][3]
    assert curves["the predictions"][3] == (recall, precision, 0)


def test_the_pictures_are_of_the_best_and_the_worst(evaluated: tuple[EdgesTask, Path, Results]) -> None:
    task, out, results = evaluated
    records = read_records(out / "records.jsonl")
    blocks = section(out, results, records, PublishedFile(), task.find).blocks
    groups = dict(blocks[1].pictures)
    best, worst = (groups[f"{name} by F at the image's best threshold"] for name in ("Best", "Worst"))
    assert best[0].caption.startswith("0, 2 annotators. F ")
    assert worst[0].caption.startswith("1, 2 annotators. F ")
    assert len(best) == len(worst) == 2
    picture = cv2.imdecode(np.frombuffer(best[0].jpeg, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert picture is not None
    assert picture.shape[1] > 2.9 * picture.shape[0] * 192 / 144


def test_a_map_that_is_gone_is_not_shown(evaluated: tuple[EdgesTask, Path, Results]) -> None:
    task, out, results = evaluated
    (out / "maps/0.npy").unlink()
    blocks = section(out, results, read_records(out / "records.jsonl"), PublishedFile(), task.find).blocks
    assert [picture.caption[0] for _, some in blocks[1].pictures for picture in some] == ["1"] * 3


def test_the_three_panels() -> None:
    """A photograph of one colour; a map whose strongest edge is black, weak as it is; and what one of two drew."""
    soft, drawn = np.zeros((90, 180)), np.zeros((90, 180), dtype=bool)
    soft[40:44], soft[80:84], drawn[:, 100:104] = 0.2, 0.1, True
    image = EdgeImage(
        shard="s", key="k", image=np.full((90, 180, 3), (10, 200, 30), np.uint8), boundaries=(drawn, ~drawn & False)
    )
    panels = pictures.draw(image, soft)
    width = pictures.PANEL
    photograph, edges, people = panels[:, :width], panels[:, width + 4 : 2 * width + 4], panels[:, 2 * width + 8 :]
    assert (photograph == (10, 200, 30)).all()
    assert edges[84, 100].tolist() == [0, 0, 0]
    assert edges[164, 100].tolist() == [128, 128, 128]
    assert edges[20, 100].tolist() == people[100, 20].tolist() == [255, 255, 255]
    assert people[100, 204].tolist() == [128, 128, 128]
    assert (pictures.draw(image, np.zeros((90, 180)))[:, width + 4 : 2 * width + 4] == 255).all()


def test_every_picture_is_of_some_image_of_the_middle_too() -> None:
    records: list[Any] = [{"image": str(n), "model": {"best_f": n / 10}} for n in (5, 0, 9, 3, 7, 1, 2, 8, 4, 6)]
    chosen = {name: [record["image"] for record in some] for name, some in pictures.extremes(records)}
    assert chosen == {"Best": ["9", "8", "7"], "Median": ["6", "5", "4"], "Worst": ["0", "1", "2"]}


def test_numbers_are_written_as_papers_do() -> None:
    assert [METRICS.shown(value, "ods") for value in (0.7684, 1.0, 0.0)] == [".768", "1.000", ".000"]
    assert [METRICS.title(name) for name in HEADLINES] == ["ODS", "OIS", "AP", "R50"]


def test_a_set_without_a_usable_image_is_refused(folder: Path, predictions: Path, tmp_path: Path) -> None:
    for key in "01":
        (folder / f"images/{key}.png").write_bytes(b"broken too")
    data = open_edge_set(str(folder))
    task = EdgesTask(Edges(), data, maps=tmp_path / "out/maps", predictions=predictions)
    with pytest.raises(ValueError, match="there is nothing to evaluate in set"):
        run(task, tmp_path / "out", progress=False)
