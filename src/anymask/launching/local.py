"""The processes of one machine: a program starts itself once for each device, and sees to it that all of them end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from types import FrameType

__all__ = ["HANDED_ON", "run_processes"]

HANDED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
GRACE = 20.0
"""Seconds that the others have to end by themselves when one has failed."""


def run_processes(number: int, command: Sequence[str]) -> int:
    """Run ``command`` in ``number`` processes with torchrun's variables; returns what the first to fail ended with.

    Signals are handed on to each of them, once. Where one fails the others are ended, and its rank is told.
    """
    port = _free_port()
    processes = [
        subprocess.Popen(command, env=os.environ | _variables(rank, number, port), start_new_session=True)
        for rank in range(number)
    ]

    def hand_on(signum: int, frame: FrameType | None) -> None:
        for process in processes:
            if process.poll() is None:
                process.send_signal(signum)

    before = {signum: signal.signal(signum, hand_on) for signum in HANDED_ON}
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDED_ON)
    try:
        return _wait(processes)
    finally:
        for process in processes:
            process.kill()
            process.wait()
        for signum, handler in before.items():
            signal.signal(signum, handler)


def _wait(processes: Sequence[subprocess.Popen[bytes]]) -> int:
    failed = 0
    deadline = float("inf")
    while (codes := [process.poll() for process in processes]).count(None) and time.monotonic() < deadline:
        if not failed and (rank := next((rank for rank, code in enumerate(codes) if code), None)) is not None:
            failed, deadline = codes[rank] or 0, time.monotonic() + GRACE
            if failed < 0:  # else it has said so itself
                print(f"error: process {rank} was ended by {signal.Signals(-failed).name}", file=sys.stderr, flush=True)
        time.sleep(0.1)
    failed = failed or next((code for code in codes if code), 0)
    return 128 - failed if failed < 0 else failed


def _variables(rank: int, number: int, port: int) -> dict[str, str]:
    """torchrun's, of one machine."""
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(number),
        "LOCAL_WORLD_SIZE": str(number),
        "GROUP_RANK": "0",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])
