"""The mask decoder (SAM, appendix A): prompt and image embeddings to four masks and an estimate of their quality.

One token asks for the IoU, four for masks: the first for prompts that leave no doubt, the other three for ambiguous
ones (whole, part, sub-part). After the two-way transformer the image is upscaled four times, and each mask is the
product of the upscaled embedding with what a small network makes of its token.

What is unusual: any number of prompts on any number of images in one call, each with the index of its image; the image
side stays as tokens throughout, and the two transposed convolutions, whose patches do not overlap, are matrix products.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from anymask.models.two_way import SharedImage, TwoWayTransformer
from anymask.models.vit import LayerNorm2d

__all__ = ["MASK_TOKENS", "MaskDecoder"]

MASK_TOKENS = 4


class MaskDecoder(nn.Module):
    """Prompt tokens and image embeddings to masks and estimates of their IoU (SAM, figure 14)."""

    def __init__(self, *, dim: int, depth: int, heads: int, mlp_dim: int, iou_dim: int, dropout: float) -> None:
        super().__init__()
        self.transformer = TwoWayTransformer(depth=depth, dim=dim, heads=heads, mlp_dim=mlp_dim, dropout=dropout)
        self.iou_token = nn.Embedding(1, dim)
        self.mask_tokens = nn.Embedding(MASK_TOKENS, dim)
        self.output_upscaling = Upscaling(dim)
        self.output_hypernetworks_mlps = nn.ModuleList(Mlp(dim, dim, dim // 8) for _ in range(MASK_TOKENS))
        self.iou_prediction_head = Mlp(dim, iou_dim, MASK_TOKENS)

    def forward(
        self,
        image: SharedImage | Float[Tensor, "b l c"],
        positions: Float[Tensor, "l c"],
        sparse: Float[Tensor, "n k c"],
        dense: Float[Tensor, "n l c"] | Float[Tensor, "1 1 c"],
        image_index: Int[Tensor, " n"],
        present: Bool[Tensor, "n k"] | None,
        outputs: slice,
    ) -> tuple[Float[Tensor, "n m q q"], Float[Tensor, "n m"]]:
        """Mask logits and estimated IoUs of the mask tokens in ``outputs``.

        Points that are not ``present`` are seen by nobody. What ``share`` made of the images has ``dense`` in it.
        """
        is_shared = dense.shape[1] == 1
        if not isinstance(image, SharedImage):
            image = (image if is_shared or len(image) == 1 else image[image_index]) + dense
        tokens, keys = self.attend(image, positions, sparse, image_index if is_shared else None, present)
        return self.logits(tokens, keys, outputs), self.ious(tokens, outputs)

    def share(
        self, image: Float[Tensor, "b l c"], positions: Float[Tensor, "l c"], dense: Float[Tensor, "1 1 c"]
    ) -> SharedImage:
        """What depends on the images alone, to be given to ``attend`` as often as there are prompts without masks."""
        return self.transformer.share(image + dense, positions)

    def attend(
        self,
        image: SharedImage | Float[Tensor, "b l c"] | Float[Tensor, "n l c"],
        positions: Float[Tensor, "l c"],
        sparse: Float[Tensor, "n k c"],
        image_index: Int[Tensor, " n"] | None,
        present: Bool[Tensor, "n k"] | None,
    ) -> tuple[Float[Tensor, "n t c"], Float[Tensor, "n l c"]]:
        """The decoder's own and the prompt's tokens, and the image's, after the two-way transformer.

        ``image`` includes what stands for the mask; it has one row per image, or without ``image_index`` per prompt.
        """
        own = torch.cat([self.iou_token.weight, self.mask_tokens.weight]).expand(len(sparse), -1, -1)
        tokens = torch.cat([own, sparse], dim=1)
        if present is not None:
            present = F.pad(present, (own.shape[1], 0), value=True)
        return cast(tuple[Tensor, Tensor], self.transformer(tokens, image, positions, image_index, present))

    def ious(self, tokens: Float[Tensor, "n t c"], outputs: slice) -> Float[Tensor, "n m"]:
        """Estimated IoUs, from what ``attend`` made of the tokens; cheap, so that it can decide on ``logits``."""
        return cast(Tensor, self.iou_prediction_head(tokens[:, 0]))[:, outputs]

    def logits(
        self, tokens: Float[Tensor, "n t c"], image: Float[Tensor, "n l c"], outputs: slice
    ) -> Float[Tensor, "n m q q"]:
        """Masks, from what ``attend`` made of the tokens and of the image."""
        asked = tokens[:, 1 : 1 + MASK_TOKENS][:, outputs]
        networks = list(self.output_hypernetworks_mlps)[outputs]
        weights = torch.stack([network(asked[:, i]) for i, network in enumerate(networks)], dim=1)
        return cast(Tensor, self.output_upscaling(image, weights))


class Upscaling(nn.Sequential):
    """Image tokens N L C to N M 4G 4G: twice by two, then the product with each mask's weights."""

    def __init__(self, dim: int) -> None:
        super().__init__(
            nn.ConvTranspose2d(dim, dim // 4, 2, stride=2),
            LayerNorm2d(dim // 4),
            nn.GELU(),
            nn.ConvTranspose2d(dim // 4, dim // 8, 2, stride=2),
            nn.GELU(),
        )

    def forward(  # type: ignore[override]
        self, tokens: Float[Tensor, "n l c"], weights: Float[Tensor, "n m c8"]
    ) -> Float[Tensor, "n m q q"]:
        grid = int(tokens.shape[1] ** 0.5)
        norm = cast(LayerNorm2d, self[1])
        x = _spread(self[0], tokens)
        x = F.gelu(F.layer_norm(x, norm.weight.shape, norm.weight, norm.bias, norm.eps))
        x = F.gelu(_spread(self[3], x))
        logits = torch.bmm(weights, x.transpose(1, 2))  # n m (gy gx ay ax by bx)
        return _in_rows(logits, grid)


def _spread(convolution: nn.Module, tokens: Float[Tensor, "n l c"]) -> Float[Tensor, "n 4*l d"]:
    """A transposed convolution whose patches do not overlap: four tokens (ky kx) in the place of each."""
    assert isinstance(convolution, nn.ConvTranspose2d)
    assert convolution.bias is not None
    weight = convolution.weight.permute(2, 3, 1, 0).flatten(0, 2)
    spread = F.linear(tokens, weight, convolution.bias.repeat(4))
    return spread.unflatten(2, (4, -1)).flatten(1, 2)


def _in_rows(cells: Float[Tensor, "n m q2"], grid: int) -> Float[Tensor, "n m q q"]:
    """Pixels by cell (gy gx ay ax by bx) to pixels by row (gy ay by gx ax bx).

    The same order for each row of cells: looked up once, it is sixteen times as fast on a CPU as moving the axes.
    """
    order = torch.arange(16 * grid, device=cells.device).view(grid, 2, 2, 2, 2).permute(1, 3, 0, 2, 4).flatten()
    return cells.reshape(-1, 16 * grid).index_select(1, order).view(*cells.shape[:2], 4 * grid, 4 * grid)


class Mlp(nn.Module):
    """Three linear layers with ReLU between."""

    def __init__(self, dim: int, hidden: int, out: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(dim, hidden), nn.Linear(hidden, hidden), nn.Linear(hidden, out)])

    def forward(self, x: Tensor) -> Tensor:
        first, second, last = self.layers
        return cast(Tensor, last(F.relu(second(F.relu(first(x))))))
