"""What ``launcher=slurm`` leaves where there is no SLURM: a folder, a script, and a run that can begin by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import OmegaConf

Run = Callable[..., str]

WRITTEN = ["launcher=slurm", "launcher.submit=false"]


def test_a_run_that_waits_for_its_first_start(run: Run, small: list[str], tmp_path: Path) -> None:
    printed = run("train", *small, *WRITTEN, "name=waiting", "trainer.steps=2", "seed=7")
    folder = (tmp_path / "outputs" / "latest").resolve()
    assert printed == f"script: {folder}/job.sbatch\nsubmit: sbatch {folder}/job.sbatch\n"
    assert {path.name for path in folder.iterdir()} == {"config.yaml", "job.sbatch"}
    assert (folder / "job.sbatch").read_text().endswith(f" resume={folder}\n")
    run("train", f"resume={folder}")  # as the job would
    assert json.loads((folder / "summary.json").read_text())["name"] == "waiting"
    assert (folder / "checkpoints" / "final.ckpt").is_file()


def test_a_run_that_goes_on_with_more_nodes(run: Run, small: list[str], tmp_path: Path) -> None:
    run("train", *small, *WRITTEN, "name=wider", "launcher.time=1:00:00")
    folder = (tmp_path / "outputs" / "latest").resolve()
    assert "#SBATCH --nodes=1\n" in (folder / "job.sbatch").read_text()
    run("train", "resume=latest", *WRITTEN, "trainer.nodes=3", "launcher.time=1:30:00")
    script = (folder / "job.sbatch").read_text()
    assert "#SBATCH --nodes=3\n" in script
    assert "#SBATCH --time=1:30:00\n" in script
    kept = OmegaConf.load(folder / "config.yaml")
    assert (kept.trainer.nodes, kept.launcher, kept.resume) == (3, None, None)


def test_an_array_has_a_run_for_each_seed(run: Run, small: list[str], tmp_path: Path) -> None:
    run("train", *small, *WRITTEN, "name=seeds", "launcher.array=[2,5]")
    own = next((tmp_path / "outputs").glob("*_seeds"))
    assert [path.name for path in own.iterdir()] == ["job.sbatch"]
    for seed in (2, 5):
        assert OmegaConf.load(own.with_name(f"{own.name}_seed{seed}") / "config.yaml").seed == seed


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("name=bash", "a job of SLURM cannot be called 'bash'"),
        ("launcher.array=3-1", "launcher.array='3-1' counts down"),
        ("launcher.time=60", "launcher.time=60: Expected `str`, got `int`"),
        ("init_from=/nowhere.pth", "there is no checkpoint at /nowhere.pth"),
        ("trainer.devices=auto", "trainer.devices='auto' says not how many"),
    ],
)
def test_a_mistake_is_told_before_anything_is_written(
    run: Run, small: list[str], tmp_path: Path, change: str, said: str
) -> None:
    assert said in run("train", *small, *WRITTEN, change, status=1)
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("compare=[a,b]", "compare=… only reads results: leave launcher=slurm out"),
        ("checkpoint=/nowhere.pth", "there is no checkpoint at /nowhere.pth"),
        ("out=interactive", "a job of SLURM cannot be called 'interactive'"),
        ("launcher.nodes=0", "launcher.nodes=0"),
    ],
)
def test_mistakes_of_an_evaluation(run: Run, tmp_path: Path, tiny_shards: Path, change: str, said: str) -> None:
    (tmp_path / "weights.pth").touch()
    assert said in run("evaluate", *WRITTEN, "checkpoint=weights.pth", f"data={tiny_shards}", change, status=1)
    assert not (tmp_path / "outputs").exists()
