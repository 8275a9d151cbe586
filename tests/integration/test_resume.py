"""A run that is killed and goes on is the run that was never killed, to the bit."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from anymask.models.checkpoints import read_checkpoint

STEPS = 24
LONG = [
    f"trainer.steps={STEPS}",
    "trainer.checkpoint_every=2",
    "trainer.validate_every=6",
    "trainer.accumulate=2",
    "module.ema_decay=0.9",
    "model.drop_path=0.2",
    "optim.warmup=4",
    "optim.lr=1e-3",
]

Start = Callable[..., "object"]


def curve(run: Path) -> list[tuple[str, ...]]:
    """Everything that was logged but how fast it went."""
    rows = [tuple(line.split(",")) for line in (run / "metrics.csv").read_text().splitlines()]
    return sorted(row for row in rows if not row[1].startswith(("throughput/", "memory/")))


def logged_steps(run: Path) -> int:
    path = run / "metrics.csv"
    lines = path.read_text().splitlines()[1:] if path.exists() else []
    steps = [line.split(",")[0] for line in lines if line.count(",") == 2]
    return max((int(step) for step in steps if step.isdigit()), default=0)


def kill_at(process, run: Path, step: int, extra: float) -> None:  # type: ignore[no-untyped-def]
    """SIGKILL, some time after a step was logged."""
    while process.is_alive() and logged_steps(run) < step:
        time.sleep(0.01)
    time.sleep(extra)
    process.kill()
    process.join()


@pytest.mark.slow
def test_ten_kills_leave_no_trace(start, run, small: list[str], tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    chance = random.Random(0)
    run("train", "name=whole", "paths.outputs=whole", *small, *LONG)
    process = start("train", "name=killed", "paths.outputs=killed", *small, *LONG)
    folder = tmp_path / "killed" / "latest"
    step, kills = 0, 0
    while kills < 10:
        step = min(max(step, logged_steps(folder)) + chance.randint(1, 3), STEPS - 1)
        kill_at(process, folder, step, chance.uniform(0, 0.2))
        assert process.exitcode == -9, (tmp_path / "output.txt").read_text()
        kills += 1
        resumed = "killed/latest" if list(folder.glob("checkpoints/step_*.ckpt")) else None
        arguments = [f"resume={resumed}"] if resumed else ["name=killed", "paths.outputs=killed", *small, *LONG]
        process = start("train", *arguments)
    process.join()
    assert process.exitcode == 0, (tmp_path / "output.txt").read_text()
    assert curve(folder) == curve(tmp_path / "whole" / "latest")
    ours, theirs = (
        read_checkpoint(tmp_path / name / "latest" / "checkpoints" / "final.ckpt")["state_dict"]
        for name in ("whole", "killed")
    )
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
