"""A SLURM job that puts itself back into the queue, under its own number."""

from __future__ import annotations

import os
import subprocess
import sys
import time

__all__ = ["requeue_own_job"]

PATIENCE = 60.0
"""Seconds until SLURM ends a job that it was asked to queue again."""


def requeue_own_job() -> bool:
    """Whether SLURM was asked and agreed; then it ends this process, for which this waits.

    A job that ended by itself before that would be taken for completed. False outside of SLURM.
    """
    job = os.environ.get("SLURM_JOB_ID")
    if job is None:
        return False
    done = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"warning: the job {job} could not be queued again: {done.stderr.strip()}", file=sys.stderr)
        return False
    time.sleep(PATIENCE)
    return True
