"""What is written, what sbatch is asked, and what is said, with a program in sbatch's place."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import example, given
from hypothesis import strategies as st

from anymask.errors import UserError
from anymask.launching.slurm import ARRAY_INDEX, EvaluationSlurm, TrainingSlurm
from anymask.launching.submission import _override, check, counted, submit_evaluation, submit_training

Sbatch = Callable[[str], Path]


def submit(slurm: TrainingSlurm, folder: Path) -> None:
    submit_training(slurm, folder, name="small", nodes=2, devices=4, workers=3, accelerator="gpu")


@pytest.fixture
def sbatch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sbatch:
    """``sbatch("lines of shell")`` stands for the real one; the file that it writes its arguments to."""

    def stand_in(lines: str) -> Path:
        told = tmp_path / "told.txt"
        program = tmp_path / "bin" / "sbatch"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {told}\n{lines}\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
        return told

    return stand_in


@pytest.fixture(autouse=True)
def _called_as_train(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/code/train.py", "launcher=slurm"])


def command(folder: Path) -> list[str]:
    return shlex.split((folder / "job.sbatch").read_text().splitlines()[-1])


def test_a_training_is_one_command_for_every_start(tmp_path: Path) -> None:
    submit(TrainingSlurm(time="1:00:00", submit=False), tmp_path / "run")
    assert command(tmp_path / "run") == [
        "srun", "--kill-on-bad-exit=1", sys.executable, "-u", "/code/train.py", f"resume={tmp_path / 'run'}",
    ]  # fmt: skip
    script = (tmp_path / "run" / "job.sbatch").read_text()
    wanted = ["job-name=small", "nodes=2", "ntasks-per-node=4", "gpus-per-node=4", "cpus-per-task=4"]
    assert all(f"#SBATCH --{option}\n" in script for option in wanted)


def test_a_job_is_submitted_and_told(sbatch: Sbatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = sbatch("echo '4711;cluster'")
    submit(TrainingSlurm(time="1:00:00"), tmp_path / "run")
    assert told.read_text().splitlines() == ["--parsable", str(tmp_path / "run" / "job.sbatch")]
    assert capsys.readouterr().out.splitlines() == [
        f"script: {tmp_path}/run/job.sbatch",
        "job: 4711",
        f"watch: squeue --job 4711; tail -F {tmp_path}/run/slurm-4711.out",
        "cancel: scancel 4711",
        f"go on later: sbatch {tmp_path}/run/job.sbatch",
    ]


def test_nothing_is_submitted_where_that_is_not_wanted(
    sbatch: Sbatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = sbatch("echo 4711")
    submit(TrainingSlurm(time="1:00:00", submit=False), tmp_path / "run")
    assert not told.exists()
    script = tmp_path / "run" / "job.sbatch"
    assert capsys.readouterr().out == f"script: {script}\nsubmit: sbatch {script}\n"


def test_an_array_goes_on_in_the_folder_of_each_seed(
    sbatch: Sbatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sbatch("echo 4711")
    submit(TrainingSlurm(time="1:00:00", array=[3, 5]), tmp_path / "run")
    assert command(tmp_path / "run")[-1] == f"resume={tmp_path}/run_seed$SLURM_ARRAY_TASK_ID"
    assert "#SBATCH --array=3,5\n" in (tmp_path / "run" / "job.sbatch").read_text()
    printed = capsys.readouterr().out
    assert f"tail -F {tmp_path}/run_seed*/slurm-4711_*.out" in printed.replace("'", "")


def test_an_evaluation_keeps_what_was_said_but_how_and_where(tmp_path: Path) -> None:
    said = [
        "task=edges", "launcher=slurm", "checkpoint=a b.pth", "out=here", "launcher.nodes=2", "++launcher.time=5",
        "edges.floors=[sobel]", "outer=1", "~images",
    ]  # fmt: skip
    slurm = EvaluationSlurm(time="1:00:00", nodes=2, tasks_per_node=4, submit=False)
    submit_evaluation(slurm, tmp_path / "here", said, workers=1, device="cpu")
    kept = ["task=edges", "checkpoint=a b.pth", "edges.floors=[sobel]", "outer=1", "~images", f"out={tmp_path}/here"]
    assert command(tmp_path / "here")[5:] == kept


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1))
@example("a,b=[c]{d}(e)'f\"g")
@example("back\\slash\\'")
@example("ends\\")
@example(" spaces ")
@example("null")
def test_hydra_reads_a_path_back(name: str) -> None:
    path = Path("/runs") / name.replace("/", "").replace("${", "")
    parsed = OverridesParser.create().parse_override(_override("resume", path))
    assert parsed.key_or_group == "resume"
    assert parsed.value() == str(path)


def test_the_number_of_an_array_stays_in_its_place() -> None:
    assert _override("resume", Path(f"/runs/a{ARRAY_INDEX}")) == f"resume=/runs/a{ARRAY_INDEX}"
    assert _override("resume", Path(f"/runs/a,b{ARRAY_INDEX}")) == f"resume='/runs/a,b{ARRAY_INDEX}'"


def test_what_sbatch_says_last_is_the_reason(sbatch: Sbatch, tmp_path: Path) -> None:
    sbatch("echo 'sbatch: note' >&2; echo 'sbatch: error: Invalid account' >&2; exit 1")
    with pytest.raises(UserError, match=rf"^sbatch refuses {tmp_path}/run/job.sbatch: Invalid account$"):
        submit(TrainingSlurm(time="1:00:00"), tmp_path / "run")


def test_a_silent_refusal_is_told_too(sbatch: Sbatch, tmp_path: Path) -> None:
    sbatch("exit 3")
    with pytest.raises(UserError, match="it ended with 3"):
        submit(TrainingSlurm(time="1:00:00"), tmp_path / "run")


def test_without_sbatch_only_a_script_can_be_had(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="there is no sbatch on this machine"):
        check(TrainingSlurm(time="1:00:00"), name="sample")
    check(TrainingSlurm(time="1:00:00", submit=False), name="sample")


@pytest.mark.parametrize("name", ["bash", "interactive"])
def test_a_job_is_not_called_like_a_shell(name: str) -> None:
    with pytest.raises(UserError, match=f"cannot be called '{name}'"):
        check(TrainingSlurm(time="1:00:00", submit=False), name=name)


def test_devices_must_be_told_as_a_number() -> None:
    assert counted(8) == 8
    with pytest.raises(UserError, match=r"trainer\.devices='auto' says not how many"):
        counted("auto")
