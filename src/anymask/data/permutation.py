"""A shuffled order of any length that is computed, not stored: the n-th of eleven million is as cheap as the first."""

from __future__ import annotations

import hashlib

__all__ = ["Permutation"]

ROUNDS = 6
_WORD = (1 << 64) - 1


class Permutation:
    """A bijection of 0 … length - 1 that depends on its seed alone: a Feistel network, walked until it is in range.

    Luby and Rackoff (1988) for the network, Black and Rogaway (2002) for the walk. The two halves of a number have as
    many bits; fewer than four steps are needed on average, since the halves hold less than four times the length.

    >>> sorted(Permutation(5, "any", "seed")[place] for place in range(5))
    [0, 1, 2, 3, 4]
    """

    def __init__(self, length: int, *seed: object) -> None:
        self.length = length
        self._bits = max(1, ((length - 1).bit_length() + 1) // 2)
        self._low = (1 << self._bits) - 1
        digest = hashlib.sha512(repr(seed).encode()).digest()
        self._keys = [int.from_bytes(digest[8 * turn : 8 * turn + 8]) for turn in range(ROUNDS)]

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, place: int) -> int:
        """The number at a place. Raises IndexError beyond the end."""
        if not 0 <= place < self.length:
            raise IndexError(f"there is no place {place} among {self.length}")
        number = self._mixed(place)
        while number >= self.length:
            number = self._mixed(number)
        return number

    def _mixed(self, number: int) -> int:
        left, right = number >> self._bits, number & self._low
        for key in self._keys:
            left, right = right, left ^ (_scattered(right + key) & self._low)
        return left << self._bits | right


def _scattered(word: int) -> int:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014): every bit of the result depends on every bit given."""
    word &= _WORD
    word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9 & _WORD
    word = (word ^ (word >> 27)) * 0x94D049BB133111EB & _WORD
    return word ^ (word >> 31)
