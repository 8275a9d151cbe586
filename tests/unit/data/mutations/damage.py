"""Any bytes, damaged by chance."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from tests.unit.data.mutations.good import HEIGHT, WIDTH

EXTREME = (0, 1, 0x7F, 0x80, 0xFF)
Make = Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class Case:
    """A hostile file."""

    name: str
    data: bytes
    refused: bool = False  # whether nothing may be made of it
    size: tuple[int, int] = (HEIGHT, WIDTH)  # of a photograph: what its annotation says


def damaged(data: bytes, chance: random.Random, begin: int = 0) -> tuple[bytes, int]:
    """Changed at random behind ``begin``, and the first byte that is not what it was."""
    at = chance.randrange(begin, len(data))
    longer = min(len(data), at + chance.choice((1, 2, 4, 100)))
    changed = [
        data[:at],
        data[:at] + bytes([data[at] ^ (1 << chance.randrange(8))]) + data[at + 1 :],
        data[:at] + bytes([chance.choice(EXTREME)]) * (longer - at) + data[longer:],
        data[:at] + data[longer:],
        data[:at] + data[at:longer] * 3 + data[longer:],
        data[:at] + chance.randbytes(longer - at) + data[longer:],
    ]
    return chance.choice(changed), at
