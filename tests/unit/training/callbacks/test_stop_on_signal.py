from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from anymask.models.checkpoints import read_checkpoint
from anymask.training.callbacks import StopOnSignal, Stopped
from anymask.training.checkpointing import Checkpoints
from tests.processes import in_processes
from tests.unit.training import small_run

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


def _send_after_a_step(folder: Path, signum: int) -> None:
    while not (folder / "metrics.csv").exists() or len(small_run.losses(folder)) < 2:
        time.sleep(0.01)
    os.kill(os.getpid(), signum)


def _train_until_signalled(shards: Path, folder: Path, signum: int, options: dict[str, Any]) -> tuple[int, int]:
    """The signal and the step that the run says it ended by; the last process alone is signalled."""
    if int(os.environ["RANK"]) == int(os.environ["WORLD_SIZE"]) - 1:
        threading.Thread(target=_send_after_a_step, args=(folder, signum), daemon=True).start()
    try:
        small_run.train(shards, folder, images=1, steps=500, devices=int(os.environ["WORLD_SIZE"]), **options)
    except Stopped as stopped:
        return int(stopped.signum), stopped.step
    raise AssertionError("nobody stopped it")


@pytest.mark.slow
@pytest.mark.parametrize("signum", SIGNALS)
@pytest.mark.parametrize(("world", "strategy"), [(1, "ddp"), (2, "ddp"), (2, "fsdp")])
def test_all_end_after_the_same_step_with_a_checkpoint(
    shards: Path, tmp_path: Path, world: int, strategy: str, signum: signal.Signals
) -> None:
    options = {"strategy": strategy, "accumulate": 2}
    ended = in_processes(world, _train_until_signalled, shards, tmp_path / "run", signum, options)
    step = ended[0][1]
    assert ended == [(signum, step)] * world
    assert 2 <= step < 500
    checkpoint = read_checkpoint(tmp_path / "run" / "checkpoints" / f"step_{step:07d}.ckpt")
    assert checkpoint["global_step"] == step
    assert checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]["total"]["ready"] == 2 * step


def test_it_ends_once_a_validation_that_is_due_is_done(shards: Path, tmp_path: Path) -> None:
    options = {"validate_every": 1}
    ((_, step),) = in_processes(1, _train_until_signalled, shards, tmp_path / "run", signal.SIGTERM, options)
    steps = [
        line.split(",")[0] for line in (tmp_path / "run" / "metrics.csv").read_text().splitlines() if "val/" in line
    ]
    assert int(steps[-1]) == step


def test_a_second_ctrl_c_ends_at_once_and_another_signal_does_not(tmp_path: Path) -> None:
    callback = StopOnSignal(Checkpoints(tmp_path, every=1, keep=1))
    callback._note(signal.SIGUSR1, None)
    callback._note(signal.SIGINT, None)
    callback._note(signal.SIGTERM, None)
    callback = StopOnSignal(Checkpoints(tmp_path, every=1, keep=1))
    callback._note(signal.SIGINT, None)
    with pytest.raises(KeyboardInterrupt):
        callback._note(signal.SIGINT, None)
