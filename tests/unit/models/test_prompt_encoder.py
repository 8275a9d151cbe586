from __future__ import annotations

from typing import cast

import pytest
import torch
from torch import Tensor, nn

from anymask.models.prompt_encoder import FourierFeatures, PromptEncoder
from anymask.structures import Label, Prompts


def _encoder(click_rounds: int = 0) -> PromptEncoder:
    torch.manual_seed(0)
    return PromptEncoder(embedding_dim=8, grid=2, image_size=32, click_rounds=click_rounds)


def _tokens(encoder: PromptEncoder, points: list[tuple[float, float]], labels: list[Label]) -> Tensor:
    return encoder.points(torch.tensor([points], dtype=torch.float32), torch.tensor([labels]))[0]


def test_features_are_sine_and_cosine_of_the_place() -> None:
    features = FourierFeatures(1)
    features.positional_encoding_gaussian_matrix = torch.tensor([[1.0], [0.5]])  # one turn across, half a turn down
    places = torch.tensor([[0.5, 0.5], [0.75, 0.5], [0.625, 0.5], [0.5, 1.0]])
    expected = [[0, 1], [0, -1], [1, 0], [0, -1]]
    torch.testing.assert_close(features(places), torch.tensor(expected).float(), atol=1e-6, rtol=0)


def test_a_pixel_lies_at_its_centre() -> None:
    encoder = _encoder()
    token = _tokens(encoder, [(15.5, 7.5)], [Label.FOREGROUND])[0]
    expected = encoder.pe_layer(torch.tensor([0.5, 0.25])) + cast(nn.Embedding, encoder.point_embeddings[1]).weight[0]
    torch.testing.assert_close(token, expected)


@pytest.mark.parametrize("label", [label for label in Label if label >= 0])
def test_each_kind_of_point_has_its_own_embedding(label: Label) -> None:
    encoder = _encoder()
    token = _tokens(encoder, [(3, 5)], [label])[0]
    place = encoder.pe_layer((torch.tensor([3.0, 5.0]) + 0.5) / 32)
    torch.testing.assert_close(token - place, cast(nn.Embedding, encoder.point_embeddings[label]).weight[0])


def test_a_padding_point_has_no_place() -> None:
    encoder = _encoder()
    tokens = _tokens(encoder, [(3, 5), (20, 1)], [Label.PADDING, Label.PADDING])
    assert torch.equal(tokens, encoder.not_a_point_embed.weight.expand(2, -1))


def test_the_grid_goes_row_by_row() -> None:
    encoder = _encoder()
    places = torch.tensor([[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]])  # (x, y)
    assert torch.equal(encoder.grid_positions(), encoder.pe_layer(places))


def test_a_mask_goes_through_its_convolutions() -> None:
    encoder, masks = _encoder(), torch.randn(3, 8, 8)
    expected = nn.Sequential(*encoder.mask_downscaling)(masks[:, None])
    torch.testing.assert_close(encoder.mask_downscaling(masks), expected.flatten(2).transpose(1, 2))


def test_prompts_without_a_mask_get_the_learned_embedding() -> None:
    encoder, masks = _encoder(), torch.randn(2, 8, 8)
    prompts = Prompts(
        image_index=torch.tensor([0, 0]),
        points=torch.zeros(2, 1, 2),
        labels=torch.ones(2, 1, dtype=torch.int64),
        masks=masks,
        has_mask=torch.tensor([True, False]),
    )
    dense = encoder.dense(prompts)
    assert torch.equal(dense[0], encoder.mask_downscaling(masks)[0])
    assert torch.equal(dense[1], encoder.no_mask_embed.weight.expand(4, -1))


def test_click_rounds_tell_the_order_of_the_points() -> None:
    encoder, plain = _encoder(click_rounds=2), _encoder()
    assert encoder.click_round_embed is not None
    encoder.load_state_dict(plain.state_dict(), strict=False)
    points, labels = [(3.0, 5.0)] * 4, [Label.FOREGROUND] * 4
    added = _tokens(encoder, points, labels) - _tokens(plain, points, labels)
    torch.testing.assert_close(added, encoder.click_round_embed.weight[[0, 1, 1, 1]])  # the last one stays
