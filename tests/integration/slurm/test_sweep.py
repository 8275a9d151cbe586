"""Short runs as a sweep of Hydra's, each a job that submitit sends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slurm, pytest.mark.slow, pytest.mark.xdist_group("slurm")]


def test_a_sweep_leaves_a_run_for_each_job(program: Callable[..., str], small: list[str], tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    jobs = ["-m", "hydra/launcher=submitit_slurm", "hydra.launcher.timeout_min=10", "hydra.launcher.cpus_per_task=2"]
    program("train", *jobs, *small, "name=sweep", "trainer.steps=2", "seed=0,1")
    runs = [path for path in (tmp_path / "outputs").iterdir() if not path.is_symlink()]
    seeds = [line for run in runs for line in (run / "config.yaml").read_text().splitlines() if "seed: " in line]
    assert {line for line in seeds if not line.startswith(" ")} == {"seed: 0", "seed: 1"}
    assert all((run / "summary.json").is_file() for run in runs)
