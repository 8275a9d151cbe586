"""JSON of which one value is another one, missing or there twice, or some bytes are damaged."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

from tests.unit.data.mutations.damage import Case, damaged

VALUES = (
    *("1e999", "-1e999", "1e308", "-1e308", "NaN", "Infinity", "-0.0", "0.5", "48.0", "-1", "0", "1", "true", "null"),
    *("2147483648", "1e9", "9223372036854775807", "18446744073709551616", "1" + "0" * 400, "9" * 5000, "-" + "9" * 30),
    *('""', '"x"', '"48"', '"\\ud800"', '"\\u0000"', '"../../x"', '"/etc/passwd"', '"' + "n" * 5000 + '"', '"manual"'),
    *("[]", "{}", "[[]]", "[[[]]]", "[1, 2]", "[1e9, 1e9]", "[1000000000, 1000000000]", '{"size": 1}', "[null]"),
    *("[" * 500 + "]" * 500, "[" * 100_000, '{"a":' * 600 + "1" + "}" * 600, "[" + "0," * 5000 + "0]"),
    *("[-1000000, -1000000, 1000000, 1000000]", "[0, 0, 10, 5]", "[1e308, 1e308, 1e308, 1e308]", "[9, 9, -9, -9]"),
)


def json_texts(good: Any, seed: int, number: int) -> Iterator[Case]:
    """A value of the tree is another one, is missing or there twice; or bytes are changed."""
    chance = random.Random(seed)
    text = json.dumps(good).encode()
    for turn in range(number):
        if turn % 4 == 3:
            yield Case(f"damage {turn}", damaged(text, chance)[0])
            continue
        tree = json.loads(text)
        path = chance.choice(list(_paths(tree)))
        value = chance.choice(VALUES)
        yield Case(f"{'.'.join(map(str, path))} = {value[:30]}", _with(tree, path, value, doubled=turn % 8 == 0))


def _paths(tree: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        yield (*before, key)
        yield from _paths(value, (*before, key))


def _with(tree: Any, path: tuple[Any, ...], value: str, *, doubled: bool) -> bytes:
    """JSON text, which Python could not write."""
    parent = tree
    for key in path[:-1]:
        parent = parent[key]
    kept = parent[path[-1]]
    parent[path[-1]] = "HERE"
    text = json.dumps(tree)
    if doubled and isinstance(parent, dict):
        value = f'{value}, "{path[-1]}": {json.dumps(kept)}'
    return text.replace('"HERE"', value).encode(errors="surrogatepass")
