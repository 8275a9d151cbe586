from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from anymask.models import grid_attention
from anymask.models.grid_attention import (
    GridAttention,
    attend_folded,
    attend_in_cache,
    distances,
    from_windows,
    to_windows,
)


def _random(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=25)
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
    by_row, by_column = (distances(table, length) for table, length in zip(tables, grid, strict=True))
    expected = _pairwise(q, k, v, *tables, grid)
    torch.testing.assert_close(attend_folded(q, k, v, by_row, by_column), expected)
    torch.testing.assert_close(attend_in_cache(q, k, v, by_row, by_column), expected)
    monkeypatch.setattr(grid_attention, "_CACHE_BYTES", 3 * 4 * q.shape[2])  # three rows of scores at a time
    torch.testing.assert_close(attend_in_cache(q, k, v, by_row, by_column), expected)


@pytest.mark.parametrize("window", [0, 2, 3, 5])
def test_without_gradients_the_same_comes_out(window: int) -> None:
    torch.manual_seed(0)
    attention, tokens = GridAttention(8, 2, window=window, grid=5), _random(1, 2, 5, 5, 8)
    for parameter in attention.parameters():
        torch.nn.init.normal_(parameter)
    with torch.no_grad():
        window_by_window = attention(tokens)
    torch.testing.assert_close(window_by_window, attention(tokens), rtol=1e-4, atol=1e-4)


def test_windows_see_themselves_and_zeros_beyond_the_edge() -> None:
    torch.manual_seed(0)
    attention = GridAttention(8, 2, window=2, grid=3)
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


@pytest.mark.parametrize("gradients", [True, False])
def test_padding_keeps_the_precision_of_mixed_precision(gradients: bool) -> None:
    """The bias is fp32 under autocast, and used to turn the padded copy of all tokens into fp32."""
    torch.manual_seed(0)
    attention, tokens = GridAttention(8, 2, window=2, grid=3), _random(1, 1, 3, 3, 8)
    for parameter in attention.parameters():
        torch.nn.init.normal_(parameter)
    assert to_windows(tokens.bfloat16(), 2, attention.qkv.bias[:8]).dtype == torch.bfloat16
    exact = attention(tokens)
    with torch.set_grad_enabled(gradients), torch.autocast("cpu", torch.bfloat16):
        mixed = attention(tokens)
    assert mixed.dtype == torch.bfloat16
    assert (mixed.float() - exact).abs().max() < 0.03 * exact.abs().max()
