"""From a program's settings to a job: its script is written, handed to sbatch, and what to do with it is printed."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from anymask.atomic import write_atomically
from anymask.errors import UserError
from anymask.launching.script import rendered
from anymask.launching.slurm import ARRAY_INDEX, EvaluationSlurm, Job, Slurm, TrainingSlurm, as_text

__all__ = ["check", "counted", "folder_of_seed", "submit_evaluation", "submit_training"]


def check(slurm: Slurm, *, name: str) -> None:
    """Raises UserError for what cannot be a job, before anything is written.

    Lightning takes a job of certain names for a shell, in which nobody runs below srun.
    """
    if slurm.submit and shutil.which("sbatch") is None:
        raise UserError(
            "there is no sbatch on this machine: submit where SLURM is, or only write the script: launcher.submit=false"
        )
    if name in ("bash", "interactive"):
        raise UserError(f"a job of SLURM cannot be called {name!r}, Lightning takes that for a shell: rename it")


def counted(devices: int | str) -> int:
    """Raises UserError where a training's devices on each node are not told as a number."""
    if isinstance(devices, str):
        raise UserError(f"trainer.devices={devices!r} says not how many: a job of SLURM needs the number for each node")
    return devices


def folder_of_seed(folder: Path, seed: int | str) -> Path:
    """That of one run of an array, beside the array's own."""
    return folder.with_name(f"{folder.name}_seed{seed}")


def submit_training(
    slurm: TrainingSlurm,
    folder: Path,
    *,
    name: str,
    nodes: int,
    devices: int,
    workers: int,
    accelerator: str,
) -> None:
    """A job of the run, or of an array's runs, whose configuration lies in ``folder``, or in that of each seed.

    Its first start, a start after a requeue and one by hand are one command: the run goes on from its newest
    checkpoint, or begins where there is none. ``devices`` and ``workers`` are those of a node and of a process.
    Raises UserError with sbatch's own words where it refuses.
    """
    own = folder if slurm.array is None else folder_of_seed(folder, ARRAY_INDEX)
    job = Job(
        name=name,
        folder=own,
        work=Path.cwd(),
        command=[*_program(), _override("resume", own)],
        nodes=nodes,
        tasks_per_node=devices,
        cpus_per_task=workers + 1,
        uses_gpus=accelerator != "cpu",
        signal_seconds=slurm.signal_seconds,
        array=None if slurm.array is None else as_text(slurm.array),
    )
    _launch(job, slurm, folder)


def submit_evaluation(
    slurm: EvaluationSlurm, folder: Path, changes: Sequence[str], *, workers: int, device: str
) -> None:
    """A job that evaluates into ``folder`` with the ``changes`` of a command line; submitted again it goes on.

    Raises UserError with sbatch's own words where it refuses.
    """
    kept = [change for change in changes if re.match(r"[+~]*(launcher|out)\b", change) is None]
    job = Job(
        name=folder.name,
        folder=folder,
        work=Path.cwd(),
        command=[*_program(), *kept, _override("out", folder)],
        nodes=slurm.nodes,
        tasks_per_node=slurm.tasks_per_node,
        cpus_per_task=workers + 1,
        uses_gpus=device != "cpu",
    )
    _launch(job, slurm, folder)


def _program() -> list[str]:
    """What was called, by the same Python."""
    return [sys.executable, "-u", str(Path(sys.argv[0]).resolve())]


def _override(key: str, path: Path) -> str:
    """In Hydra's grammar, which gives meaning to commas, brackets and the like."""
    text = str(path)
    if re.fullmatch(rf"[\w./+-]*{ARRAY_INDEX}?", text, re.ASCII):
        return f"{key}={text}"
    escaped = re.sub(r"(\\*)('|$)", lambda match: 2 * match[1] + "\\'" * bool(match[2]), text)
    return f"{key}='{escaped}'"


def _launch(job: Job, slurm: Slurm, folder: Path) -> None:
    text = rendered(job, slurm)
    script = folder / "job.sbatch"
    write_atomically(script, lambda part: part.write_text(text))
    submit = f"sbatch {shlex.quote(str(script))}"
    print(f"script: {script}")
    if not slurm.submit:
        print(f"submit: {submit}")
        return
    number = _submitted(script)
    tasks = "" if job.array is None else "_*"
    printed = shlex.quote(f"{job.folder}/slurm-{number}").replace(ARRAY_INDEX, "'*'") + f"{tasks}.out"
    print(f"job: {number}")
    print(f"watch: squeue --job {number}; tail -F {printed}")
    print(f"cancel: scancel {number}")
    print(f"go on later: {submit}")


def _submitted(script: Path) -> str:
    """The number of the job."""
    done = subprocess.run(["sbatch", "--parsable", str(script)], capture_output=True, text=True)
    if done.returncode:
        reason = (done.stderr.strip() or f"it ended with {done.returncode}").splitlines()[-1]
        raise UserError(f"sbatch refuses {script}: {re.sub(r'^sbatch: (error: )?', '', reason)}")
    return done.stdout.strip().partition(";")[0]
