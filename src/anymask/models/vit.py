"""The image encoder: a plain vision transformer with windows (ViTDet, Li et al. 2022; SAM, appendix A).

Most blocks attend within windows of 14 x 14 tokens, four blocks globally; every block adds decomposed relative
positions to its scores; a neck of two convolutions brings the width to that of the decoder. Parameters carry the
official names.

What is unusual:

* Windows that reach over the edge of the grid are padded after the projection to queries, keys and values, not before:
  a padding token is zero, so that its projection is the bias. A fifth of the projections of a 64 x 64 grid is saved.
* With gradients or on an accelerator the relative positions are folded into the queries and keys as further channels,
  so that ``scaled_dot_product_attention`` needs no bias matrix. Without gradients on a CPU the scores are worked out
  a few image rows at a time, in place, so that they never leave the cache.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

__all__ = ["ImageEncoder"]

Tokens = Float[Tensor, "b h w c"]


class ImageEncoder(nn.Module):
    """Images to embeddings: B 3 S S to B C G G, where G = S / patch_size."""

    def __init__(
        self,
        *,
        image_size: int,
        patch_size: int,
        width: int,
        depth: int,
        heads: int,
        global_blocks: tuple[int, ...],
        window: int,
        embedding_dim: int,
        drop_path: float = 0.0,
        checkpoint_activations: bool = False,
    ) -> None:
        super().__init__()
        grid = image_size // patch_size
        self.checkpoint_activations = checkpoint_activations
        self.patch_embed = PatchEmbedding(patch_size, width)
        self.pos_embed = nn.Parameter(torch.zeros(1, grid, grid, width))
        self.blocks = nn.ModuleList(
            Block(
                width,
                heads,
                window=0 if index in global_blocks else window,
                grid=grid,
                drop_path=drop_path * index / max(1, depth - 1),
            )
            for index in range(depth)
        )
        self.neck = nn.Sequential(
            nn.Conv2d(width, embedding_dim, 1, bias=False),
            LayerNorm2d(embedding_dim),
            nn.Conv2d(embedding_dim, embedding_dim, 3, padding=1, bias=False),
            LayerNorm2d(embedding_dim),
        )
        self.apply(_initialise)
        nn.init.trunc_normal_(self.pos_embed, std=0.02)

    def forward(self, images: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b c g g"]:
        tokens = self.patch_embed(images) + self.pos_embed
        for block in self.blocks:
            if self.checkpoint_activations and torch.is_grad_enabled():
                tokens = cast(Tensor, checkpoint(block, tokens, use_reentrant=False))
            else:
                tokens = block(tokens)
        return cast(Tensor, self.neck(tokens.permute(0, 3, 1, 2)))


class PatchEmbedding(nn.Module):
    """Each patch of the image to one token: B 3 S S to B G G width."""

    def __init__(self, patch_size: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, patch_size, stride=patch_size)

    def forward(self, images: Float[Tensor, "b 3 s s"]) -> Tokens:
        return cast(Tensor, self.proj(images)).permute(0, 2, 3, 1)


class Block(nn.Module):
    """A transformer block; ``window`` 0 attends globally."""

    def __init__(self, width: int, heads: int, *, window: int, grid: int, drop_path: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, heads, window=window, grid=grid)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = Mlp(width)
        self.drop_path = DropPath(drop_path)

    def forward(self, tokens: Tokens) -> Tokens:
        tokens = tokens + self.drop_path(self.attn(self.norm1(tokens)))
        return cast(Tensor, tokens + self.drop_path(self.mlp(self.norm2(tokens))))


class Mlp(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.lin1 = nn.Linear(width, 4 * width)
        self.lin2 = nn.Linear(4 * width, width)

    def forward(self, tokens: Tokens) -> Tokens:
        return cast(Tensor, self.lin2(F.gelu(self.lin1(tokens))))


class Attention(nn.Module):
    """Self-attention with decomposed relative positions (MViTv2, Li et al. 2022), global or in windows."""

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
        _, height, width, channels = tokens.shape
        qkv = self.qkv(tokens)
        if self.window:
            qkv = to_windows(qkv, self.window, self.qkv.bias)
        windows, h, w, _ = qkv.shape
        q, k, v = qkv.view(windows, h * w, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        attended = attend(q, k, v, self.rel_pos_h, self.rel_pos_w, (h, w))
        attended = attended.transpose(1, 2).reshape(windows, h, w, channels)
        if self.window:
            attended = from_windows(attended, self.window, (height, width))
        return cast(Tensor, self.proj(attended))


def to_windows(tokens: Tokens, window: int, padding: Float[Tensor, " c"]) -> Float[Tensor, "k v v c"]:
    """Cut into windows, row by row; where the last ones reach over the edge they are filled with ``padding``."""
    batch, height, width, channels = tokens.shape
    down, right = -height % window, -width % window
    if down or right:
        padded = padding.expand(batch, height + down, width + right, channels).clone()
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


def attend(
    q: Float[Tensor, "k heads l d"],
    k: Float[Tensor, "k heads l d"],
    v: Float[Tensor, "k heads l d"],
    rel_pos_h: Float[Tensor, "span_h d"],
    rel_pos_w: Float[Tensor, "span_w d"],
    grid: tuple[int, int],
) -> Float[Tensor, "k heads l d"]:
    """Attention over a grid of l = h x w tokens; scores gain q . rel_pos of the row and of the column distance."""
    height, width = grid
    on_grid = q.unflatten(2, grid)
    rel_h = torch.einsum("khyxd,yjd->khyxj", on_grid, _distances(rel_pos_h, height)).flatten(2, 3)
    rel_w = torch.einsum("khyxd,xjd->khyxj", on_grid, _distances(rel_pos_w, width)).flatten(2, 3)
    if q.device.type == "cpu" and not torch.is_grad_enabled():
        return _attend_in_cache(q, k, v, rel_h, rel_w)
    return _attend_folded(q, k, v, rel_h, rel_w)


def _distances(table: Float[Tensor, "span d"], length: int) -> Float[Tensor, "length length d"]:
    """The table's entry for each pair of places."""
    place = torch.arange(length, device=table.device)
    return table[place[:, None] - place[None, :] + (length - 1)]


def _attend_folded(q: Tensor, k: Tensor, v: Tensor, rel_h: Tensor, rel_w: Tensor) -> Tensor:
    """Relative positions as channels: a key's row and column, one-hot, against the query's term for each of them."""
    height, width, dim = rel_h.shape[-1], rel_w.shape[-1], q.shape[-1]
    row = torch.eye(height, dtype=k.dtype, device=k.device).repeat_interleave(width, dim=0)
    column = torch.eye(width, dtype=k.dtype, device=k.device).repeat(height, 1)
    place = torch.cat([row, column], dim=1).expand(*k.shape[:2], -1, -1)
    queries = torch.cat([q * dim**-0.5, rel_h.to(q.dtype), rel_w.to(q.dtype)], dim=-1)
    keys = torch.cat([k, place], dim=-1)
    values = F.pad(v, (0, height + width))  # the fused kernels want one width for keys and values
    return F.scaled_dot_product_attention(queries, keys, values, scale=1.0)[..., :dim]


_CACHE_BYTES = 2**21  # of the scores that are worked on at a time; half of it to four times it make no difference


def _attend_in_cache(q: Tensor, k: Tensor, v: Tensor, rel_h: Tensor, rel_w: Tensor) -> Tensor:
    """The same, a few query rows (or a few heads) at a time in one buffer: 1.5 times as fast as one fused call."""
    length, dim = q.shape[2:]
    queries, keys, values, by_row, by_column = (t.flatten(0, 1) for t in (q * dim**-0.5, k, v, rel_h, rel_w))
    out = torch.empty_like(queries)
    items = max(1, _CACHE_BYTES // (4 * length * length))
    rows = min(length, max(1, _CACHE_BYTES // (4 * length)))
    for i in range(0, len(queries), items):
        at = slice(i, i + items)
        keys_transposed, some_values = keys[at].transpose(1, 2), values[at]
        for j in range(0, length, rows):
            scores = torch.bmm(queries[at, j : j + rows], keys_transposed)
            on_grid = scores.unflatten(2, (by_row.shape[-1], by_column.shape[-1]))
            on_grid += by_row[at, j : j + rows, :, None]
            on_grid += by_column[at, j : j + rows, None, :]
            torch.softmax(scores, dim=-1, out=scores)
            out[at, j : j + rows] = torch.bmm(scores, some_values)
    return out.view_as(q)


class DropPath(nn.Module):
    """Drops a residual branch per image with probability ``rate`` (Huang et al. 2016)."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, branch: Tensor) -> Tensor:
        if not self.training or self.rate == 0.0:
            return branch
        keep = torch.rand(len(branch), *(1,) * (branch.dim() - 1), device=branch.device) >= self.rate
        return branch * keep / (1.0 - self.rate)


class LayerNorm2d(nn.Module):
    """Layer normalisation over the channels of B C H W."""

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        normed = F.layer_norm(x.permute(0, 2, 3, 1), self.weight.shape, self.weight, self.bias, self.eps)
        return normed.permute(0, 3, 1, 2)


def _initialise(module: nn.Module) -> None:
    """As ViT is initialised for training from scratch; the official code leaves torch's defaults, made to be loaded."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
