"""The image encoder: a plain vision transformer with windows (ViTDet, Li et al. 2022; SAM, appendix A).

Most blocks attend within windows of 14 x 14 tokens, four blocks globally; every block adds decomposed relative
positions to its scores; a neck of two convolutions brings the width to that of the decoder. Parameters carry the
official names.

The attention is in ``grid_attention.py``.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from anymask.models.grid_attention import GridAttention

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
        self.norm1 = LayerNorm(width, eps=1e-6)
        self.attn = GridAttention(width, heads, window=window, grid=grid)
        self.norm2 = LayerNorm(width, eps=1e-6)
        self.mlp = Mlp(width)
        self.drop_path = DropPath(drop_path)

    def forward(self, tokens: Tokens) -> Tokens:
        tokens = tokens + self.drop_path(self.attn(self.norm1(tokens)))
        return cast(Tensor, tokens + self.drop_path(self.mlp(self.norm2(tokens))))


class LayerNorm(nn.LayerNorm):
    """In the precision of its input, also where its weights come in another (FSDP's, gathered in half precision)."""

    def forward(self, tokens: Tokens) -> Tokens:
        weight, bias = self.weight.to(tokens.dtype), self.bias.to(tokens.dtype)
        return F.layer_norm(tokens, self.normalized_shape, weight, bias, self.eps)


class Mlp(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.lin1 = nn.Linear(width, 4 * width)
        self.lin2 = nn.Linear(4 * width, width)

    def forward(self, tokens: Tokens) -> Tokens:
        return cast(Tensor, self.lin2(F.gelu(self.lin1(tokens))))


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
