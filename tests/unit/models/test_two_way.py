from __future__ import annotations

import pytest
import torch
from torch import Tensor

from anymask.models.two_way import Attention, TwoWayTransformer

DIM, HEADS, PLACES = 32, 4, 9  # attention in half of 32 channels: below 4 tokens the projections are absorbed
FEW, MANY = 3, 6


def _random(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _attention() -> Attention:
    torch.manual_seed(0)
    attention = Attention(DIM, HEADS, downsample=2, is_cross=True)
    for parameter in attention.parameters():
        torch.nn.init.normal_(parameter, std=0.3)  # biases too
    return attention


def _usual(attention: Attention, q: Tensor, k: Tensor, v: Tensor, present: Tensor | None = None) -> Tensor:
    """Multi-head attention head by head, everything projected first."""
    heads = []
    q, k, v = attention.q_proj(q), attention.k_proj(k), attention.v_proj(v)
    for head in range(HEADS):
        part = slice(head * 4, head * 4 + 4)
        scores = q[..., part] @ k[..., part].transpose(1, 2) / 4**0.5
        if present is not None:
            scores = scores + torch.where(present, 0.0, -1e9)[:, None]
        heads.append(scores.softmax(dim=-1) @ v[..., part])
    merged: Tensor = attention.out_proj(torch.cat(heads, dim=-1))
    return merged


def _gradients(attention: Attention, output: Tensor) -> dict[str, Tensor]:
    gradients = torch.autograd.grad(output, list(attention.parameters()), _random(9, *output.shape))
    return dict(zip(dict(attention.named_parameters()), gradients, strict=True))


@pytest.mark.parametrize("tokens", [FEW, MANY])
def test_tokens_ask_the_image_as_usual(tokens: int) -> None:
    attention, x, image, values = _attention(), _random(1, 2, tokens, DIM), *_random(2, 2, 2, PLACES, DIM)
    answer, usual = attention.tokens_to_image(x, image, values), _usual(attention, x, image, values)
    torch.testing.assert_close(answer, usual)
    torch.testing.assert_close(_gradients(attention, answer), _gradients(attention, usual), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("tokens", [FEW, MANY])
def test_the_image_asks_the_tokens_as_usual(tokens: int) -> None:
    attention, image, x, values = _attention(), _random(1, 2, PLACES, DIM), *_random(2, 2, 2, tokens, DIM)
    answer, usual = attention.image_to_tokens(image, x, values, None, None), _usual(attention, image, x, values)
    torch.testing.assert_close(answer, usual)
    torch.testing.assert_close(_gradients(attention, answer), _gradients(attention, usual), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("tokens", [FEW, MANY])
@pytest.mark.parametrize("images", [1, 2])
def test_images_shared_by_prompts_are_as_copies(tokens: int, images: int) -> None:
    attention, x, image = _attention(), _random(1, 3, tokens, DIM), _random(2, images, PLACES, DIM)
    of = torch.tensor([0, images - 1, 0])
    torch.testing.assert_close(
        attention.tokens_to_image(x, image, image, of), _usual(attention, x, image[of], image[of])
    )
    torch.testing.assert_close(attention.image_to_tokens(image, x, x, of, None), _usual(attention, image[of], x, x))


@pytest.mark.parametrize("tokens", [FEW, MANY])
def test_absent_tokens_are_seen_by_nobody(tokens: int) -> None:
    attention, x, image = _attention(), _random(1, 2, tokens, DIM), _random(2, 2, PLACES, DIM)
    present = torch.ones(2, tokens, dtype=torch.bool)
    present[0, -1] = False
    usual = _usual(attention, image, x, x, present)
    torch.testing.assert_close(attention.image_to_tokens(image, x, x, None, present), usual)


def test_between_prompt_and_image_queries_and_keys_start_equal() -> None:
    cross, own = (Attention(DIM, HEADS, downsample=2, is_cross=is_cross) for is_cross in (True, False))
    assert torch.equal(cross.q_proj.weight, cross.k_proj.weight)
    assert not torch.equal(own.q_proj.weight, own.k_proj.weight)


def _transformer() -> TwoWayTransformer:
    torch.manual_seed(0)
    return TwoWayTransformer(depth=2, dim=DIM, heads=HEADS, mlp_dim=16, dropout=0.0)


@pytest.mark.parametrize("shared", [True, False])
def test_absent_tokens_change_nothing(shared: bool) -> None:
    transformer, positions = _transformer(), _random(3, PLACES, DIM)
    tokens, image, of = _random(1, 2, FEW, DIM), _random(2, 2, PLACES, DIM), torch.tensor([1, 0])
    shared_by = of if shared else None
    plain = transformer(tokens, image, positions, shared_by, None)
    longer = torch.cat([tokens, 100 * _random(4, 2, 2, DIM)], dim=1)
    present = torch.tensor([[True] * FEW + [False] * 2] * 2)
    out_tokens, out_image = transformer(longer, image, positions, shared_by, present)
    torch.testing.assert_close((out_tokens[:, :FEW], out_image), plain, rtol=1e-4, atol=1e-5)


def test_the_answer_is_the_same_with_and_without_gradients_and_in_training() -> None:
    transformer, positions = _transformer(), _random(3, PLACES, DIM)
    inputs = _random(1, 2, FEW, DIM), _random(2, 1, PLACES, DIM), positions, torch.tensor([0, 0]), None
    expected = transformer.train()(*inputs)
    torch.testing.assert_close(transformer.eval()(*inputs), expected)
    with torch.no_grad():
        torch.testing.assert_close(transformer(*inputs), expected)
