"""`python train.py` and `python evaluate.py` from one end to the other, looking at what they leave behind."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import anymask

Run = Callable[..., str]

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def trained(run: Run, small: list[str], tmp_path: Path) -> tuple[Path, str]:
    printed = run(
        "train", *small, "name=short", "trainer.steps=4", "trainer.validate_every=2", "trainer.checkpoint_every=2"
    )
    return tmp_path / "outputs" / "latest", printed


def test_a_run_leaves_what_it_promises(trained: tuple[Path, str]) -> None:
    folder, printed = trained
    left = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    expected = {
        "config.yaml", "environment.txt", "starts.jsonl", "logs/process_00000.log",
            "metrics.csv", "summary.json", "checkpoints/final.ckpt", "checkpoints/best.ckpt",
        "checkpoints/step_0000002.ckpt", "checkpoints/step_0000004.ckpt", "pictures/step_0000002.jpg",
        "pictures/step_0000004.jpg", "report/records.jsonl", "report/results.json", "report/report.md",
        "report/report.html",
    }  # fmt: skip
    assert left == expected
    summary = json.loads((folder / "summary.json").read_text())
    results = json.loads((folder / "report" / "results.json").read_text())
    assert summary["metrics"] == results["metrics"]
    assert set(summary["metrics"]) >= {"miou@1", "oracle@1", "miou@3", "noc@90"}
    assert set(summary["floors"]) == {"disc"}
    for path in (summary["checkpoint"], summary["report"]):
        assert path in printed
        assert Path(path).is_file()
    assert f"miou@1 {summary['metrics']['miou@1']:.3f}" in printed
    assert printed.index("What is drawn") < printed.index("miou@1")
    assert "manual" in printed


def test_the_log_tells_every_round(trained: tuple[Path, str]) -> None:
    folder, _ = trained
    with (folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    of_step = {row["name"]: float(row["value"]) for row in rows if row["step"] == "3"}
    for term in ("focal", "dice", "iou", "true_iou", "predicted_iou"):
        rounds = [of_step[f"train/{term}/round_{number:02d}"] for number in range(1, 12)]
        assert of_step[f"train/{term}"] == pytest.approx(sum(rounds) / 11, rel=1e-5)
    assert of_step["train/loss"] == pytest.approx(sum(of_step[f"train/{term}"] for term in ("focal", "dice", "iou")))
    assert {"throughput/samples", "throughput/masks", "throughput/waiting_for_data", "memory/host_gib"} <= set(of_step)
    validated = {row["step"] for row in rows if row["name"] == "val/oracle@1"}
    assert validated == {"2", "4"}


def test_checkpoints_load_and_give_the_same_numbers(
    trained: tuple[Path, str], run: Run, tiny_shards: Path, tmp_path: Path
) -> None:
    folder, _ = trained
    checkpoint = folder / "checkpoints" / "final.ckpt"
    sam = anymask.load(checkpoint)
    assert sam.image_size == 64
    assert torch.isfinite(sam.mask_decoder.iou_token.weight).all()
    run(
        "evaluate", f"checkpoint={checkpoint}", f"data={tiny_shards}", "out=again", "workers=0",
        "point_to_mask.floors=[disc]", "point_to_mask.clicks=3", "point_to_mask.report_at=[1,2,3]",
    )  # fmt: skip
    again = json.loads((tmp_path / "again" / "results.json").read_text())
    before = json.loads((folder / "report" / "results.json").read_text())
    assert again["metrics"] == before["metrics"]
    assert again["floors"] == before["floors"]


def test_weights_of_a_run_start_another(trained: tuple[Path, str], run: Run, small: list[str]) -> None:
    folder, _ = trained
    checkpoint = folder / "checkpoints" / "final.ckpt"
    printed = run("train", *small, "name=second", "trainer.steps=1", f"init_from={checkpoint}")
    assert f"start from {checkpoint}" in printed


def test_the_default_run_draws_its_sample_and_logs_to_wandb(run: Run, tmp_path: Path) -> None:
    """All defaults but the size: a few scenes, drawn by a program that the configuration names."""
    few = tmp_path / "few.py"
    few.write_text(
        "import runpy, sys\n"
        "sys.argv += ['--train', '6', '--held-out', '2']\n"
        f"runpy.run_path({str(ROOT / 'data' / 'sample' / 'make.py')!r}, run_name='__main__')\n"
    )
    run(
        "train", f"paths.data={tmp_path / 'data'}", f"data.draw.program={few}", "model.image_size=64",
        "trainer.steps=2", "trainer.pictured_objects=1", "data.loading.validation_images=1",
        "point_to_mask.floors=[disc]", "point_to_mask.clicks=1", "point_to_mask.report_at=[1]",
        "logger.wandb=offline", "trainer.progress_bar=false",
    )  # fmt: skip
    assert (tmp_path / "data" / "sample" / "shards" / "train" / "manifest.json").is_file()
    assert list((tmp_path / "outputs" / "latest" / "wandb").glob("offline-run-*/*.wandb"))
    assert not list((tmp_path / "data" / "sample").glob(".*"))
