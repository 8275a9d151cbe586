"""The maps that a report shows: the best, the middle and the worst, beside their photographs and what people drew."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from anymask.data.edge_sets import EdgeImage
from anymask.drawing import jpeg, tile
from anymask.evaluation.edges.maps import find_map, read_map
from anymask.evaluation.edges.records import Record

__all__ = ["Find", "draw", "extremes", "picture"]

EACH = 3  # best, median and worst images
PANEL = 360  # longest side of each of the three panels, in pixels

Picture = UInt8[np.ndarray, "_ _ 3"]
Find = Callable[[set[tuple[str, str]]], Mapping[tuple[str, str], EdgeImage]]
"""Images by the file's name of their shard, or their folder's name, and their key."""


def extremes(records: Sequence[Record]) -> list[tuple[str, list[Record]]]:
    """Some of the records under headings, by F at the threshold that is best for the image."""
    ranked = sorted(records, key=lambda record: -record["model"]["best_f"])
    each = min(EACH, len(ranked))
    middle = (len(ranked) - each) // 2
    chosen = [ranked[:each], ranked[middle : middle + each], ranked[::-1][:each]]
    return list(zip(("Best", "Median", "Worst"), chosen, strict=True))


def picture(record: Record, image: EdgeImage, folder: Path) -> bytes | None:
    """A JPEG of the photograph, the map that is kept in ``folder``, and what people drew; None without the map."""
    file = find_map(folder, record["image"])
    return None if file is None else jpeg(draw(image, read_map(file)))


def draw(image: EdgeImage, soft: Float[np.ndarray, "h w"]) -> Picture:
    """The three panels side by side; the strongest edge of the map is black."""
    drawn = np.asarray(np.mean(image.boundaries, axis=0), dtype=np.float32)
    shown = np.asarray(np.clip(soft / max(float(soft.max()), 1e-6), 0, 1), dtype=np.float32)
    return tile([[_fitted(image.image), _ink(shown), _ink(drawn)]])


def _ink(values: Float[np.ndarray, "h w"]) -> Picture:
    """From 0, white, to 1, black; lines are made wider, so that they are still there when the panel is smaller."""
    wider = cv2.dilate(values, np.ones((2, 2), np.uint8))
    return _fitted(cv2.cvtColor(np.rint(255 * (1 - wider)).astype(np.uint8), cv2.COLOR_GRAY2RGB))


def _fitted(image: Picture) -> Picture:
    scale = PANEL / max(image.shape[:2])
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR))
