"""Several processes on this machine, as torchrun would start them, for tests: warm ones, which know torch already."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import socket
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

__all__ = ["in_processes"]

GRACE = 5.0
"""Seconds that the others have after one has failed."""

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["anymask.training.run"])


def in_processes(world: int, function: Callable[..., Any], *arguments: Any, timeout: float = 120) -> list[Any]:
    """What each process returns, by rank. ``function`` is one of a module's; raises what the first failure told."""
    port = _free_port()
    pipes = [_context.Pipe(duplex=False) for _ in range(world)]
    processes = [
        _context.Process(target=_run, args=(rank, world, port, pipes[rank][1], function, arguments))
        for rank in range(world)
    ]
    for process in processes:
        process.start()
    for _, given in pipes:
        given.close()
    try:
        return _results([reading for reading, _ in pipes], timeout)
    finally:
        for process in processes:
            process.kill()
            process.join()


def _results(pipes: list[Connection], timeout: float) -> list[Any]:
    results: dict[int, Any] = {}
    failed = ""
    deadline = time.monotonic() + timeout
    while len(results) < len(pipes) and time.monotonic() < deadline:
        for rank, pipe in enumerate(pipes):
            if rank in results or not pipe.poll(0.02):
                continue
            try:
                worked, results[rank] = pickle.loads(pipe.recv_bytes())
            except EOFError:
                worked, results[rank] = False, "it ended without a word"
            if not worked and not failed:
                failed, deadline = f"rank {rank}: {results[rank]}", time.monotonic() + GRACE
    assert not failed, failed
    assert len(results) == len(pipes), f"only the ranks {sorted(results)} came to an end within {timeout} s"
    return [results[rank] for rank in range(len(pipes))]


def _run(
    rank: int, world: int, port: int, pipe: Connection, function: Callable[..., Any], arguments: tuple[Any, ...]
) -> None:
    import torch

    multiprocessing.set_start_method("fork", force=True)  # else the loader's workers would be forkserver's too
    torch.set_num_threads(1)
    os.environ |= torchrun_variables(rank, world, port)
    try:
        told = pickle.dumps((True, function(*arguments)))  # by value: tensors would be sent as memory that ends with us
    except BaseException:  # whatever it is, the test is told
        told = pickle.dumps((False, traceback.format_exc()))
    pipe.send_bytes(told)
    pipe.close()
    os._exit(0)  # gloo's threads may still be running


def torchrun_variables(rank: int, world: int, port: int) -> dict[str, str]:
    """Of one machine."""
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(world),
        "LOCAL_WORLD_SIZE": str(world),
        "GROUP_RANK": "0",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])
