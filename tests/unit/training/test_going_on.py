"""Runs of several processes that were stopped: by a kill, or to go on with other processes."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from anymask.models.checkpoints import load, read_checkpoint
from anymask.training.checkpointing import remove_parts
from tests.processes import in_processes
from tests.unit.training import small_run
from tests.unit.training.test_parallel import far

KINDS = {"one": (1, "ddp"), "ddp 2": (2, "ddp"), "fsdp 2": (2, "fsdp"), "fsdp 4": (4, "fsdp")}


def _train(shards: Path, folder: Path, kind: str, options: dict[str, Any]) -> Path:
    world, strategy = KINDS[kind]
    module = {"ema_decay": 0.9}
    return small_run.train(
        shards,
        folder,
        images=4 // world // options.get("accumulate", 1),
        devices=world,
        strategy=strategy,
        module=module,
        **options,
    )


def _run(shards: Path, folder: Path, kind: str, **options: Any) -> dict[str, torch.Tensor]:
    """The final weights."""
    final = in_processes(KINDS[kind][0], _train, shards, folder, kind, options)[0]
    return read_checkpoint(final)["state_dict"]


@pytest.fixture(scope="module")
def whole(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, torch.Tensor]]:
    """A run of one process that nobody stopped."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, _run(shards, folder, "one", steps=6)


@pytest.mark.slow
@pytest.mark.parametrize("saved", ["one", "ddp 2", "fsdp 2"])
def test_a_run_goes_on_with_other_processes(
    shards: Path, whole: tuple[Path, dict[str, torch.Tensor]], tmp_path: Path, saved: str
) -> None:
    """Half the steps, then the other half by others, with other first weights: the run that was never stopped.

    Where no step is left its weights are those of the checkpoint to the bit, and so is all that is measured of them.
    """
    first = _run(shards, tmp_path / "first", saved, steps=3)
    for kind in KINDS:
        folder = tmp_path / kind.replace(" ", "")
        shutil.copytree(tmp_path / "first", folder)
        checkpoint = folder / "checkpoints" / "step_0000003.ckpt"
        assert checkpoint.is_dir() == saved.startswith("fsdp")
        same = _run(shards, folder, kind, steps=3, resume=checkpoint, seed=1)
        assert all(torch.equal(same[name], first[name]) for name in first), kind
        resumed = _run(shards, folder, kind, steps=6, resume=checkpoint, seed=1)
        assert far(whole[1], resumed) < 1e-5, kind
        losses = small_run.losses(folder)
        assert losses[3:] == pytest.approx(small_run.losses(whole[0])[3:], abs=1e-6), kind
    averaged = load(tmp_path / "first" / "checkpoints" / "step_0000003.ckpt").state_dict()
    assert all(torch.equal(averaged[name], first[f"ema.{name}"]) for name in averaged)


@pytest.mark.slow
def test_a_run_goes_on_with_other_batches_of_a_step(
    shards: Path, whole: tuple[Path, dict[str, torch.Tensor]], tmp_path: Path
) -> None:
    """Four images a step: one by one, by two processes in turns or at once, and two at a time."""
    _run(shards, tmp_path / "first", "one", steps=3, accumulate=4)
    for kind, accumulate in (("ddp 2", 2), ("fsdp 2", 1), ("one", 2)):
        folder = tmp_path / kind.replace(" ", "")
        shutil.copytree(tmp_path / "first", folder)
        resume = folder / "checkpoints" / "step_0000003.ckpt"
        resumed = _run(shards, folder, kind, steps=6, accumulate=accumulate, validate_every=2, resume=resume)
        assert far(whole[1], resumed) < 1e-5, kind
        assert small_run.losses(folder) == pytest.approx(small_run.losses(whole[0]), abs=1e-6), kind
        assert read_checkpoint(folder / "checkpoints" / "step_0000006.ckpt")["global_step"] == 6


def _saved(folder: Path) -> int:
    """The step of the newest checkpoint, or 0."""
    return max((int(path.stem.removeprefix("step_")) for path in folder.glob("checkpoints/step_*.ckpt")), default=0)


def _kill_after(folder: Path, step: int, seconds: float) -> None:
    while _saved(folder) < step:
        time.sleep(0.01)
    time.sleep(seconds)
    os.kill(os.getpid(), signal.SIGKILL)


def _fill_disk_after(folder: Path, step: int) -> None:
    while _saved(folder) < step:
        time.sleep(0.01)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))


def _train_until_full(shards: Path, folder: Path, kind: str, options: dict[str, Any], rank: int) -> Path:
    if os.environ["RANK"] == str(rank):
        threading.Thread(target=_fill_disk_after, args=(folder, 2), daemon=True).start()
    return _train(shards, folder, kind, options)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "rank"), [("one", 0), ("ddp 2", 0), ("fsdp 2", 0), ("fsdp 2", 1)])
def test_a_full_disk_leaves_the_checkpoint_before(shards: Path, tmp_path: Path, kind: str, rank: int) -> None:
    """No process hangs; the last two are whole, and none is half there."""
    options = {"steps": 200, "checkpoint_every": 1, "validate_every": 200}
    of_process = rf"process {rank}: " if kind == "fsdp 2" else ""
    with pytest.raises(AssertionError, match=rf"could not be written, .* is whole: {of_process}File too large"):
        in_processes(KINDS[kind][0], _train_until_full, shards, tmp_path / "run", kind, options, rank, timeout=60)
    left = list((tmp_path / "run" / "checkpoints").iterdir())
    assert len(left) == 2
    for checkpoint in left:
        assert read_checkpoint(checkpoint)["global_step"] == int(checkpoint.stem.removeprefix("step_"))


def _train_until_killed(
    shards: Path, folder: Path, kind: str, options: dict[str, Any], rank: int, step: int, seconds: float
) -> Path:
    if os.environ["RANK"] == str(rank):
        threading.Thread(target=_kill_after, args=(folder, step, seconds), daemon=True).start()
    return _train(shards, folder, kind, options)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ddp 2", "fsdp 2"])
def test_five_kills_leave_no_trace(shards: Path, tmp_path: Path, kind: str) -> None:
    """Of one of the two processes, drawn with its time, for each strategy: the final weights are equal to the bit."""
    options: dict[str, Any] = {"steps": 24, "checkpoint_every": 1, "validate_every": 5, "workers": 1}
    whole = _run(shards, tmp_path / "whole", kind, **options)
    folder, chance = tmp_path / "killed", random.Random(kind)
    resume = None
    for _ in range(5):
        when = min(_saved(folder) + chance.randint(1, 3), 18), chance.uniform(0, 0.3)
        with pytest.raises(AssertionError, match="rank"):
            in_processes(
                2, _train_until_killed, shards, folder, kind, options | {"resume": resume}, chance.randrange(2), *when
            )
        remove_parts(folder)
        resume = folder / "checkpoints" / f"step_{_saved(folder):07d}.ckpt"
    killed = _run(shards, folder, kind, **options | {"resume": resume})
    assert all(torch.equal(killed[name], whole[name]) for name in whole)
