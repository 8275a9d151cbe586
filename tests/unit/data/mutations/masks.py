"""Run lengths and polygons that are damaged at random, or on purpose: sums that overflow, sizes that no memory has."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

from tests.unit.data.mutations.damage import Case, damaged
from tests.unit.data.mutations.good import HEIGHT, WIDTH, entry_of


def code_of(counts: list[int]) -> str:
    """COCO's compressed form, from its description: digits of 5 bits, from the fourth on as differences."""
    return "".join(_digits(n - (counts[i - 2] if i > 2 else 0)) for i, n in enumerate(counts))


def _digits(number: int) -> str:
    digits = ""
    while True:
        low, number = number & 31, number >> 5
        is_last = number == (-1 if low & 16 else 0)
        digits += chr(48 + (low if is_last else low | 32))
        if is_last:
            return digits


def overflowing(pixels: int) -> list[int]:
    """None is below 0, and their sum is 2^64 more than it should be."""
    step, target = 2**38, 2**64 + pixels
    number = next(k for k in range(12_000, 0, -1) if step * k * (k - 1) // 2 <= target)
    each, rest = divmod(target - step * number * (number - 1) // 2, number)
    inside = [step * k + each + (k >= number - rest) for k in range(number)]
    return [count for run in inside for count in (0, run)]


PIXELS = HEIGHT * WIDTH
ODD_MASKS: dict[str, Any] = {
    "counts that overflow": lambda: code_of(overflowing(PIXELS)),
    "five million runs of nothing": lambda: "0" * 5_000_000 + code_of([PIXELS]),
    "a count of nine digits": lambda: "PPPPPPPP0",
    "a count of a thousand digits": lambda: "P" * 1000 + "0",
    "a count below zero": lambda: code_of([-1, PIXELS + 1]),
    "one pixel too many": lambda: code_of([0, PIXELS + 1]),
    "no count": lambda: "",
    "an end within a count": lambda: "P",
    "letters that are no digits": lambda: "ÿ€\u0000😀",
    "blanks": lambda: " " * 50,
    "numbers of 10^18": lambda: [10**18],
    "numbers of 10^30": lambda: [10**30, PIXELS],
    "numbers below zero": lambda: [-1, PIXELS + 1],
    "numbers with a point": lambda: [0.5, PIXELS - 0.5],
    "numbers in numbers": lambda: [[PIXELS]],
    "a dictionary": lambda: {"0": PIXELS},
    "a truth": lambda: True,
}
ODD_SIZES: tuple[Any, ...] = (
    [10**9, 10**9],
    [WIDTH, HEIGHT],
    [HEIGHT],
    [],
    None,
    "48",
    [HEIGHT, -WIDTH],
    [2**40, 2**24],
    [0, 0],
    [HEIGHT, "x"],
)


def run_lengths(seed: int, number: int) -> Iterator[Case]:
    """Segmentations as JSON."""
    chance = random.Random(seed)
    good = entry_of(0)["segmentation"]
    for name, counts in ODD_MASKS.items():
        yield Case(name, json.dumps({**good, "counts": counts()}).encode(), refused=True)
    yield Case("five million numbers of nothing", json.dumps({**good, "counts": [0] * 5_000_000 + [PIXELS]}).encode())
    for size in ODD_SIZES:
        yield Case(f"size {size}", json.dumps({**good, "size": size}).encode(), refused=True)
    for turn in range(number - len(ODD_MASKS) - 1 - len(ODD_SIZES)):
        code, _ = damaged(good["counts"].encode(), chance)
        for _ in range(turn % 3):
            code = damaged(code, chance)[0] if code else code
        yield Case(f"damage {turn}", json.dumps({**good, "counts": code.decode("latin-1")}).encode())


POLYGONS: dict[str, Any] = {
    "a zigzag over two million pixels": [[-1e6, -1e6, 1e6, 1e6] * 200],
    "a thousand large triangles": [[-1e6, -1e6, 1e6, -1e6, 1e6, 1e6]] * 1000,
    "a corner at 10^300": [[0, 0, 1e300, 0, 9, 9]],
    "half a corner": [[0, 0, 9, 0, 9, 9, 4]],
}
HARMLESS_POLYGONS: dict[str, Any] = {
    "no corner": [[]],
    "no polygon": [],
    "one corner, often": [[3, 3] * 5000],
    "outside": [[-90, -90, -80, -90, -80, -80]],
    "far outside": [[90_000, 90_000, 80_000, 90_000, 80_000, 80_000]],
}
