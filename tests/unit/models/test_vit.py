from __future__ import annotations

import pytest
import torch
from torch import Tensor

from anymask.models.vit import DropPath, ImageEncoder, LayerNorm2d


def _random(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_drop_path_only_in_training_and_by_its_rate() -> None:
    drop, branch = DropPath(0.25), torch.ones(20_000, 1, 2)
    assert torch.equal(drop.eval()(branch), branch)
    torch.manual_seed(0)
    dropped = drop.train()(branch)
    assert torch.equal(dropped.unique(), torch.tensor([0.0, 1 / 0.75]))
    assert torch.equal(dropped[..., 0], dropped[..., 1])  # an image's branch goes or stays as a whole
    assert (dropped == 0).float().mean().item() == pytest.approx(0.25, abs=0.01)
    assert dropped.mean().item() == pytest.approx(1.0, abs=0.02)


def _encoder(**options: float | bool) -> ImageEncoder:
    torch.manual_seed(0)
    encoder = ImageEncoder(
        image_size=32,
        patch_size=8,
        width=8,
        depth=3,
        heads=2,
        global_blocks=(1,),
        window=3,
        embedding_dim=4,
        **options,  # type: ignore[arg-type]
    )
    for name, table in encoder.named_parameters():
        if "rel_pos" in name:
            torch.nn.init.normal_(table, std=0.5)
    return encoder


def test_drop_path_grows_from_block_to_block() -> None:
    rates = [block.drop_path.rate for block in _encoder(drop_path=0.4).blocks]  # type: ignore[union-attr]
    assert rates == [0.0, 0.2, 0.4]


def test_the_encoder_with_and_without_gradients() -> None:
    encoder, images = _encoder().eval(), _random(1, 2, 3, 32, 32)
    embedding = encoder(images)
    assert embedding.shape == (2, 4, 4, 4)
    with torch.no_grad():
        torch.testing.assert_close(encoder(images), embedding, rtol=1e-4, atol=1e-5)


def test_activation_checkpointing_changes_no_gradient() -> None:
    images, upstream = _random(1, 8, 3, 32, 32), _random(2, 8, 4, 4, 4)
    gradients: list[list[Tensor | None]] = []
    for checkpoint in (False, True):
        encoder = _encoder(drop_path=0.3, checkpoint_activations=checkpoint).train()
        torch.manual_seed(3)  # the same branches are dropped, again when they are worked out a second time
        encoder(images).backward(upstream)
        gradients.append([p.grad for p in encoder.parameters()])
    for plain, recomputed in zip(*gradients, strict=True):
        assert plain is not None
        assert plain.abs().sum() > 0
        assert recomputed is not None
        assert torch.equal(plain, recomputed)


def test_layer_norm_is_over_channels() -> None:
    x = torch.tensor([1.0, 3.0]).view(1, 2, 1, 1).expand(1, 2, 2, 2)
    torch.testing.assert_close(LayerNorm2d(2)(x), torch.tensor([-1.0, 1.0]).view(1, 2, 1, 1).expand(1, 2, 2, 2))
