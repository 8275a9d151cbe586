"""Self-attention over a grid of tokens, global or in windows, with the relative positions of MViTv2 (Li et al. 2022).

What is unusual:

* Windows that reach over the edge of the grid are padded after the projection to queries, keys and values, not before:
  a padding token is zero, so that its projection is the bias. On a 64 x 64 grid one projection in six is saved.
* With gradients or on an accelerator the relative positions are folded into the queries and keys as further channels,
  so that ``scaled_dot_product_attention`` needs no bias matrix, and all windows go in one call.
* Without gradients on a CPU, where fresh memory costs more than arithmetic, one window is worked on at a time, and of a
  large one a few rows of queries: the scores stay in one small buffer that the cache holds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["GridAttention"]

Tokens = Float[Tensor, "b h w c"]
Projected = Float[Tensor, "b h w three_c"]  # queries, keys and values
Heads = Float[Tensor, "k heads l d"]  # of k windows


class GridAttention(nn.Module):
    """``window`` 0 attends globally, over ``grid`` x ``grid`` tokens. Parameters carry the official names."""

    def __init__(self, width: int, heads: int, *, window: int, grid: int) -> None:
        super().__init__()
        self.heads = heads
        self.window = window
        reach = window or grid
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.rel_pos_h = nn.Parameter(torch.zeros(2 * reach - 1, width // heads))
        self.rel_pos_w = nn.Parameter(torch.zeros(2 * reach - 1, width // heads))

    def forward(self, tokens: Tokens) -> Tokens:
        side = self.window or tokens.shape[1]
        by_row, by_column = distances(self.rel_pos_h, side), distances(self.rel_pos_w, side)
        qkv = self.qkv(tokens)
        if tokens.device.type == "cpu" and not torch.is_grad_enabled():
            attended = self._window_by_window(qkv, by_row, by_column)
        else:
            attended = self._windows(attend_folded, qkv, by_row, by_column)
        return cast(Tensor, self.proj(attended))

    def _window_by_window(self, qkv: Projected, by_row: Tensor, by_column: Tensor) -> Tokens:
        _, height, width, channels = qkv.shape
        side = self.window or height
        attended = qkv.new_empty(*qkv.shape[:3], channels // 3)
        for top in range(0, height, side):
            for left in range(0, width, side):
                window = slice(None), slice(top, top + side), slice(left, left + side)
                attended[window] = self._windows(attend_in_cache, qkv[window], by_row, by_column)
        return attended

    def _windows(self, attend: Callable[..., Tensor], qkv: Projected, by_row: Tensor, by_column: Tensor) -> Tokens:
        height, width = qkv.shape[1:3]
        side = self.window or height
        windows = to_windows(qkv, side, self.qkv.bias)
        q, k, v = windows.reshape(len(windows), side * side, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        attended = attend(q, k, v, by_row, by_column).transpose(1, 2).reshape(len(windows), side, side, -1)
        return from_windows(attended, side, (height, width))


def to_windows(tokens: Tokens, window: int, padding: Float[Tensor, " c"]) -> Float[Tensor, "k v v c"]:
    """Cut into windows, row by row; where the last ones reach over the edge they are filled with ``padding``."""
    batch, height, width, channels = tokens.shape
    down, right = -height % window, -width % window
    if down or right:
        padded = padding.to(tokens.dtype).expand(batch, height + down, width + right, channels).clone()
        padded[:, :height, :width] = tokens
        tokens = padded
    cut = tokens.view(batch, (height + down) // window, window, (width + right) // window, window, channels)
    return cut.transpose(2, 3).reshape(-1, window, window, channels)


def from_windows(windows: Float[Tensor, "k v v c"], window: int, size: tuple[int, int]) -> Tokens:
    """The inverse of ``to_windows``; the padding is dropped."""
    height, width = size
    rows, columns = -(-height // window), -(-width // window)
    cut = windows.view(-1, rows, columns, window, window, windows.shape[-1])
    return cut.transpose(2, 3).reshape(-1, rows * window, columns * window, windows.shape[-1])[:, :height, :width]


def distances(table: Float[Tensor, "span d"], length: int) -> Float[Tensor, "length length d"]:
    """The table's entry for each pair of places of a row or column of ``length`` tokens."""
    place = torch.arange(length, device=table.device)
    return table[place[:, None] - place[None, :] + (length - 1)]


def attend_folded(
    q: Heads, k: Heads, v: Heads, by_row: Float[Tensor, "h h d"], by_column: Float[Tensor, "w w d"]
) -> Heads:
    """Attention over grids of l = h x w tokens; scores gain the query times the entry for the row and column distance.

    These terms go in as channels: a key's row and column, one-hot, against the query's term for each of them.
    """
    height, width, dim = len(by_row), len(by_column), q.shape[-1]
    rel_h, rel_w = _relative(q, by_row, by_column)
    row = torch.eye(height, dtype=k.dtype, device=k.device).repeat_interleave(width, dim=0)
    column = torch.eye(width, dtype=k.dtype, device=k.device).repeat(height, 1)
    place = torch.cat([row, column], dim=1).expand(*k.shape[:2], -1, -1)
    queries = torch.cat([q * dim**-0.5, rel_h.to(q.dtype), rel_w.to(q.dtype)], dim=-1)
    keys = torch.cat([k, place], dim=-1)
    values = F.pad(v, (0, height + width))  # the fused kernels want one width for keys and values
    return F.scaled_dot_product_attention(queries, keys, values, scale=1.0)[..., :dim]


_CACHE_BYTES = 2**22  # of the scores that are worked on at a time; a quarter of it to four times it make no difference


def attend_in_cache(
    q: Heads, k: Heads, v: Heads, by_row: Float[Tensor, "h h d"], by_column: Float[Tensor, "w w d"]
) -> Heads:
    """The same, a few heads or a few rows of queries at a time, in one buffer."""
    windows, heads, length, dim = q.shape
    some_heads = min(heads, max(1, _CACHE_BYTES // (4 * length * length)))
    some_rows = min(length, max(1, _CACHE_BYTES // (4 * length)))
    buffer = q.new_empty(some_heads, some_rows, length)
    out = q.new_empty(windows, length, heads, dim)
    for window, (rel_h, rel_w) in enumerate(zip(*_relative(q, by_row, by_column), strict=True)):
        for i in range(0, heads, some_heads):
            at = slice(i, i + some_heads)
            keys, values = k[window, at].transpose(1, 2), v[window, at]
            for j in range(0, length, some_rows):
                rows = slice(j, j + some_rows)
                queries = q[window, at, rows]
                scores = buffer[: queries.shape[0], : queries.shape[1]]
                on_grid = scores.unflatten(2, (len(by_row), len(by_column)))
                torch.add(rel_h[at, rows, :, None], rel_w[at, rows, None, :], out=on_grid)
                scores.baddbmm_(queries, keys, alpha=dim**-0.5)
                torch.softmax(scores, dim=-1, out=scores)
                out[window, rows, at] = torch.bmm(scores, values).transpose(0, 1)
    return out.transpose(1, 2)


def _relative(
    q: Heads, by_row: Float[Tensor, "h h d"], by_column: Float[Tensor, "w w d"]
) -> tuple[Float[Tensor, "k heads l h"], Float[Tensor, "k heads l w"]]:
    """Each query's term for every row, and for every column, of its grid."""
    on_grid = q.unflatten(2, (len(by_row), len(by_column)))
    rel_h = torch.einsum("khyxd,yjd->khyxj", on_grid, by_row)
    rel_w = torch.einsum("khyxd,xjd->khyxj", on_grid, by_column)
    return rel_h.flatten(2, 3), rel_w.flatten(2, 3)
