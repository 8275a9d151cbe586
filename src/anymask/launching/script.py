"""The sbatch script of a job: short, commented, the same numbers as the program's, to be read before it is sent."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from anymask.errors import UserError
from anymask.launching.slurm import ARRAY_INDEX, Job, Slurm

__all__ = ["rendered"]


def rendered(job: Job, slurm: Slurm) -> str:
    """The text of ``job.sbatch``.

    Raises UserError where a value would break its line.
    """
    lines = [
        "#!/bin/bash",
        *_place(job),
        "",
        "# One task is one process" + (" with one GPU." if job.uses_gpus else "."),
        *_size(job, slurm),
        *_rules(job),
        *(_option(option) for option in slurm.extra),
        "",
        "set -eo pipefail",
        *slurm.setup,
        *_meeting(slurm),
        "",
        "# One task that fails ends the others, which would wait for it.",
        f"srun --kill-on-bad-exit=1 {' '.join(map(_word, job.command))}",
    ]
    return "\n".join(lines) + "\n"


def _place(job: Job) -> Iterator[str]:
    number = "%j" if job.array is None else "%A_%a"
    folder = str(job.folder).replace("%", "%%").replace(ARRAY_INDEX, "%a")
    yield _option("--job-name", job.name)
    yield _option("--chdir", job.work)
    yield _option("--output", f"{folder}/slurm-{number}.out")
    yield _option("--open-mode", "append")


def _size(job: Job, slurm: Slurm) -> Iterator[str]:
    gpus = f"{slurm.gpu_type}:{job.tasks_per_node}" if slurm.gpu_type else job.tasks_per_node
    wanted = {
        "--nodes": job.nodes,
        "--ntasks-per-node": job.tasks_per_node,
        "--gpus-per-node": gpus if job.uses_gpus else None,
        "--cpus-per-task": slurm.cpus_per_task or job.cpus_per_task,
        "--mem": slurm.mem,
        "--time": slurm.time,
        "--partition": slurm.partition,
        "--account": slurm.account,
        "--qos": slurm.qos,
        "--array": job.array,
    }
    for name, value in wanted.items():
        if value is not None:
            yield _option(name, value)


def _rules(job: Job) -> Iterator[str]:
    yield ""
    if job.signal_seconds is not None:
        yield "# Before the time is up the tasks, not this script, are told; they save, and the job is queued again."
        yield _option("--signal", f"SIGUSR1@{job.signal_seconds}")
    yield "# Where a node fails SLURM starts the job anew, under the same number."
    yield _option("--requeue")


def _meeting(slurm: Slurm) -> Iterator[str]:
    """Where the tasks find one another.

    The node's address and not its name, which need not resolve: c10d would try for ever.
    """
    yield ""
    yield "# The tasks meet at the first node, by its address: a name need not be known everywhere."
    yield 'read -r first < <(scontrol show hostnames "$SLURM_JOB_NODELIST")'
    yield 'MASTER_ADDR=$(scontrol --oneliner show node "$first" | sed -E "s/.* NodeAddr=([^ ]+).*/\\1/")'
    yield "MASTER_PORT=$((15000 + SLURM_JOB_ID % 10000))"
    yield "export MASTER_ADDR MASTER_PORT"
    yield 'export SRUN_CPUS_PER_TASK="$SLURM_CPUS_PER_TASK"  # srun does not inherit it since SLURM 22.05'
    if slurm.interface is not None:
        name = shlex.quote(slurm.interface)
        yield f"export NCCL_SOCKET_IFNAME={name} GLOO_SOCKET_IFNAME={name}"


def _option(name: str, value: object = None) -> str:
    option = name if value is None else f"{name}={shlex.quote(str(value))}"
    if not option.startswith("-") or not option.isprintable():
        raise UserError(f"{option!r} cannot stand in a line #SBATCH of a job's script")
    return f"#SBATCH {option}"


def _word(argument: str) -> str:
    """An argument as bash reads it back, the number of a task of an array in its place."""
    if ARRAY_INDEX not in argument:
        return shlex.quote(argument)
    return shlex.quote(argument).replace(ARRAY_INDEX, "'\"$SLURM_ARRAY_TASK_ID\"'").removesuffix("''")
