from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.io import savemat

from anymask.data.edge_sets import EdgeSet, open_edge_set
from anymask.metrics.boundaries import boundaries_between

SIZE = (144, 192)


def _scene(number: int) -> np.ndarray:
    """Labels: a rectangle and a disc on the ground, at places of the scene's own."""
    y, x = np.indices(SIZE)
    labels = np.zeros(SIZE, dtype=np.int64)
    labels[24 : 84 + number, 18:78] = 1
    labels[(y - 90) ** 2 + (x - 138 + number) ** 2 < 900] = 2
    return labels


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three photographs in BSDS500's layout: 0 and 1 with two annotators of whom one drew less, 2 is broken."""
    for name in ("images", "groundTruth"):
        (tmp_path / "set" / name).mkdir(parents=True)
    colours = np.array([(90, 90, 90), (200, 30, 30), (30, 30, 200)], dtype=np.uint8)
    for number in range(3):
        labels = _scene(number)
        cells = np.empty((1, 2), dtype=object)
        for place, drawn in enumerate((labels, np.minimum(labels, 1))):
            cells[0, place] = {"Boundaries": boundaries_between(drawn).astype(np.uint8)}
        savemat(tmp_path / f"set/groundTruth/{number}.mat", {"groundTruth": cells})
        cv2.imwrite(str(tmp_path / f"set/images/{number}.png"), colours[labels])
    (tmp_path / "set/images/2.png").write_bytes(b"no photograph")
    return tmp_path / "set"


@pytest.fixture
def data(folder: Path) -> EdgeSet:
    return open_edge_set(str(folder))
