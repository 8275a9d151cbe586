"""Two processes, told of one another as torchrun does it, share the images of one evaluation."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import anymask
from tests.integration.conftest import ROOT

SETTINGS = ["task.floors=[disc]", "task.clicks=3", "task.report_at=[1,2,3]", "workers=0", "image_size=64", "device=cpu"]


@pytest.mark.slow
def test_nothing_is_lost_and_nothing_done_twice(tiny_shards: Path, tmp_path: Path, run: Callable[..., str]) -> None:
    torch.manual_seed(0)
    anymask.save(anymask.build("tiny"), tmp_path / "weights.pth")
    settings = ["checkpoint=weights.pth", f"data={tiny_shards}", *SETTINGS]
    run("evaluate", *settings, "out=alone")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "PYTHONPATH": str(ROOT / "src")}
    processes = [
        subprocess.Popen(
            [sys.executable, ROOT / "evaluate.py", *settings, "out=together"],
            cwd=tmp_path,
            env=os.environ | where | {"RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(2)
    ]
    printed = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], printed
    assert ["report: together/report.html" in text for text in printed] == [True, False]
    alone, both = (tmp_path / name for name in ("alone", "together"))
    assert {path.name for path in both.iterdir()} == {path.name for path in alone.iterdir()}
    assert (both / "records.jsonl").read_text() == (alone / "records.jsonl").read_text()
    results = [json.loads((folder / "results.json").read_text()) for folder in (alone, both)]
    assert results[0]["counts"]["images"] > 1
    for name in ("metrics", "counts", "skipped", "floors", "protocol"):
        assert results[0][name] == results[1][name]
