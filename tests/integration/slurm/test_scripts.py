"""The scripts that are written are ones that SLURM takes as they are meant."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.slurm.conftest import Cluster

pytestmark = [pytest.mark.slurm, pytest.mark.xdist_group("slurm")]

Program = Callable[..., str]


def written(printed: str) -> Path:
    match = re.search(r"^script: (.*)$", printed, re.MULTILINE)
    assert match is not None, printed
    return Path(match[1])


@pytest.mark.parametrize(
    "arguments",
    [
        ["trainer.nodes=2", "trainer.devices=2"],
        ["trainer.nodes=3", "trainer.accelerator=cpu", "launcher.mem=1G", "launcher.time=1-0"],
        ["launcher.array=0-5:2%2"],
        ["launcher.array=[1,7]", 'launcher.extra=["--exclude=n3", "--nice"]'],
        ['name="it\'s 50% of [a,b]"', "launcher.cpus_per_task=4"],
    ],
)
def test_sbatch_takes_it(cluster: Cluster, program: Program, arguments: list[str]) -> None:
    script = written(program("train", "launcher=slurm", "launcher.submit=false", *arguments))
    assert subprocess.run(["bash", "-n", script]).returncode == 0
    cluster.tell("sbatch", "--test-only", str(script))


def test_the_options_mean_what_they_say(cluster: Cluster, program: Program, tmp_path: Path) -> None:
    """Of a job that must wait for ever: there are no nodes like that."""
    name = 'a "b" 50%'
    script = written(
        program(
            "train", "launcher=slurm", "launcher.submit=false", f"name='{name}'", "trainer.nodes=2",
            "trainer.devices=2", "launcher.time=1:30:00", 'launcher.extra=["--hold"]', "data.loading.workers=1",
        )
    )  # fmt: skip
    number = cluster.tell("sbatch", "--parsable", str(script)).strip()
    told = cluster.tell("scontrol", "--oneliner", "show", "job", number)
    cluster.tell("scancel", number)
    assert f"JobName={name} " in told
    assert f"WorkDir={tmp_path} " in told
    assert " NumNodes=2-2 " in told
    assert " NumTasks=4 " in told
    assert " CPUs/Task=2 " in told
    assert " TimeLimit=01:30:00 " in told
    assert " TresPerNode=gres:gpu:2 " in told
    assert " Requeue=1 " in told


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["launcher.partition=moon"], "Invalid partition name specified"),
        (["launcher.time=soon"], "Invalid --time specification"),
        (["trainer.devices=3"], "Requested node configuration is not available"),
    ],
)
def test_what_sbatch_refuses_is_said_in_its_words(program: Program, arguments: list[str], said: str) -> None:
    printed = program("train", "launcher=slurm", *arguments, status=1).strip().splitlines()
    assert printed[-1].startswith("error: sbatch refuses /")
    assert said in printed[-1]
