"""The real programs, in processes of their own, on settings that take seconds."""

from __future__ import annotations

import multiprocessing
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

SMALL = [
    "model.image_size=64",
    "module=sam1",
    "optim=adamw",
    "data=shards",
    "data.loading.validation_images=2",
    "data.loading.shuffle_buffer=4",
    "data.loading.images_per_batch=1",
    "data.loading.workers=1",
    "trainer.accelerator=cpu",
    "trainer.progress_bar=false",
    "trainer.pictured_objects=1",
    "trainer.log_every=1",
    "logger=csv",
    "point_to_mask.floors=[disc]",
    "point_to_mask.clicks=3",
    "point_to_mask.report_at=[1,2,3]",
]

Start = Callable[..., multiprocessing.process.BaseProcess]

os.environ.setdefault("OMP_NUM_THREADS", "1")  # of what is started from here: so small a model gains nothing from more
_CONTEXT = multiprocessing.get_context("forkserver")  # everything is imported once, and forked for each run
_CONTEXT.set_forkserver_preload(["anymask.cli"])


def _program(name: str, arguments: list[str], folder: Path) -> None:
    os.chdir(folder)
    output = (folder / "output.txt").open("w")
    os.dup2(output.fileno(), 1)
    os.dup2(output.fileno(), 2)
    sys.argv = [f"{name}.py", *arguments]
    sys.path.insert(0, str(ROOT / "src"))
    from anymask import cli

    {"train": cli.train, "evaluate": cli.evaluate}[name]()


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """``start("train", "key=value", …)``: the running program; what it prints lies in output.txt."""

    def start(name: str, *arguments: str) -> multiprocessing.process.BaseProcess:
        process = _CONTEXT.Process(target=_program, args=(name, list(arguments), tmp_path))
        process.start()
        return process

    return start


@pytest.fixture
def run(start: Start, tmp_path: Path) -> Callable[..., str]:
    """``run("train", "key=value", …, status=0)``: what the program printed."""

    def run(name: str, *arguments: str, status: int = 0) -> str:
        process = start(name, *arguments)
        process.join()
        printed = (tmp_path / "output.txt").read_text()
        assert process.exitcode == status, printed
        return printed

    return run


@pytest.fixture
def run_together(tmp_path: Path) -> Callable[..., list[str]]:
    """``run_together("key=value", …)``: two processes evaluate, as if torchrun had begun them; what each printed."""

    def run(*arguments: str) -> list[str]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        where = {
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
            "WORLD_SIZE": "2",
            "PYTHONPATH": str(ROOT / "src"),
        }
        processes = [
            subprocess.Popen(
                [sys.executable, ROOT / "evaluate.py", *arguments],
                cwd=tmp_path,
                env=os.environ | where | {"RANK": str(rank), "PYTHONPATH": str(ROOT / "src")},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for rank in range(2)
        ]
        printed = [process.communicate(timeout=300)[0] for process in processes]
        assert [process.returncode for process in processes] == [0, 0], printed
        return printed

    return run


@pytest.fixture
def small(tiny_shards: Path) -> list[str]:
    """Settings of a small run on ``tiny_shards``."""
    return [*SMALL, f"data.train=[{{path: {tiny_shards}}}]", f"data.held_out={tiny_shards}"]
