"""How long a model takes, to be told beside what it finds."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from statistics import median
from typing import Any

import torch
from torch import nn

__all__ = ["Stopwatch"]


class Stopwatch:
    """Milliseconds of named pieces of work on a device."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._times: dict[str, list[float]] = defaultdict(list)

    @contextmanager
    def measure(self, name: str, *, parts: int = 1) -> Iterator[None]:
        """Of each of ``parts`` equal pieces; waits for what the device still has to do."""
        begin = time.perf_counter()
        yield
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self._times[name].append((time.perf_counter() - begin) * 1000 / parts)

    @contextmanager
    def measure_calls(self, module: nn.Module, name: str) -> Iterator[None]:
        """Of each call of a part of the model within the block; for work that is begun by others."""
        running: list[AbstractContextManager[None]] = []

        def begin(*_: Any) -> None:
            running.append(self.measure(name))
            running[-1].__enter__()

        def end(*_: Any) -> None:
            running.pop().__exit__(None, None, None)

        hooks = module.register_forward_pre_hook(begin), module.register_forward_hook(end)
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def medians(self) -> dict[str, float]:
        """Of what was done, by name."""
        return {name: median(times) for name, times in self._times.items()}
