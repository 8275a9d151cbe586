"""Runs on GPUs are the runs of the CPU, and of several GPUs those of one; what one has begun the other finishes."""

from __future__ import annotations

import csv
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from anymask.models.checkpoints import read_checkpoint
from anymask.training import run
from anymask.training.gradients import LossScale
from tests.processes import in_processes
from tests.unit.training import small_run

NEAR = {"32-true": 1e-3, "bf16-mixed": 5e-3, "16-mixed": 2e-3, "bf16-true": 5e-2}
"""Of the loss, relative: sums have other orders there, convolutions TF32."""

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")]
needs_two = pytest.mark.skipif(torch.cuda.device_count() < 2, reason="there are no two CUDA devices")


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_run.write_shards(tmp_path_factory.mktemp("gpu") / "shards")


def _train(shards: Path, folder: Path, world: int, options: dict[str, Any]) -> Path:
    vars(run)["LossScale"] = partial(LossScale, 256.0)  # the usual one is too large for steps this early
    return small_run.train(shards, folder, images=4 // world, devices=world, **{"steps": 6} | options)


@pytest.fixture(scope="module")
def on_cpu(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    folder = tmp_path_factory.mktemp("cpu")
    in_processes(1, _train, shards, folder, 1, {})
    return small_run.losses(folder)


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("precision", NEAR)
def test_a_run_is_that_of_the_cpu(
    shards: Path, on_cpu: list[float], tmp_path: Path, precision: str, checkpointing: bool
) -> None:
    model = {"checkpoint_activations": checkpointing}
    in_processes(1, _train, shards, tmp_path, 1, {"accelerator": "gpu", "precision": precision, "model": model})
    assert small_run.losses(tmp_path) == pytest.approx(on_cpu, rel=NEAR[precision])


def test_the_log_tells_of_the_memory(shards: Path, tmp_path: Path) -> None:
    in_processes(1, _train, shards, tmp_path, 1, {"accelerator": "gpu"})
    with (tmp_path / "metrics.csv").open() as file:
        told = [float(row["value"]) for row in csv.DictReader(file) if row["name"] == "memory/device_gib"]
    assert len(told) == 6
    assert all(0 < gib < 1 for gib in told)


@pytest.mark.parametrize(("begun", "finished"), [("cpu", "gpu"), ("gpu", "cpu")])
def test_one_finishes_what_the_other_has_begun(
    shards: Path, on_cpu: list[float], tmp_path: Path, begun: str, finished: str
) -> None:
    in_processes(1, _train, shards, tmp_path / "begun", 1, {"accelerator": begun, "checkpoint_every": 3})
    resume = tmp_path / "begun" / "checkpoints" / "step_0000003.ckpt"
    in_processes(1, _train, shards, tmp_path / "finished", 1, {"accelerator": finished, "resume": resume})
    assert small_run.losses(tmp_path / "finished") == pytest.approx(on_cpu[3:], rel=NEAR["32-true"])


def test_shards_of_two_processes_go_on_on_one_gpu(shards: Path, on_cpu: list[float], tmp_path: Path) -> None:
    options = {"strategy": "fsdp", "checkpoint_every": 3}
    in_processes(2, _train, shards, tmp_path / "begun", 2, options)
    resume = tmp_path / "begun" / "checkpoints" / "step_0000003.ckpt"
    in_processes(1, _train, shards, tmp_path / "finished", 1, {"accelerator": "gpu", "resume": resume})
    assert small_run.losses(tmp_path / "finished") == pytest.approx(on_cpu[3:], rel=NEAR["32-true"])


@needs_two
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
@pytest.mark.parametrize("precision", NEAR)
def test_two_gpus_train_as_one(
    shards: Path, on_cpu: list[float], tmp_path: Path, precision: str, strategy: str
) -> None:
    options = {"accelerator": "gpu", "precision": precision, "strategy": strategy}
    files = in_processes(2, _train, shards, tmp_path, 2, options)
    assert small_run.losses(tmp_path) == pytest.approx(on_cpu, rel=NEAR[precision])
    assert all(torch.isfinite(tensor).all() for tensor in read_checkpoint(files[0])["state_dict"].values())


@needs_two
def test_one_gpu_finishes_what_two_have_begun(shards: Path, on_cpu: list[float], tmp_path: Path) -> None:
    options = {"accelerator": "gpu", "strategy": "fsdp", "checkpoint_every": 3}
    in_processes(2, _train, shards, tmp_path / "begun", 2, options)
    resume = tmp_path / "begun" / "checkpoints" / "step_0000003.ckpt"
    in_processes(1, _train, shards, tmp_path / "finished", 1, {"accelerator": "gpu", "resume": resume})
    assert small_run.losses(tmp_path / "finished") == pytest.approx(on_cpu[3:], rel=NEAR["32-true"])
