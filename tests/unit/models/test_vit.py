from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from anymask.models import vit
from anymask.models.vit import Attention, DropPath, ImageEncoder, LayerNorm2d, attend, from_windows, to_windows


def _random(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=25, deadline=None)
@given(batch=st.integers(1, 3), height=st.integers(1, 9), width=st.integers(1, 9), window=st.integers(1, 5))
def test_windows_come_back_as_they_were(batch: int, height: int, width: int, window: int) -> None:
    tokens = _random(0, batch, height, width, 2)
    windows = to_windows(tokens, window, torch.zeros(2))
    assert len(windows) == batch * -(-height // window) * -(-width // window)
    assert torch.equal(from_windows(windows, window, (height, width)), tokens)


def test_windows_are_cut_row_by_row_and_filled_at_the_edge() -> None:
    tokens = torch.arange(6.0).view(1, 2, 3, 1)  # 0 1 2 / 3 4 5
    windows = to_windows(tokens, 2, torch.tensor([-1.0]))
    assert windows.squeeze(-1).tolist() == [[[0, 1], [3, 4]], [[2, -1], [5, -1]]]


def _pairwise(q: Tensor, k: Tensor, v: Tensor, rel_h: Tensor, rel_w: Tensor, grid: tuple[int, int]) -> Tensor:
    """Attention pair by pair, with the formula of MViTv2: (q . k) / sqrt(d) + q . R_h[dy] + q . R_w[dx]."""
    height, width = grid
    out = torch.zeros_like(q)
    for window in range(q.shape[0]):
        for head in range(q.shape[1]):
            for i in range(height * width):
                scores = []
                for j in range(height * width):
                    dy, dx = i // width - j // width, i % width - j % width
                    key = k[window, head, j] * q.shape[-1] ** -0.5
                    scores.append(q[window, head, i] @ (key + rel_h[dy + height - 1] + rel_w[dx + width - 1]))
                out[window, head, i] = torch.stack(scores).softmax(0) @ v[window, head]
    return out


@pytest.mark.parametrize("grid", [(3, 3), (2, 4)])
def test_every_way_to_attend_equals_the_formula(grid: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    q, k, v = _random(0, 3, 2, 2, grid[0] * grid[1], 4)
    tables = _random(1, 2 * grid[0] - 1, 4), _random(2, 2 * grid[1] - 1, 4)
    expected = _pairwise(q, k, v, *tables, grid)
    with torch.enable_grad():
        torch.testing.assert_close(attend(q, k, v, *tables, grid), expected)
    with torch.no_grad():
        torch.testing.assert_close(attend(q, k, v, *tables, grid), expected)
        monkeypatch.setattr(vit, "_CACHE_BYTES", 3 * 4 * q.shape[2])  # three rows of scores at a time
        torch.testing.assert_close(attend(q, k, v, *tables, grid), expected)


def test_windows_see_themselves_and_zeros_beyond_the_edge() -> None:
    torch.manual_seed(0)
    attention = Attention(8, 2, window=2, grid=3)
    for parameter in attention.parameters():
        torch.nn.init.normal_(parameter)
    tokens = _random(1, 1, 3, 3, 8)
    padded = F.pad(tokens, (0, 0, 0, 1, 0, 1))
    expected = torch.zeros(1, 4, 4, 8)
    with torch.no_grad():
        for y in (0, 2):
            for x in (0, 2):
                corner = padded[0, y : y + 2, x : x + 2].reshape(4, 8)
                q, k, v = attention.qkv(corner).view(4, 3, 2, 4).permute(1, 2, 0, 3)[:, None]
                seen = _pairwise(q, k, v, attention.rel_pos_h, attention.rel_pos_w, (2, 2))
                expected[0, y : y + 2, x : x + 2] = attention.proj(seen[0].transpose(0, 1).reshape(2, 2, 8))
        torch.testing.assert_close(attention(tokens), expected[:, :3, :3], rtol=1e-4, atol=1e-4)


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
