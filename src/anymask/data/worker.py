"""What a process does first that works for another one."""

from __future__ import annotations

import os
import signal
from multiprocessing import connection, parent_process
from threading import Thread

__all__ = ["become_worker"]


def become_worker(on_interrupt: signal.Handlers) -> None:
    """End when the process ends that began this one, also where that is killed; a fork alone would wait for ever.

    A terminal sends Ctrl-C to every process: ``on_interrupt`` says whether this one ends by it, or leaves it to the
    first one (SIG_DFL, SIG_IGN).
    """
    signal.signal(signal.SIGINT, on_interrupt)
    first = parent_process()
    assert first is not None
    Thread(target=_end_after, args=(first.sentinel,), daemon=True).start()


def _end_after(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)
