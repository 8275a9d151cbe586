"""How far a number would move with other images of the same kind (Efron 1979)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np

__all__ = ["bootstrap_errors"]

T = TypeVar("T")


def bootstrap_errors(
    images: Sequence[T], measure: Callable[[Sequence[T]], Mapping[str, float | None]], *, draws: int, seed: int = 0
) -> dict[str, float | None]:
    """The standard deviation of each metric of ``measure`` over ``draws`` sets of as many images, with repetitions.

    None where fewer than two draws have the metric, and for a single image.
    """
    generator = np.random.default_rng(seed)
    values: dict[str, list[float]] = {}
    for _ in range(draws if len(images) > 1 else 0):
        drawn = measure([images[number] for number in generator.integers(len(images), size=len(images))])
        for name, value in drawn.items():
            values.setdefault(name, []).extend([] if value is None or np.isnan(value) else [value])
    return {name: float(np.std(some, ddof=1)) if len(some) > 1 else None for name, some in values.items()}
