"""One task for each of many things, by several processes, with a progress bar."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_context
from typing import TypeVar

from rich.console import Console
from rich.progress import Progress

from anymask.data.worker import become_worker

__all__ = ["in_order"]

Thing = TypeVar("Thing")
Result = TypeVar("Result")


def in_order(
    task: Callable[[Thing], Result], things: Sequence[Thing], *, workers: int, about: str
) -> Iterator[tuple[Thing, Result]]:
    """Each thing with what the task makes of it, in their order; what is printed meanwhile goes where it should."""
    with ExitStack() as stack:
        results: Iterator[Result] = map(task, things)
        if workers > 1:
            context = get_context("fork")
            pool = ProcessPoolExecutor(workers, context, become_worker, (signal.SIG_DFL,))
            stack.enter_context(pool)
            results = pool.map(task, things)
        # the bar is on stderr and would take there what is meant for a file or a pipe
        shown = stack.enter_context(Progress(console=Console(stderr=True), redirect_stdout=sys.stdout.isatty()))
        yield from zip(things, shown.track(results, total=len(things), description=about), strict=True)
