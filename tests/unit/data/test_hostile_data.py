"""2,400 hostile files: none ends a run, each is refused or counted, and what is whole beside the damage is read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

KINDS = ("tars", "annotations", "photographs", "run_lengths", "ground_truths", "detections")
NUMBER = 400  # of each kind
PROJECT = Path(__file__).parents[3]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak of memory is told by Linux alone"),
]

Reports = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Reports:
    """By kind; the program may crash, or hang where no alarm reaches it."""
    paths = os.pathsep.join(map(str, (PROJECT / "src", PROJECT)))
    out, told = (tmp_path_factory.mktemp("hostile") / name for name in ("out", "told"))
    with out.open("w") as given, told.open("w") as names, suppress(subprocess.TimeoutExpired):
        subprocess.run(
            [sys.executable, "-m", "tests.unit.data.hostile", "--number", str(NUMBER)],
            env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
            stdout=given,
            stderr=names,
            timeout=600,
        )
    reports = {report["kind"]: report for report in map(json.loads, out.read_text().splitlines())}
    assert set(reports) == set(KINDS), f"it crashed or hung; its last cases were\n{told.read_text()[-2000:]}"
    return reports


@pytest.mark.parametrize("kind", KINDS)
def test_every_hostile_file_is_refused_or_counted_and_none_ends_a_run(reports: Reports, kind: str) -> None:
    report = reports[kind]
    assert report["wrong"] == []
    assert report["cases"] >= NUMBER
    assert report["defects"] >= report["refused"] > 0


@pytest.mark.parametrize("kind", KINDS)
def test_no_hostile_file_takes_a_gigabyte(reports: Reports, kind: str) -> None:
    megabytes, name = reports[kind]["heaviest"]
    assert megabytes < 1024, name
