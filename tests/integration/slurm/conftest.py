"""A real SLURM cluster of three nodes on this machine; skipped with a reason where that cannot be."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.conftest import ROOT, begin_program

PROGRAMS = ["munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "ip", "nsenter", "unshare"]
OVER = ["COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY", "BOOT_FAIL", "DEADLINE"]
NODES = 3  # two work, the third stands by


@dataclass(frozen=True)
class Cluster:
    """``tell`` a program of SLURM's something; the power of a node can ``fail``."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        path = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]).strip(os.pathsep)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
        settings = {"SLURM_CONF": str(self.folder / "slurm.conf"), "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
        return kept | settings | {"WANDB_MODE": "offline"}

    def tell(self, *command: str, cwd: Path | None = None) -> str:
        done = subprocess.run(command, env=self.environment, cwd=cwd, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def do(self, verb: str, *arguments: str | int) -> None:
        """What cluster.sh does."""
        script = str(Path(__file__).with_name("cluster.sh"))
        self.tell("bash", script, verb, str(self.folder), *map(str, arguments))

    def fail(self, node: int) -> None:
        self.do("fail", node)

    def boot(self, node: int) -> None:
        self.do("boot", node)

    def job(self, number: str) -> dict[str, str]:
        """What SLURM knows of a job, or of a task of an array: ``7_1``."""
        told = self.tell("scontrol", "--oneliner", "show", "job", number)
        return dict(re.findall(r"(\w+)=(\S*)", told))

    def nodes(self, number: str) -> list[int]:
        """Of a job. Which ones it is given depends on what still ends on the others."""
        names = self.tell("scontrol", "show", "hostnames", self.job(number)["NodeList"]).split()
        return [int(name.removeprefix("n")) for name in names]

    def wait(self, number: str, is_there: Callable[[dict[str, str]], bool], *, seconds: float = 150) -> dict[str, str]:
        """Until it has come to that; fails, with what the job printed, where it ends before or takes too long."""
        end = time.monotonic() + seconds
        while True:
            job = self.job(number)
            if is_there(job):
                return job
            if job["JobState"] in OVER or time.monotonic() > end:
                printed = Path(job["StdOut"])
                text = printed.read_text() if printed.exists() else "it printed nothing"
                pytest.fail(f"job {number} is {job['JobState']}, {job.get('Reason')}: {text}")
            time.sleep(0.1)

    def wait_until_done(self, number: str) -> dict[str, str]:
        return self.wait(number, lambda job: job["JobState"] == "COMPLETED")


def _reason_to_skip() -> str | None:
    if missing := [name for name in PROGRAMS if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") is None]:
        return f"SLURM cannot run here: there is no {', '.join(missing)} (.ci/run has the packages)"
    if os.geteuid():
        return "SLURM cannot run here: a network namespace for each node needs root"
    name = f"try{os.getpid()}"
    tried = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True)
    if tried.returncode:
        return f"SLURM cannot run here: no network namespaces: {tried.stderr.strip()}"
    subprocess.run(["ip", "netns", "del", name], check=True)
    return None


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    if reason := _reason_to_skip():
        pytest.skip(reason)
    cluster = Cluster(tmp_path_factory.mktemp("slurm"))
    try:
        cluster.do("start", NODES)
        yield cluster
    finally:
        cluster.do("stop")


@pytest.fixture
def program(cluster: Cluster, tmp_path: Path) -> Callable[..., str]:
    """``program("train", "launcher=slurm", …, status=0)``: what it printed."""

    def run(name: str, *arguments: str, status: int = 0) -> str:
        output = tmp_path / "submission.txt"
        process = begin_program(str(ROOT / f"{name}.py"), arguments, output, cluster.environment)
        process.join()
        printed = output.read_text()
        assert process.exitcode == status, printed
        return printed

    return run


@pytest.fixture
def submit(cluster: Cluster, program: Callable[..., str]) -> Iterator[Callable[..., str]]:
    """``submit("train", "trainer.nodes=2", …)``: the number of the job, which ends with the test."""
    numbers = []

    def submit(name: str, *arguments: str) -> str:
        printed = program(name, "launcher=slurm", *arguments)
        match = re.search(r"^job: (\d+)$", printed, re.MULTILINE)
        assert match is not None, printed
        numbers.append(match[1])
        return match[1]

    yield submit
    for number in numbers:
        cluster.tell("scancel", "--quiet", number)
    end = time.monotonic() + 20
    while cluster.tell("squeue", "--noheader") and time.monotonic() < end:
        time.sleep(0.1)
