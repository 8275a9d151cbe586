"""Random numbers of objects: each object has its own, whoever draws them, beside whatever others, on whatever device.

So a batch that is split over eight GPUs is prompted as it would be on one, and there is no state to store.
"""

from __future__ import annotations

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

__all__ = ["Draws"]

AT_ONCE = 64
"""Numbers of an object that are worked out together; a training step of eleven rounds needs about fifty."""
GOLDEN, FIRST, SECOND = (value - 2**64 for value in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
"""Constants of SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators"), signed."""


class Draws:
    """The streams of N objects, told apart by seeds of 63 bits. Every call goes on where the last one ended."""

    def __init__(self, seeds: Int64[Tensor, " n"]) -> None:
        self.seeds = seeds
        self._begin = 0  # numbers that came before those that are left
        self._left = torch.empty(len(seeds), 0, dtype=torch.float64, device=seeds.device)

    def uniform(self, columns: int = 1) -> Float64[Tensor, "n {columns}"]:
        """The next numbers of each object, from 0 up to but not 1."""
        while self._left.shape[1] < columns:
            self._left = torch.cat([self._left, self._next()], dim=1)
        drawn, self._left = self._left[:, :columns], self._left[:, columns:]
        return drawn

    def normal(self, columns: int = 1) -> Float64[Tensor, "n {columns}"]:
        """Of mean 0 and variance 1; in 2^53 draws one is minus infinity."""
        return torch.special.ndtri(self.uniform(columns))

    def _next(self) -> Float64[Tensor, "n k"]:
        numbers = torch.arange(self._begin + 1, self._begin + 1 + AT_ONCE, device=self.seeds.device)
        self._begin += AT_ONCE
        mixed = self.seeds[:, None] + numbers * GOLDEN  # overflows, as it should
        mixed = (mixed ^ _shifted(mixed, 30)) * FIRST
        mixed = (mixed ^ _shifted(mixed, 27)) * SECOND
        return _shifted(mixed ^ _shifted(mixed, 31), 11).double() * 2.0**-53


def _shifted(values: Int64[Tensor, "n k"], bits: int) -> Int64[Tensor, "n k"]:
    """To the right, filled with zeros; torch fills with the sign."""
    return (values >> bits) & (2 ** (64 - bits) - 1)
