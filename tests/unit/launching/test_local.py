from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from anymask.launching import local
from anymask.launching.local import run_processes

WAIT = "import time; time.sleep(60)"


def started(program: str) -> list[str]:
    return [sys.executable, "-S", "-c", f"import os, signal, sys\nrank = int(os.environ['RANK'])\n{program}"]


def test_each_is_told_which_it_is(tmp_path: Path) -> None:
    names = "'RANK', 'LOCAL_RANK', 'WORLD_SIZE', 'LOCAL_WORLD_SIZE', 'GROUP_RANK', 'MASTER_ADDR', 'MASTER_PORT'"
    program = f"open(f'{tmp_path}/{{rank}}', 'w').write(' '.join(os.environ[name] for name in ({names})))"
    assert run_processes(3, started(program)) == 0
    told = [(tmp_path / str(rank)).read_text().split() for rank in range(3)]
    port = told[0][-1]
    assert told == [[str(rank), str(rank), "3", "3", "0", "127.0.0.1", port] for rank in range(3)]


def test_the_first_to_fail_ends_the_others(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(local, "GRACE", 0.5)
    begin = time.monotonic()
    assert run_processes(3, started(f"sys.exit('it is wrong') if rank == 1 else None\n{WAIT}")) == 1
    assert time.monotonic() - begin < 20
    assert capfd.readouterr().err == "it is wrong\n"  # it has said so itself


def test_one_that_is_killed_is_named(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(local, "GRACE", 0.5)
    program = f"os.kill(os.getpid(), signal.SIGSEGV) if rank == 2 else None\n{WAIT}"
    assert run_processes(3, started(program)) == 128 + signal.SIGSEGV
    assert capfd.readouterr().err == "error: process 2 was ended by SIGSEGV\n"


def test_the_others_have_time_to_end_by_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "GRACE", 30.0)
    program = f"import time\nsys.exit(3) if rank else time.sleep(1)\nopen('{tmp_path}/ended', 'w')"
    assert run_processes(2, started(program)) == 3
    assert (tmp_path / "ended").exists()


@pytest.mark.parametrize("signum", local.HANDED_ON)
def test_a_signal_is_handed_on_to_each(tmp_path: Path, signum: signal.Signals) -> None:
    program = f"signal.signal({signum}, lambda *_: sys.exit(7))\nopen(f'{tmp_path}/{{rank}}', 'w')\n{WAIT}"
    before = signal.getsignal(signum)

    def send() -> None:
        while len(list(tmp_path.iterdir())) < 2:
            time.sleep(0.01)
        os.kill(os.getpid(), signum)

    threading.Thread(target=send, daemon=True).start()
    assert run_processes(2, started(program)) == 7
    assert signal.getsignal(signum) == before


def test_none_outlives_a_failure_of_the_one_that_started_them(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[subprocess.Popen[bytes]] = []

    def fail(processes: list[subprocess.Popen[bytes]]) -> int:
        begun.extend(processes)
        raise KeyboardInterrupt

    monkeypatch.setattr(local, "_wait", fail)
    with pytest.raises(KeyboardInterrupt):
        run_processes(2, started(WAIT))
    assert [process.returncode for process in begun] == [-signal.SIGKILL] * 2
