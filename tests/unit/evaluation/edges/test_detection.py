from __future__ import annotations

from copy import deepcopy
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from jaxtyping import Float

from anymask.errors import UserError
from anymask.evaluation.edges.detection import Detector
from anymask.evaluation.edges.protocol import Edges
from anymask.evaluation.edges.summary import counted
from anymask.evaluation.stopwatch import Stopwatch
from anymask.geometry import Frame
from anymask.inference.candidates import Candidates
from anymask.inference.edges import EdgeMaps
from anymask.inference.generator import MaskGenerator
from anymask.inference.postprocess import image_logits
from anymask.metrics.boundaries import boundaries_between
from anymask.metrics.thinning import thin
from anymask.models.sam import Sam

SIZE = (192, 256)
WATCH = Stopwatch(torch.device("cpu"))


def photograph() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)


def two_discs() -> np.ndarray:
    """Labels of the photograph: two discs that touch nothing."""
    y, x = np.indices(SIZE)
    return 1 * ((y - 80) ** 2 + (x - 72) ** 2 < 52**2) + 2 * ((y - 112) ** 2 + (x - 188) ** 2 < 40**2)


def candidates(masks: list[np.ndarray], steepness: float) -> Candidates:
    """Masks as a model gives them: logits that rise with the distance from the boundary, four times as coarse."""
    frame = Frame((0, 0, SIZE[1], SIZE[0]), 256)
    distances = [cv2.distanceTransform(m, cv2.DIST_L2, 5) - cv2.distanceTransform(1 - m, cv2.DIST_L2, 5) for m in masks]
    square = np.stack([np.pad(d, ((0, 64), (0, 0)), constant_values=-50) for d in distances])
    coarse = torch.from_numpy(square.reshape(len(masks), 64, 4, 64, 4).mean(axis=(2, 4)) * steepness).float()
    rows = [np.flatnonzero(m.any(axis=1)) for m in masks]
    columns = [np.flatnonzero(m.any(axis=0)) for m in masks]
    boxes = [(c[0] - 1, r[0] - 1, c[-1] + 1, r[-1] + 1) for r, c in zip(rows, columns, strict=True)]
    ones, places = np.ones(len(masks), dtype=np.float32), np.zeros((len(masks), 2))
    return Candidates(
        frame=frame,
        logits=coarse,
        ious=ones,
        stability=ones,
        boxes=np.array(boxes),
        points=places,
        origins=places.astype(np.int64),
    )


def answer(monkeypatch: pytest.MonkeyPatch, *found: Candidates) -> None:
    """Whatever the photograph."""
    monkeypatch.setattr(MaskGenerator, "candidates", lambda *_: [list(found)])


def test_the_edges_of_two_masks_lie_on_their_boundaries(monkeypatch: pytest.MonkeyPatch, sam: Sam) -> None:
    """Each disc comes twice, once doubtful: the map has the stronger edge, and nothing but these two circles."""
    labels = two_discs()
    discs = [(labels == number).astype(np.uint8) for number in (1, 2)]
    sure, doubtful = candidates(discs, 1.0), candidates(discs, 0.2)
    answer(monkeypatch, sure, doubtful)
    edges, masks = Detector(sam, Edges(maps=EdgeMaps(fade=0)), WATCH).detect(photograph())
    assert masks == 4
    truth = thin(boundaries_between(labels))
    counts = counted(edges, [truth], 99)
    assert counts["best_f"] > 0.97
    distance = cv2.distanceTransform((~truth).astype(np.uint8), cv2.DIST_L2, 5)
    assert distance[edges > 0].max() < 2.5  # people and masks differ by a pixel, diagonally
    answer(monkeypatch, sure)
    alone, _ = Detector(sam, Edges(maps=EdgeMaps(fade=0)), WATCH).detect(photograph())
    np.testing.assert_allclose(edges, alone, atol=1e-6)


@pytest.mark.parametrize(("sure", "doubtful", "low", "high"), [(1.0, 0.3, 0.1, 0.6), (20.0, 2.0, 0.4, 0.9)])
def test_of_two_masks_the_surer_has_the_stronger_edge(
    monkeypatch: pytest.MonkeyPatch, sam: Sam, sure: float, doubtful: float, low: float, high: float
) -> None:
    """As probabilities go: from a certain steepness on more of it makes little difference."""
    labels = two_discs()
    first, second = ((labels == number).astype(np.uint8) for number in (1, 2))
    answer(monkeypatch, candidates([first], sure), candidates([second], doubtful))
    edges, _ = Detector(sam, Edges(), WATCH).detect(photograph())
    assert edges[:, :128].max() == 1
    assert low < edges[:, 136:].max() < high


def test_the_map_is_that_of_all_masks_at_full_size(sam: Sam) -> None:
    """Worked out without windows, and with every mask of the grid."""
    own, image = Edges(points_per_side=4, box_nms_thresh=1.0), photograph()
    edges, masks = Detector(sam, own, WATCH).detect(image)
    generator = MaskGenerator(
        sam, points_per_side=4, pred_iou_thresh=-1e9, stability_score_thresh=-1.0, box_nms_thresh=1.0
    )
    (found,) = generator.candidates([image])[0]
    full: Float[np.ndarray, "n h w"] = image_logits(found.logits[:, None], found.frame)[:, 0].numpy()
    parts: list[Any] = [(torch.from_numpy(logits).sigmoid().numpy(), logits > 0, (0, 0)) for logits in full]
    assert masks == len(full) == 48
    whole = EdgeMaps(suppression="none").of(parts, SIZE)
    thick, _ = Detector(
        sam, Edges(points_per_side=4, box_nms_thresh=1.0, maps=EdgeMaps(suppression="none")), WATCH
    ).detect(image)
    np.testing.assert_allclose(thick, whole, atol=1e-4)
    assert ((edges > 0) <= (thick > 0)).all()
    assert edges.dtype == np.float32


def test_a_photograph_without_a_mask_has_no_edge(monkeypatch: pytest.MonkeyPatch, sam: Sam) -> None:
    answer(monkeypatch, candidates([(two_discs() == 1).astype(np.uint8)], 1.0).rows(np.arange(0)))
    edges, masks = Detector(sam, Edges(), WATCH).detect(photograph())
    assert masks == 0
    assert edges.shape == SIZE
    assert not edges.any()


@pytest.mark.parametrize("part", ["image_encoder", "mask_decoder.output_hypernetworks_mlps.1"])
def test_damaged_weights_are_told(sam: Sam, part: str) -> None:
    broken = deepcopy(sam)
    with torch.no_grad():
        next(broken.get_submodule(part).parameters()).fill_(float("nan"))
    with pytest.raises(UserError, match="values that are not finite: its weights are damaged"):
        Detector(broken, Edges(points_per_side=2), WATCH).detect(photograph())
