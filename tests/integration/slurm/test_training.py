"""Training as jobs of SLURM: on two nodes, through a signal and a requeue, through the loss of a node, as an array."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from anymask.models.checkpoints import read_checkpoint
from tests.integration.slurm.conftest import Cluster

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.slow,
    pytest.mark.xdist_group("slurm"),  # one cluster
]

Submit = Callable[..., str]

TWO_NODES = ["trainer.strategy=ddp", "trainer.nodes=2", "trainer.devices=1"]
LONG = ["trainer.steps=100000", "optim.steps=100000", "trainer.validate_every=100000"]


def logged_step(run: Path) -> int:
    """The last one of which a loss stands in metrics.csv."""
    path = run / "metrics.csv"
    lines = path.read_text().splitlines()[1:] if path.exists() else []
    return max((int(line.split(",")[0]) for line in lines if line.count(",") == 2 and line[0].isdigit()), default=0)


def saved_steps(run: Path) -> list[int]:
    return sorted(int(path.stem.removeprefix("step_")) for path in run.glob("checkpoints/step_*.ckpt"))


def curve(run: Path) -> list[str]:
    """Everything that was logged but how fast it went."""
    rows = (run / "metrics.csv").read_text().splitlines()
    return sorted(row for row in rows if not re.match(r"[^,]*,(throughput|memory)/", row))


def weights(run: Path) -> dict[str, torch.Tensor]:
    return read_checkpoint(run / "checkpoints" / "final.ckpt")["state_dict"]


def same(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> bool:
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_two_nodes_train_one_model(cluster: Cluster, submit: Submit, small: list[str], tmp_path: Path) -> None:
    number = submit("train", *small, *TWO_NODES, "name=two", "trainer.steps=6", "launcher.time=0:10:00")
    job = cluster.wait_until_done(number)
    run = (tmp_path / "outputs" / "latest").resolve()
    assert len(cluster.nodes(number)) == 2
    assert job["StdOut"] == str(run / f"slurm-{number}.out")
    assert "report: " in (run / f"slurm-{number}.out").read_text()
    assert {path.name for path in run.iterdir()} >= {"job.sbatch", "config.yaml", "summary.json", "checkpoints"}
    assert logged_step(run) == 6


def test_a_signal_before_the_limit_saves_and_the_job_goes_on(
    cluster: Cluster, submit: Submit, small: list[str], tmp_path: Path
) -> None:
    """A limit of one minute: SLURM knows none shorter, and tells the run about half a minute after its start."""
    limit = ["launcher.time=0:01:00", "launcher.signal_seconds=30"]
    number = submit("train", *small, *TWO_NODES, *LONG, *limit, "name=limited", "trainer.checkpoint_every=100000")
    run = (tmp_path / "outputs" / "latest").resolve()
    cluster.wait(number, lambda job: job["Restarts"] == "1")
    cluster.tell("scontrol", "update", f"JobId={number}", "TimeLimit=10")  # else another signal, on a slow machine
    stopped = saved_steps(run)[-1]
    assert 0 < stopped < 100000  # not one that was due
    cluster.wait(number, lambda _: logged_step(run) > stopped + 2)
    assert saved_steps(run) == [stopped]
    printed = (run / f"slurm-{number}.out").read_text()  # of both starts
    assert printed.count("Traceback") == 0
    cluster.tell("scancel", number)  # SIGTERM
    job = cluster.wait(number, lambda job: job["JobState"] == "CANCELLED")
    assert job["Restarts"] == "1"
    assert saved_steps(run)[-1] > stopped + 2


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_a_requeue_leaves_no_trace(
    cluster: Cluster, submit: Submit, small: list[str], tmp_path: Path, strategy: str
) -> None:
    settings = [
        *small, f"trainer.strategy={strategy}", "trainer.nodes=2", "trainer.devices=1", "trainer.steps=16",
        "trainer.validate_every=16", "launcher.time=0:10:00",
    ]  # fmt: skip
    whole = submit("train", *settings, "name=whole", "paths.outputs=whole")
    cluster.wait_until_done(whole)
    number = submit("train", *settings, "name=requeued", "paths.outputs=requeued")
    run = tmp_path / "requeued" / "latest"
    cluster.wait(number, lambda _: logged_step(run) >= 2)
    cluster.tell("scancel", "--signal=USR1", number)
    job = cluster.wait_until_done(number)
    assert job["Restarts"] == "1"
    assert curve(run) == curve(tmp_path / "whole" / "latest")
    assert same(weights(run), weights(tmp_path / "whole" / "latest"))


def test_a_node_that_is_lost_is_replaced(cluster: Cluster, submit: Submit, small: list[str], tmp_path: Path) -> None:
    number = submit(
        "train", *small, *TWO_NODES, *LONG, "name=lost", "trainer.checkpoint_every=2", "launcher.time=0:10:00",
    )  # fmt: skip
    run = (tmp_path / "outputs" / "latest").resolve()
    cluster.wait(number, lambda _: bool(saved_steps(run)))
    first, second = cluster.nodes(number)
    (third,) = {1, 2, 3} - {first, second}
    cluster.fail(second)
    try:
        cluster.wait(number, lambda job: job["Restarts"] == "1" and job["JobState"] == "RUNNING")
        stopped = saved_steps(run)[-1]
        assert cluster.nodes(number) == sorted([first, third])
        cluster.wait(number, lambda _: saved_steps(run)[-1] > stopped)
    finally:
        cluster.boot(second)


def process_of(number: str, rank: int) -> int:
    """The number that this machine knows the main process of a task by."""
    wanted, found = {f"SLURM_JOB_ID={number}", f"SLURM_PROCID={rank}"}, []
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended meanwhile
            if wanted <= set((path / "environ").read_text().split("\0")):
                found.append(int(path.name))
    return min(found)  # the loader's worker came after it


def test_a_process_that_dies_ends_the_job_and_is_named(
    cluster: Cluster, submit: Submit, small: list[str], tmp_path: Path
) -> None:
    number = submit("train", *small, *TWO_NODES, *LONG, "name=dies", "launcher.time=0:10:00")
    run = (tmp_path / "outputs" / "latest").resolve()
    cluster.wait(number, lambda _: logged_step(run) >= 2)
    os.kill(process_of(number, 1), signal.SIGKILL)
    job = cluster.wait(number, lambda job: job["JobState"] == "FAILED", seconds=60)
    assert job["Restarts"] == "0"
    second = cluster.nodes(number)[1]
    assert f"error: n{second}: task 1: Killed" in (run / f"slurm-{number}.out").read_text()


def test_an_array_trains_a_run_for_each_seed(
    cluster: Cluster, submit: Submit, small: list[str], tmp_path: Path
) -> None:
    number = submit("train", *small, "name=array", "trainer.steps=4", "launcher.array=0-1", "launcher.time=0:10:00")
    for task in range(2):
        cluster.wait_until_done(f"{number}_{task}")
    runs = [next((tmp_path / "outputs").glob(f"*_array_seed{seed}")) for seed in range(2)]
    for seed, run in enumerate(runs):
        assert f"\nseed: {seed}\n" in (run / "config.yaml").read_text()
        assert "report: " in (run / f"slurm-{number}_{seed}.out").read_text()
        assert logged_step(run) == 4
    assert not same(*map(weights, runs))
