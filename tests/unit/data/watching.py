"""One case under watch: what it raises, its memory and its time."""

from __future__ import annotations

import resource
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ADDRESSES = 2 * 2**30
"""Bytes beyond those of the imports: who wants more is refused and told, before the machine has none left."""
SECONDS = 60
"""Until a case is said to hang; the machine may be busy."""


class Hung(BaseException):
    """Not an error that the program could answer."""


@dataclass(slots=True)
class Report:
    """Of one kind."""

    kind: str
    imports: float  # MB that the program has without a case
    cases: int = 0
    refused: int = 0  # cases of which nothing was made
    defects: int = 0  # that were told, by name and reason
    wrong: list[str] = field(default_factory=list)
    heaviest: tuple[float, str] = (0.0, "")  # MB beyond those of the imports
    slowest: tuple[float, str] = (0.0, "")  # seconds of the processor

    def expect(self, fact: object, name: str, otherwise: str) -> None:
        """Of a case."""
        if not fact:
            self.wrong.append(f"{name}: {otherwise}")


@contextmanager
def watched(report: Report, name: str) -> Iterator[None]:
    """What it raises, its memory and its time go to the report."""
    print(ascii(name)[:100], file=sys.stderr, flush=True)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    begin = time.process_time()
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    except Hung:
        report.wrong.append(f"{name}: hangs")
    except Exception as error:
        report.wrong.append(f"{name}: {type(error).__name__}: {str(error)[:200]}")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    report.cases += 1
    report.slowest = max(report.slowest, (time.process_time() - begin, name))
    report.heaviest = max(report.heaviest, (_status("VmHWM") - report.imports, name))


def _status(what: str) -> float:
    """Memory of this process in MB. ``resource`` would know the peak only since the first program of its kind."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{what}:")) / 1024


def limit() -> float:
    """From now on memory is limited, and a case that hangs is told; the memory that is taken already, in MB."""
    signal.signal(signal.SIGALRM, _be_hung)
    most = int(_status("VmSize") * 2**20) + ADDRESSES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    return _status("VmRSS")


def _be_hung(*_: object) -> None:
    raise Hung
