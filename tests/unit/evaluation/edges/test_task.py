"""From images to the files of an evaluation, by a model and by maps that were read."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anymask.data.edge_sets import EdgeImage, EdgeSet, open_edge_set
from anymask.errors import UserError
from anymask.evaluation.edges.floors import FLOORS
from anymask.evaluation.edges.maps import read_map
from anymask.evaluation.edges.protocol import Edges
from anymask.evaluation.edges.task import EdgesTask
from anymask.evaluation.running import run
from anymask.evaluation.task import Task
from anymask.metrics.boundaries import count_image
from anymask.models.sam import Sam

OFFICIAL = Path(__file__).resolve().parents[5] / "shared/data/eval/bsds_bench"
needs_samples = pytest.mark.skipif(not OFFICIAL.is_dir(), reason="the official sample is not at hand (../shared/data)")
SMALL = Edges(points_per_side=3, thresholds=9, bootstrap=5)


def model_of(sam: Sam, data: EdgeSet, out: Path, settings: Edges = SMALL) -> EdgesTask:
    return EdgesTask(settings, data, maps=out / "maps", sam=sam)


def counts(stored: Any) -> list[Any]:
    return [stored["found"], [stored["boundary"]] * len(stored["found"]), stored["right"], stored["drawn"]]


def directly(soft: np.ndarray, image: EdgeImage, thresholds: int) -> list[Any]:
    own = count_image(soft, image.boundaries, thresholds=thresholds)
    return [own.found.tolist(), own.boundary.tolist(), own.right.tolist(), own.drawn.tolist()]


@pytest.mark.parametrize(("keep", "ending"), [("float", "npy"), ("8bit", "png")])
def test_what_is_counted_is_what_is_kept(
    sam: Sam, data: EdgeSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: Any, ending: str
) -> None:
    sobel = np.random.default_rng(0).random((144, 192), dtype=np.float32)
    monkeypatch.setitem(FLOORS, "sobel", lambda *_: sobel)
    settings = Edges(points_per_side=3, thresholds=99, keep=keep, bootstrap=0)
    task = model_of(sam, data, tmp_path, settings)
    image = next(task.items(limit=None, rank=0, world=1))
    assert isinstance(image, EdgeImage)
    (record,) = task.records_of(image)
    assert counts(record["model"]) == directly(read_map(tmp_path / f"maps/0.{ending}"), image, 99)
    rounded = sobel if keep == "float" else np.round(sobel.astype(np.float64) * 255) / 255
    assert counts(record["floors"]["sobel"]) == directly(rounded, image, 99)
    assert record["shard"] == "images"
    assert record["image_size"] == (144, 192)
    assert record["annotators"] == 2
    assert record["masks"]
    assert json.loads(json.dumps(record))["model"] == record["model"]


def test_8_bits_are_another_measurement(sam: Sam, data: EdgeSet, tmp_path: Path) -> None:
    (image,) = (image for image in data.read(limit=1) if isinstance(image, EdgeImage))
    fine, coarse = (
        model_of(sam, data, tmp_path, Edges(points_per_side=3, keep=keep)).records_of(image)[0]["model"]
        for keep in ("float", "8bit")
    )
    assert fine != coarse
    differences = np.abs(np.array(fine["drawn"]) - np.array(coarse["drawn"]))
    assert 0 < differences.max() < 0.2 * max(fine["drawn"])


def test_an_evaluation(sam: Sam, data: EdgeSet, tmp_path: Path) -> None:
    task = model_of(sam, data, tmp_path)
    assert isinstance(task, Task)
    results = run(task, tmp_path, progress=False)
    assert results is not None
    assert results["task"] == "edges"
    assert results["protocol"] == SMALL.protocol
    assert results["data"] == {"name": "set", "fingerprint": data.fingerprint()}
    assert [bad["key"] for bad in results["skipped"]] == ["2"]
    assert results["counts"].items() >= {"images": 2, "skipped_images": 1, "annotators": 4}.items()
    assert results["metrics"].keys() == results["floors"]["canny"].keys() == {"ods", "ois", "ap", "r50"}
    # two squares of one colour each: what Sobel sees is what people drew, a model that was never trained sees noise
    assert (results["floors"]["sobel"]["ods"] or 0) > 0.7
    assert results["verdict"]["beats_every_floor"] is False
    assert len(results["details"]["canny"]["curve"]) == 9
    assert results["latency_ms"].keys() == {"encode_image", "find_masks", "draw_edges", "count_edges"}
    assert sorted(path.name for path in (tmp_path / "maps").iterdir()) == ["0.npy", "1.npy"]
    stored = json.loads((tmp_path / "results.json").read_text())
    assert stored["metrics"] == results["metrics"]


def test_an_evaluation_that_was_stopped_ends_with_the_same_files(
    sam: Sam, data: EdgeSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    run(model_of(sam, data, whole), whole, progress=False)
    counted = EdgesTask._counted

    def stop_at_the_second(task: EdgesTask, soft: Any, item: EdgeImage) -> Any:
        if item.key == "1":
            raise KeyboardInterrupt
        return counted(task, soft, item)

    monkeypatch.setattr(EdgesTask, "_counted", stop_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        run(model_of(sam, data, stopped), stopped, progress=False)
    monkeypatch.setattr(EdgesTask, "_counted", counted)
    first = (stopped / "maps/0.npy").stat().st_mtime_ns
    run(model_of(sam, data, stopped), stopped, progress=False)
    names = ["records.jsonl", "maps/0.npy", "maps/1.npy"]
    assert [(stopped / name).read_bytes() == (whole / name).read_bytes() for name in names] == [True] * 3
    assert (stopped / "maps/0.npy").stat().st_mtime_ns == first  # its image was done
    with pytest.raises(UserError, match="is of another evaluation"):
        run(model_of(sam, data, stopped, Edges(points_per_side=2)), stopped, progress=False)


def test_the_maps_of_a_model_can_be_read_again(sam: Sam, data: EdgeSet, tmp_path: Path, folder: Path) -> None:
    """By the name of predictions they give the same numbers; what they came from is not known any more."""
    (folder / "images/2.png").unlink()
    (folder / "groundTruth/2.mat").unlink()
    data = open_edge_set(str(folder))
    drawn = run(model_of(sam, data, tmp_path / "a"), tmp_path / "a", progress=False)
    task = EdgesTask(SMALL, data, maps=tmp_path / "b/maps", predictions=tmp_path / "a/maps")
    read = run(task, tmp_path / "b", progress=False)
    assert drawn is not None
    assert read is not None
    assert all(read[key] == drawn[key] for key in ("metrics", "floors", "standard_errors", "details"))
    assert read["protocol"] == SMALL.protocol_of_predictions != drawn["protocol"]
    assert read["data"]["predictions"] == "maps"
    assert read["data"]["predictions_fingerprint"]
    assert read["settings"].keys() == {"thresholds", "floors", "bootstrap", "maps", "keep"} < drawn["settings"].keys()
    assert read["checkpoint"] is None
    assert read["counts"]["masks"] == 0
    assert (tmp_path / "a/maps/1.npy").read_bytes() == (tmp_path / "b/maps/1.npy").read_bytes()


def test_without_draws_no_error_is_said_to_be_computed(sam: Sam, data: EdgeSet, tmp_path: Path) -> None:
    settings = replace(SMALL, bootstrap=0, floors=())
    (image,) = (image for image in data.read(limit=1) if isinstance(image, EdgeImage))
    records = model_of(sam, data, tmp_path, settings).records_of(image)
    without, drawn = (
        model_of(sam, data, tmp_path, replace(settings, bootstrap=draws)).numbers(records, 1) for draws in (0, 5)
    )
    assert without["errors_are"] == "not computed: bootstrap=0"
    assert set(without["standard_errors"].values()) == {None}
    assert drawn["errors_are"] == "over the images: bootstrap, 5 draws"


def test_predictions_that_do_not_fit(data: EdgeSet, tmp_path: Path) -> None:
    (tmp_path / "predictions").mkdir()
    np.save(tmp_path / "predictions/0.npy", np.zeros((144, 192)))
    with pytest.raises(UserError, match="one map for each of 3 images; missing: 1, 2"):
        EdgesTask(SMALL, data, maps=tmp_path / "maps", predictions=tmp_path / "predictions")
    for key in "12":
        np.save(tmp_path / f"predictions/{key}.npy", np.zeros((192, 144)))
    task = EdgesTask(SMALL, data, maps=tmp_path / "maps", predictions=tmp_path / "predictions")
    with pytest.raises(UserError, match=r"1.npy is \(192, 144\) pixels \(height, width\), its photograph \(144, 192\)"):
        run(task, tmp_path / "out", progress=False)


@needs_samples
@pytest.mark.parametrize(("results", "official"), [("ucm2", "test_1"), ("png", "test_2")])
def test_the_official_sample(results: str, official: str, tmp_path: Path) -> None:
    """The benchmark draws random numbers: two runs of its own differ by 5e-4."""
    settings = Edges(thresholds=5, floors=(), bootstrap=0)
    task = EdgesTask(settings, open_edge_set(str(OFFICIAL)), maps=tmp_path / "maps", predictions=OFFICIAL / results)
    ours = run(task, tmp_path, progress=False)
    theirs = np.loadtxt(OFFICIAL / official / "eval_bdry.txt")
    assert ours is not None
    assert ours["metrics"]["ods"] == pytest.approx(theirs[3], abs=6e-4)
    assert ours["metrics"]["ois"] == pytest.approx(theirs[6], abs=6e-4)
    assert ours["metrics"]["ap"] == pytest.approx(theirs[7], abs=6e-4)
    own = ours["details"]["model"]
    assert [own["ods_threshold"], own["ods_recall"], own["ods_precision"]] == pytest.approx(theirs[:3], abs=6e-4)
    curve = np.loadtxt(OFFICIAL / official / "eval_bdry_thr.txt")
    np.testing.assert_allclose(own["curve"], curve[:, 1:3], atol=1e-3)
    assert ours["verdict"]["beats_every_floor"] is None
    assert set(ours["standard_errors"].values()) == {None}
