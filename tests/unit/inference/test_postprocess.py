from __future__ import annotations

import numpy as np
import pytest
import torch
from jaxtyping import Float
from torch import Tensor
from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil

from anymask.geometry import Frame
from anymask.inference import postprocess
from anymask.inference.postprocess import image_logits, image_masks


def theirs(logits: Float[Tensor, "n m a a"], frame: Frame) -> Float[Tensor, "n m h w"]:
    side = {"height": frame.side, "width": frame.side}
    processor = SamImageProcessorPil(pad_size=side)
    [resized] = processor.post_process_masks([logits], [frame.cropped], [frame.content], binarize=False)
    return resized


@pytest.mark.parametrize("size", [(48, 64), (97, 31), (64, 64), (1, 50), (7, 3)])
def test_logits_come_to_the_image_as_in_transformers(size: tuple[int, int]) -> None:
    logits = torch.randn(3, 2, 16, 16)
    frame = Frame.of(size, 64)
    ours = image_logits(logits, frame)
    assert ours.shape == (3, 2, *size)
    torch.testing.assert_close(ours, theirs(logits, frame), rtol=0, atol=0)
    assert torch.equal(image_masks(logits, frame), theirs(logits, frame) > 0)


def test_a_half_plane_stays_where_it_is() -> None:
    """Positive left of a quarter of the model frame; in a wide image that is a quarter of its width."""
    logits = torch.full((1, 1, 16, 16), -1.0)
    logits[..., :4] = 1.0
    mask = image_masks(logits, Frame.of((50, 200), 64))[0, 0].numpy()
    assert np.abs(mask.sum(axis=1) - 50).max() <= 1
    assert mask[:, :45].all()


def test_few_prompts_at_a_time_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    logits = torch.randn(5, 3, 16, 16)
    frame = Frame.of((40, 64), 64)
    whole = image_masks(logits, frame)
    monkeypatch.setattr(postprocess, "WORK_BYTES", 1)
    steps: list[int] = []
    resize = postprocess.image_logits

    def counting(some: Float[Tensor, "n m a a"], frame: Frame) -> Float[Tensor, "n m h w"]:
        steps.append(len(some))
        return resize(some, frame)

    monkeypatch.setattr(postprocess, "image_logits", counting)
    assert torch.equal(image_masks(logits, frame), whole)
    assert steps == [1] * 5
    parts = list(postprocess.image_logits_in_steps(logits, frame))
    assert [part.shape for part in parts] == [(1, 3, 40, 64)] * 5
    torch.testing.assert_close(torch.cat(parts), resize(logits, frame), rtol=0, atol=0)


def test_half_precision_is_resized_in_full() -> None:
    logits = torch.randn(1, 1, 16, 16).half()
    frame = Frame.of((40, 64), 64)
    torch.testing.assert_close(image_logits(logits, frame), image_logits(logits.float(), frame), rtol=0, atol=0)
