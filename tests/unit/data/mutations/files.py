"""Whole files for evaluation: ground truth in COCO's form and a detector's boxes, of which a part is hostile."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import chain
from typing import Any

from tests.unit.data.mutations.damage import Case
from tests.unit.data.mutations.good import entry_of, instances
from tests.unit.data.mutations.json_texts import json_texts
from tests.unit.data.mutations.masks import HARMLESS_POLYGONS, POLYGONS, run_lengths

_TRIANGLES = [[5.5, 4, 40, 6, 30, 40.25], [1, 1, 4, 1, 4, 4]]


def ground_truths(seed: int, number: int) -> Iterator[Case]:
    """Half of them hostile anywhere, the others in the first of their masks."""
    polygons = [
        *(Case(name, json.dumps(corners).encode(), refused=True) for name, corners in POLYGONS.items()),
        *(Case(name, json.dumps(corners).encode()) for name, corners in HARMLESS_POLYGONS.items()),
    ]
    each = (number - len(polygons)) // 4
    yield from json_texts(instances(), seed, number - len(polygons) - 2 * each)
    before, after = json.dumps(instances("HERE")).encode().split(b'"HERE"')
    for case in chain(polygons, json_texts(_TRIANGLES, seed, each), run_lengths(seed, each)):
        yield Case(f"mask: {case.name}", before + case.data + after, case.refused)


def detections(seed: int, number: int) -> Iterator[Case]:
    """Two boxes, the second with a mask."""
    found: list[dict[str, Any]] = [
        {"image_id": 7, "category_id": 3, "score": 0.5, "bbox": [1.5, 2, 30, 20]},
        {"image_id": 7, "category_id": 3, "score": 1, "segmentation": entry_of(0)["segmentation"]},
    ]
    yield from json_texts(found, seed, number)
