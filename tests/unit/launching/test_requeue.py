"""Against a ``scontrol`` that writes down what it is asked; the real one is asked in tests/integration/slurm."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from anymask.launching import requeue
from anymask.launching.requeue import requeue_own_job


@pytest.fixture
def scontrol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Path]:
    """``scontrol(status)`` puts one on the path that ends so; returns the file with its arguments."""

    def write(status: int) -> Path:
        program = tmp_path / "scontrol"
        program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\necho "Invalid job id" >&2\nexit {status}\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
        monkeypatch.setattr(requeue, "PATIENCE", 0.01)
        return tmp_path / "asked"

    return write


def test_a_job_asks_for_itself(scontrol: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    asked = scontrol(0)
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    assert requeue_own_job()
    assert asked.read_text() == "requeue 4711\n"


def test_a_refusal_is_told(
    scontrol: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scontrol(1)
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    assert not requeue_own_job()
    assert capsys.readouterr().err == "warning: the job 4711 could not be queued again: Invalid job id\n"


def test_outside_of_slurm_nobody_is_asked(scontrol: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    asked = scontrol(0)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    assert not requeue_own_job()
    assert not asked.exists()
