"""The programs of data/*/, run in this process on small folders that a test draws."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anymask.data.shards import ShardSet
from anymask.data.stream import read_samples
from anymask.drawing import jpeg
from anymask.structures import Sample

PROJECT = Path(__file__).resolve().parents[3]

Run = Callable[..., str]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """``run("coco", "--out", …)``: what the program printed."""

    def run_program(name: str, *arguments: object, program: str = "prepare.py") -> str:
        monkeypatch.setattr(sys, "argv", [program, *map(str, arguments)])
        runpy.run_path(str(PROJECT / "data" / name / program), run_name="__main__")
        return capsys.readouterr().out

    return run_program


@pytest.fixture
def refused(run: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """``refused("coco", …)``: the one sentence that it ends with; nothing may be left behind."""

    def run_program(name: str, *arguments: object) -> str:
        before = set(tmp_path.iterdir())
        with pytest.raises(SystemExit) as ended:
            run(name, *arguments, "--out", tmp_path / "out")
        assert ended.value.code == 2
        assert set(tmp_path.iterdir()) == before
        return capsys.readouterr().err.splitlines()[-1]

    return run_program


@pytest.fixture
def samples_of() -> Callable[[Path], dict[str, Sample]]:
    """All samples of a folder of shards, by key; none may be damaged."""

    def read(folder: Path) -> dict[str, Sample]:
        samples = list(read_samples(ShardSet.open(str(folder))))
        assert all(isinstance(sample, Sample) for sample in samples)
        return {sample.key: sample for sample in samples if isinstance(sample, Sample)}

    return read


@pytest.fixture
def draw_photograph() -> Callable[..., bytes]:
    """``draw_photograph((height, width), seed)``: a JPEG of noise."""

    def draw(size: tuple[int, int], seed: int = 0) -> bytes:
        pixels: np.ndarray[Any, Any] = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
        return jpeg(pixels)

    return draw
