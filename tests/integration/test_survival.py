"""Runs of two processes of the real program, started as a user does: one dies, a signal comes, the disk is full."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import ROOT

pytestmark = pytest.mark.slow

TOGETHER = ["trainer.devices=2", "trainer.steps=4000", "trainer.checkpoint_every=3", "trainer.validate_every=4000"]
PATIENCE = 60.0
"""Seconds until a run that lost a process, or was asked to end, has ended: 20 for the others, the rest to be safe."""

Begin = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Begin]:
    """``begin("key=value", …)``: ``python train.py``; what it prints lies in output.txt."""
    begun = []

    def begin(*arguments: str) -> subprocess.Popen[str]:
        with (tmp_path / "output.txt").open("w") as output:
            command = [sys.executable, str(ROOT / "train.py"), *arguments]
            process = subprocess.Popen(command, cwd=tmp_path, stdout=output, stderr=subprocess.STDOUT, text=True)
        begun.append(process)
        return process

    yield begin
    for process in begun:
        for child in children(process.pid):
            os.kill(child, signal.SIGKILL)
        process.kill()
        process.wait()


def children(parent: int) -> list[int]:
    """The running ones, in the order in which they were started: those of ``train.py`` are its processes by rank."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, of, *_ = path.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        if int(of) == parent and state != "Z":
            found.append(int(path.parent.name))
    return sorted(found)


def of_folder(folder: Path) -> list[str]:
    """The command lines of all processes that were started in ``folder`` and still run."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if (path / "cwd").resolve() == folder.resolve():
                found.append((path / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


def wait_for_steps(process: subprocess.Popen[str], folder: Path, steps: int) -> None:
    """Until the run's log has ``steps`` more lines of the loss than it has now."""

    def logged() -> int:
        path = folder / "outputs" / "latest" / "metrics.csv"
        return path.read_text().count(",train/loss,") if path.exists() else 0

    goal, deadline = logged() + steps, time.monotonic() + 240
    while logged() < goal:
        assert process.poll() is None, (folder / "output.txt").read_text()
        assert time.monotonic() < deadline, "it does not train"
        time.sleep(0.05)


def test_one_is_killed_another_signalled(begin: Begin, small: list[str], tmp_path: Path) -> None:
    """One story of one run: killed as replicas, gone on with as shards, ended by signals, brought to its end by one."""
    process = begin(*small, *TOGETHER, "name=story")
    wait_for_steps(process, tmp_path, 5)
    os.kill(children(process.pid)[1], signal.SIGKILL)
    assert process.wait(PATIENCE) == 128 + signal.SIGKILL
    printed = (tmp_path / "output.txt").read_text()
    assert "error: process 1 was ended by SIGKILL" in printed
    assert "Traceback" not in printed
    assert of_folder(tmp_path) == []

    folder, step = (tmp_path / "outputs" / "latest").resolve(), 0
    for signum in (signal.SIGTERM, signal.SIGINT):
        process = begin("resume=latest", "trainer.strategy=fsdp")
        wait_for_steps(process, tmp_path, 4)
        process.send_signal(signum)
        assert process.wait(PATIENCE) == 128 + signum
        printed = (tmp_path / "output.txt").read_text()
        told = re.search(rf"stopped by {signum.name} after step (\d+): python train.py resume=(\S+) goes on", printed)
        assert told is not None, printed
        assert told[2] == str(folder)
        step = int(told[1])
        assert (folder / "checkpoints" / f"step_{step:07d}.ckpt" / "rest.pt").is_file()
        assert "Traceback" not in printed
        assert of_folder(tmp_path) == []
    assert len(list((folder / "checkpoints").glob("step_*.ckpt"))) == 2

    process = begin("resume=latest", "trainer.devices=1", f"trainer.steps={step + 2}")
    assert process.wait(240) == 0, (tmp_path / "output.txt").read_text()
    starts = [json.loads(line) for line in (folder / "starts.jsonl").read_text().splitlines()]
    assert [start["processes"] for start in starts] == [2, 2, 2, 1]
    assert starts[3]["step"] == step
    assert starts[3]["resume"] == f"python train.py resume={folder}"
    assert {path.name for path in (folder / "logs").iterdir()} == {"process_00000.log", "process_00001.log"}
    assert (folder / "summary.json").is_file()
