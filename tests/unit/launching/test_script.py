"""The script of a job, as a whole, and word for word where words are awkward."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from anymask.errors import UserError
from anymask.launching.script import rendered
from anymask.launching.slurm import ARRAY_INDEX, EvaluationSlurm, Job, TrainingSlurm

JOB = Job(
    name="sample",
    folder=Path("/runs/monday_sample"),
    work=Path("/home/ann/anymask"),
    command=["/venv/bin/python", "-u", "train.py", "resume=/runs/monday_sample"],
    nodes=2,
    tasks_per_node=8,
    cpus_per_task=5,
    uses_gpus=True,
    signal_seconds=180,
)
SLURM = TrainingSlurm(
    time="24:00:00",
    partition="a100",
    account="vision",
    mem="200G",
    extra=["--exclude=node7"],
    setup=["module load cuda/12.8"],
    interface="ib0",
)

WHOLE = r"""#!/bin/bash
#SBATCH --job-name=sample
#SBATCH --chdir=/home/ann/anymask
#SBATCH --output=/runs/monday_sample/slurm-%j.out
#SBATCH --open-mode=append

# One task is one process with one GPU.
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=8
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=5
#SBATCH --mem=200G
#SBATCH --time=24:00:00
#SBATCH --partition=a100
#SBATCH --account=vision

# Before the time is up the tasks, not this script, are told; they save, and the job is queued again.
#SBATCH --signal=SIGUSR1@180
# Where a node fails SLURM starts the job anew, under the same number.
#SBATCH --requeue
#SBATCH --exclude=node7

set -eo pipefail
module load cuda/12.8

# The tasks meet at the first node, by its address: a name need not be known everywhere.
read -r first < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
MASTER_ADDR=$(scontrol --oneliner show node "$first" | sed -E "s/.* NodeAddr=([^ ]+).*/\1/")
MASTER_PORT=$((15000 + SLURM_JOB_ID % 10000))
export MASTER_ADDR MASTER_PORT
export SRUN_CPUS_PER_TASK="$SLURM_CPUS_PER_TASK"  # srun does not inherit it since SLURM 22.05
export NCCL_SOCKET_IFNAME=ib0 GLOO_SOCKET_IFNAME=ib0

# One task that fails ends the others, which would wait for it.
srun --kill-on-bad-exit=1 /venv/bin/python -u train.py resume=/runs/monday_sample
"""


def options(script: str) -> list[str]:
    return [line.removeprefix("#SBATCH ") for line in script.splitlines() if line.startswith("#SBATCH ")]


def test_the_whole_script() -> None:
    assert rendered(JOB, SLURM) == WHOLE


def test_bash_reads_it() -> None:
    subprocess.run(["bash", "-n"], input=WHOLE, text=True, check=True)


def test_options_stand_before_what_runs() -> None:
    """SLURM reads none after the first command."""
    lines = [line for line in WHOLE.splitlines() if line]
    first = next(i for i, line in enumerate(lines) if not line.startswith("#"))
    assert not any(line.startswith("#SBATCH") for line in lines[first:])


def test_a_cpu_needs_no_gpu() -> None:
    script = rendered(replace(JOB, uses_gpus=False), SLURM)
    assert "gpu" not in script.lower()
    assert "# One task is one process.\n" in script


def test_kind_of_gpu_and_cpus_of_ones_own() -> None:
    said = options(rendered(JOB, replace(SLURM, gpu_type="a100", cpus_per_task=12)))
    assert "--gpus-per-node=a100:8" in said
    assert "--cpus-per-task=12" in said


def test_an_evaluation_is_not_told_to_save() -> None:
    said = options(rendered(replace(JOB, signal_seconds=None), EvaluationSlurm(time="1:00:00")))
    assert not any(option.startswith("--signal") for option in said)
    assert "--requeue" in said
    assert "--time=1:00:00" in said


def test_an_array_writes_its_number_into_folder_output_and_command() -> None:
    own = f"/runs/a b{ARRAY_INDEX}"
    job = replace(JOB, folder=Path(own), command=["echo", f"resume={own}", f"x='{own}'"], array="0-3%2")
    script = rendered(job, SLURM)
    assert "--array=0-3%2" in options(script)
    assert "--output='/runs/a b%a/slurm-%A_%a.out'" in options(script)
    assert words_of(script, SLURM_ARRAY_TASK_ID="17") == ["echo", "resume=/runs/a b17", "x='/runs/a b17'"]


def test_signs_of_slurms_file_names_are_doubled() -> None:
    assert "--output=/runs/50%%/slurm-%j.out" in options(rendered(replace(JOB, folder=Path("/runs/50%")), SLURM))


def words_of(script: str, **variables: str) -> list[str]:
    """The command as bash hands it to srun."""
    line = script.partition("\nsrun --kill-on-bad-exit=1 ")[2]
    printed = subprocess.run(
        ["bash", "-c", f"printf '%s\\0' {line}"], env=variables, capture_output=True, text=True, check=True
    )
    return printed.stdout.split("\0")[:-1]


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0\n\r")), min_size=1))
@example(["it's", '"', "$HOME", "`id`", "a b", "", "*", "\\", "~", "#"])
def test_bash_reads_back_what_was_meant(arguments: list[str]) -> None:
    assert words_of(rendered(replace(JOB, command=["echo", *arguments]), SLURM)) == ["echo", *arguments]


@pytest.mark.parametrize(
    "slurm",
    [
        replace(SLURM, partition="a\n#SBATCH --nodes=9"),
        replace(SLURM, extra=["exclude=node7"]),
        replace(SLURM, extra=["--exclude=node7\nrm -r ."]),
    ],
)
def test_what_would_break_its_line_is_refused(slurm: TrainingSlurm) -> None:
    with pytest.raises(UserError, match="cannot stand in a line #SBATCH"):
        rendered(JOB, slurm)
