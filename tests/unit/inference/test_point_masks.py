from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from anymask.inference import point_masks as module
from anymask.inference.point_masks import PointMasks, point_masks
from anymask.models.sam import AMBIGUOUS, SINGLE, Sam
from anymask.structures import Decoded, Label, Prompts
from tests.parity.lively import lively

NUMBER = 11


@pytest.fixture(scope="module")
def sam() -> Sam:
    return lively(passing=0.4).requires_grad_(False)


@pytest.fixture(scope="module")
def embedding(sam: Sam) -> Tensor:
    image = torch.randint(0, 256, (1, 3, 128, 128), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return sam.encode(image, torch.tensor([[96, 128]]))


@pytest.fixture(scope="module")
def points() -> Tensor:
    return torch.rand(NUMBER, 2, generator=torch.Generator().manual_seed(1)) * 96


def decoded(sam: Sam, embedding: Tensor, points: Tensor, outputs: slice = AMBIGUOUS) -> Decoded:
    prompts = Prompts(
        image_index=torch.zeros(len(points), dtype=torch.int64),
        points=torch.stack([points, torch.zeros_like(points)], dim=1),
        labels=torch.tensor([[Label.FOREGROUND, Label.PADDING]] * len(points)),
    )
    return sam.decode(embedding, prompts, outputs=outputs)


def joined(steps: list[PointMasks]) -> tuple[Tensor, Tensor, Tensor]:
    point, logits, ious = (torch.cat([getattr(step, name) for step in steps]) for name in ("point", "logits", "ious"))
    return point, logits, ious


def assert_close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("outputs", [AMBIGUOUS, SINGLE])
@pytest.mark.parametrize("step", [1, 4, 64])
def test_masks_are_those_of_the_model(sam: Sam, embedding: Tensor, points: Tensor, step: int, outputs: slice) -> None:
    expected = decoded(sam, embedding, points, outputs)
    steps = list(point_masks(sam, embedding, points, outputs=outputs, step=step))
    point, logits, ious = joined(steps)
    assert len(steps) == -(-NUMBER // step)
    assert point.tolist() == [row for row in range(NUMBER) for _ in range(expected.ious.shape[1])]
    output = torch.cat([each.output for each in steps])
    assert output.tolist() == list(range(expected.ious.shape[1])) * NUMBER
    assert_close(logits, expected.logits.flatten(0, 1))
    assert_close(ious, expected.ious.flatten())


def test_only_masks_with_a_high_estimate_come_in_order(sam: Sam, embedding: Tensor, points: Tensor) -> None:
    expected = decoded(sam, embedding, points)
    passes = expected.ious > 0.88
    assert 5 <= passes.sum() <= 25
    point, logits, ious = joined(list(point_masks(sam, embedding, points, min_iou=0.88, step=4)))
    assert point.tolist() == passes.nonzero()[:, 0].tolist()
    steps = point_masks(sam, embedding, points, min_iou=0.88, step=4)
    assert torch.cat([each.output for each in steps]).tolist() == passes.nonzero()[:, 1].tolist()
    assert_close(logits, expected.logits[passes])
    assert_close(ious, expected.ious[passes])


def test_no_mask_passes(sam: Sam, embedding: Tensor, points: Tensor) -> None:
    assert list(point_masks(sam, embedding, points, min_iou=99.0)) == []


def test_the_image_is_worked_on_once_and_masks_only_where_one_passes(
    sam: Sam, embedding: Tensor, points: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    best = decoded(sam, embedding, points).ious.amax(dim=1).sort().values
    threshold = float(best[4:6].mean())  # five points have no mask above
    calls: dict[str, list[int]] = {"share": [], "logits": []}

    def count(name: str) -> Callable[..., Any]:
        original = getattr(sam.mask_decoder, name)

        def counting(first: Tensor, *others: Any) -> Any:
            calls[name].append(len(first))
            return original(first, *others)

        return counting

    for name in calls:
        monkeypatch.setattr(sam.mask_decoder, name, count(name))
    found = list(point_masks(sam, embedding, points, min_iou=threshold, step=1))
    assert calls["share"] == [1]
    assert calls["logits"] == [1] * len(found)
    assert len(found) == NUMBER - 5


def test_a_step_fits_the_cache(sam: Sam, embedding: Tensor, points: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CACHE_BYTES", 3 * embedding.numel() * 4)
    assert [len(step.point) // 3 for step in point_masks(sam, embedding, points)] == [3, 3, 3, 2]
