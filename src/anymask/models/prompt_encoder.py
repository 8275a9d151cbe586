"""The prompt encoder: points, boxes and masks to embeddings (SAM, section 3 and appendix A).

A point is the random Fourier features of its place (Tancik et al. 2020) plus a learned embedding of its kind; a box is
two such points, its corners. A mask prompt is brought to the embedding grid by convolutions and added to the image.

What is unusual: the mask's convolutions do not overlap, so that they are done as matrix products on tokens, the layout
that the decoder works in.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from anymask.models.vit import LayerNorm2d
from anymask.structures import Label, Prompts

__all__ = ["PromptEncoder"]


class PromptEncoder(nn.Module):
    """Points, boxes and masks to embeddings (SAM, appendix A)."""

    def __init__(self, *, embedding_dim: int, grid: int, image_size: int, click_rounds: int = 0) -> None:
        """``click_rounds`` above 0 adds a learned embedding of a point's place in the order of clicks.

        The official weights have none.
        """
        super().__init__()
        self.grid = grid
        self.image_size = image_size
        self.pe_layer = FourierFeatures(embedding_dim // 2)
        self.point_embeddings = nn.ModuleList(nn.Embedding(1, embedding_dim) for _ in range(4))
        self.not_a_point_embed = nn.Embedding(1, embedding_dim)
        self.mask_downscaling = MaskDownscaling(embedding_dim)
        self.no_mask_embed = nn.Embedding(1, embedding_dim)
        self.click_round_embed = nn.Embedding(click_rounds, embedding_dim) if click_rounds else None

    def points(self, points: Float[Tensor, "n k 2"], labels: Int[Tensor, "n k"]) -> Float[Tensor, "n k c"]:
        """One token per point; points in the model frame, labels as in ``structures.Label``."""
        place = self.pe_layer((points + 0.5) / self.image_size)  # a pixel's centre is half a pixel from its corner
        kinds = torch.cat([self.not_a_point_embed.weight, *self.point_embeddings.parameters()])
        is_point = (labels >= Label.BACKGROUND)[..., None]
        tokens = torch.where(is_point, place, 0.0) + kinds[labels.clamp(min=Label.PADDING) + 1]
        if self.click_round_embed is not None:
            rounds = torch.arange(points.shape[1], device=points.device)
            tokens = tokens + self.click_round_embed(rounds.clamp(max=self.click_round_embed.num_embeddings - 1))
        return tokens

    def dense(self, prompts: Prompts) -> Float[Tensor, "n l c"] | Float[Tensor, "1 1 c"]:
        """What is added to the image's tokens: the mask prompt, or a learned embedding where there is none."""
        no_mask = self.no_mask_embed.weight[None]
        if prompts.masks is None:
            return no_mask
        embedded = self.mask_downscaling(prompts.masks)
        if prompts.has_mask is None:
            return embedded
        return torch.where(prompts.has_mask[:, None, None], embedded, no_mask)

    def grid_positions(self) -> Float[Tensor, "l c"]:
        """The position of each token of the image embedding, row by row."""
        centre = (torch.arange(self.grid, device=self.no_mask_embed.weight.device) + 0.5) / self.grid
        y, x = torch.meshgrid(centre, centre, indexing="ij")
        return self.pe_layer(torch.stack([x, y], dim=-1)).flatten(0, 1)


class FourierFeatures(nn.Module):
    """Places in [0, 1] to the sines and cosines of random frequencies, always in float32."""

    positional_encoding_gaussian_matrix: Tensor

    def __init__(self, frequencies: int) -> None:
        super().__init__()
        self.register_buffer("positional_encoding_gaussian_matrix", torch.randn(2, frequencies))

    def forward(self, places: Float[Tensor, "*n 2"]) -> Float[Tensor, "*n c"]:
        with torch.autocast(places.device.type, enabled=False):
            phase = 2 * math.pi * ((2 * places.float() - 1) @ self.positional_encoding_gaussian_matrix.float())
            return torch.cat([phase.sin(), phase.cos()], dim=-1)


class MaskDownscaling(nn.Sequential):
    """Mask logits N 4G 4G to N L C: 2x2 to 4 channels, 2x2 to 16, 1x1 to C; layer norm and GELU between."""

    def __init__(self, embedding_dim: int) -> None:
        super().__init__(
            nn.Conv2d(1, 4, 2, stride=2),
            LayerNorm2d(4),
            nn.GELU(),
            nn.Conv2d(4, 16, 2, stride=2),
            LayerNorm2d(16),
            nn.GELU(),
            nn.Conv2d(16, embedding_dim, 1),
        )

    def forward(self, masks: Float[Tensor, "n q q"]) -> Float[Tensor, "n l c"]:
        number, side = masks.shape[:2]
        grid = side // 4
        # y = 4 gy + 2 ay + by, and so for x: to n, (gy gx), (ay ax), (by bx)
        cells = masks.view(number, grid, 2, 2, grid, 2, 2).permute(0, 1, 4, 2, 5, 3, 6)
        x = cells.reshape(number, grid * grid, 4, 4).to(next(self.parameters()).dtype)
        x = F.gelu(_normalise(self[1], _project(self[0], x)))
        x = F.gelu(_normalise(self[4], _project(self[3], x.flatten(2))))
        return _project(self[6], x)


def _project(convolution: nn.Module, patches: Tensor) -> Tensor:
    """A convolution whose patches do not overlap; ``patches`` ends in (ky kx channels)."""
    assert isinstance(convolution, nn.Conv2d)
    return F.linear(patches, convolution.weight.permute(0, 2, 3, 1).flatten(1), convolution.bias)


def _normalise(norm: nn.Module, x: Tensor) -> Tensor:
    assert isinstance(norm, LayerNorm2d)
    return F.layer_norm(x, norm.weight.shape, norm.weight, norm.bias, norm.eps)
