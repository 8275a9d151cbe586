from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from anymask.models.mask_decoder import MaskDecoder, Upscaling

DIM, GRID, PROMPTS = 32, 3, 3


def _random(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _decoder() -> MaskDecoder:
    torch.manual_seed(0)
    return MaskDecoder(dim=DIM, depth=2, heads=1, mlp_dim=16, iou_dim=8, dropout=0.0)


def _ask(
    decoder: MaskDecoder, sparse: Tensor, present: Tensor | None = None, outputs: slice = slice(0, 4)
) -> tuple[Tensor, Tensor]:
    image, positions, dense = _random(1, 2, GRID**2, DIM), _random(2, GRID**2, DIM), _random(3, 1, 1, DIM)
    logits, ious = decoder(image, positions, sparse, dense, torch.tensor([0, 1, 1]), present, outputs)
    return logits, ious


def test_upscaling_is_two_transposed_convolutions_and_a_product() -> None:
    torch.manual_seed(0)
    upscaling, tokens, weights = Upscaling(DIM), _random(1, PROMPTS, GRID**2, DIM), _random(2, PROMPTS, 4, DIM // 8)
    upscaled = nn.Sequential(*upscaling)(tokens.transpose(1, 2).reshape(PROMPTS, DIM, GRID, GRID))
    expected = torch.einsum("nmc,nchw->nmhw", weights, upscaled)
    torch.testing.assert_close(upscaling(tokens, weights), expected)


@pytest.mark.parametrize("outputs", [slice(0, 1), slice(1, 4)])
def test_some_outputs_are_those_of_all(outputs: slice) -> None:
    decoder, sparse = _decoder(), _random(4, PROMPTS, 2, DIM)
    logits, ious = _ask(decoder, sparse)
    some_logits, some_ious = _ask(decoder, sparse, outputs=outputs)
    torch.testing.assert_close(some_logits, logits[:, outputs])
    torch.testing.assert_close(some_ious, ious[:, outputs])


def test_absent_points_change_neither_outputs_nor_gradients() -> None:
    decoder, sparse = _decoder(), _random(4, PROMPTS, 2, DIM)
    present = torch.tensor([[True, True, False, False]] * PROMPTS)
    longer = torch.cat([sparse, 50 * _random(5, PROMPTS, 2, DIM)], dim=1)
    answers = [_ask(decoder, sparse), _ask(decoder, longer, present)]
    torch.testing.assert_close(*answers, rtol=1e-4, atol=1e-5)
    gradients = [
        torch.autograd.grad((logits.sum(), ious.sum()), list(decoder.parameters())) for logits, ious in answers
    ]
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-3)


def test_ragged_prompts_are_as_each_by_itself() -> None:
    decoder, sparse = _decoder(), _random(4, PROMPTS, 3, DIM)
    present = torch.tensor([[True, False, False], [True, True, False], [True, True, True]])
    logits, ious = _ask(decoder, sparse, present)
    for row, points in enumerate((1, 2, 3)):
        alone_logits, alone_ious = _ask(decoder, sparse[:, :points])
        torch.testing.assert_close(logits[row], alone_logits[row], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(ious[row], alone_ious[row], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("images", [1, 2])
def test_the_image_worked_on_before_gives_the_same(images: int) -> None:
    decoder, sparse, positions = _decoder(), _random(4, PROMPTS, 2, DIM), _random(2, GRID**2, DIM)
    image, dense = _random(1, images, GRID**2, DIM), _random(3, 1, 1, DIM)
    image_index = torch.tensor([0, images - 1, images - 1])
    logits, ious = decoder(image, positions, sparse, dense, image_index, None, slice(1, 4))
    shared = decoder.share(image, positions, dense)
    for rows in (slice(0, 1), slice(1, 3)):
        tokens, seen = decoder.attend(shared, positions, sparse[rows], image_index[rows], None)
        torch.testing.assert_close(decoder.ious(tokens, slice(1, 4)), ious[rows], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(decoder.logits(tokens, seen, slice(1, 4)), logits[rows], rtol=1e-4, atol=1e-5)
