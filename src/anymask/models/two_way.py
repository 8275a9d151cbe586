"""The two-way transformer of the mask decoder (SAM, appendix A): prompt tokens and image tokens attend to each other.

What is unusual: a prompt has some ten tokens and its image thousands, so nothing is projected on the image's side that
can be projected on the prompt's side. With W_k the key projection, q . (W_k x + b) equals (W_k' q) . x up to a constant
that the softmax does not see, and the attended values can be projected after they are summed. Below ``dim / heads / 2``
tokens this is less arithmetic and never builds keys, queries or values of the image's size. It is exact; the one
parameter that no longer takes part, the bias of the image's keys, has a gradient of zero in the usual form as well.

Where no prompt of a batch has a mask, the image tokens of the first layer are the same for all prompts of an image and
are projected once per image: ``SharedImage`` holds them, for one call or for many.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

__all__ = ["SharedImage", "TwoWayTransformer"]

PromptTokens = Float[Tensor, "n t c"]
ImageTokens = Float[Tensor, "n l c"]
ProjectedImage = Float[Tensor, "b h l d"]


@dataclass(frozen=True, slots=True)
class SharedImage:
    """What the first layer makes of B images alone: the same for all of their prompts that have no mask."""

    tokens: Float[Tensor, "b l c"]
    keys: ProjectedImage  # what the prompts' queries meet
    values: ProjectedImage
    queries: ProjectedImage  # what the image asks the prompts


class TwoWayTransformer(nn.Module):
    """Tokens attend to the image and the image to the tokens, ``depth`` times (SAM, figure 14)."""

    def __init__(self, *, depth: int, dim: int, heads: int, mlp_dim: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            TwoWayBlock(dim, heads, mlp_dim, dropout, is_first=index == 0) for index in range(depth)
        )
        self.final_attn_token_to_image = Attention(dim, heads, downsample=2, is_cross=True)
        self.norm_final_attn = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)

    def share(self, image: Float[Tensor, "b l c"], positions: Float[Tensor, "l c"]) -> SharedImage:
        """The part of ``forward`` that depends on the images alone."""
        return cast(TwoWayBlock, self.layers[0]).share(image, positions)

    def forward(
        self,
        tokens: PromptTokens,
        image: SharedImage | Float[Tensor, "b l c"] | ImageTokens,
        positions: Float[Tensor, "l c"],
        shared_by: Int[Tensor, " n"] | None,
        present: Bool[Tensor, "n t"] | None,
    ) -> tuple[PromptTokens, ImageTokens]:
        """Both sides after the attention.

        ``tokens`` serve as their own positions. ``shared_by`` says that ``image`` has one row per image and which of
        them each prompt looks at; without it there is one row per prompt. Tokens that are not ``present`` are seen by
        nobody; what comes out in their place means nothing.
        """
        if shared_by is not None and not isinstance(image, SharedImage):
            image = self.share(image, positions)
        first, *others = self.layers
        queries, keys = first(tokens, image, tokens, positions, shared_by, present)
        for layer in others:
            queries, keys = layer(queries, keys, tokens, positions, None, present)
        attended = self.final_attn_token_to_image.tokens_to_image(queries + tokens, keys + positions, keys)
        return cast(Tensor, self.norm_final_attn(queries + self.dropout(attended))), keys


class TwoWayBlock(nn.Module):
    """Self-attention of the prompt, prompt to image, MLP on the prompt, image to prompt."""

    def __init__(self, dim: int, heads: int, mlp_dim: int, dropout: float, *, is_first: bool) -> None:
        super().__init__()
        self.is_first = is_first
        self.self_attn = Attention(dim, heads, downsample=1, is_cross=False)
        self.norm1 = nn.LayerNorm(dim)
        self.cross_attn_token_to_image = Attention(dim, heads, downsample=2, is_cross=True)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = MlpBlock(dim, mlp_dim)
        self.norm3 = nn.LayerNorm(dim)
        self.norm4 = nn.LayerNorm(dim)
        self.cross_attn_image_to_token = Attention(dim, heads, downsample=2, is_cross=True)
        self.dropout = nn.Dropout(dropout)

    def share(self, image: Float[Tensor, "b l c"], positions: Float[Tensor, "l c"]) -> SharedImage:
        placed = image + positions
        keys, values = self.cross_attn_token_to_image.project_image(placed, image)
        return SharedImage(image, keys, values, self.cross_attn_image_to_token.project_queries(placed))

    def forward(
        self,
        queries: PromptTokens,
        image: SharedImage | ImageTokens,
        tokens: PromptTokens,
        positions: Tensor,
        shared_by: Tensor | None,
        present: Tensor | None,
    ) -> tuple[PromptTokens, ImageTokens]:
        if self.is_first:  # the tokens are still their own positions
            queries = self.dropout(self.self_attn.tokens_to_tokens(queries, queries, present))
        else:
            queries = queries + self.dropout(self.self_attn.tokens_to_tokens(queries + tokens, queries, present))
        queries = self.norm1(queries)
        ask_image, ask_tokens = self.cross_attn_token_to_image, self.cross_attn_image_to_token
        if isinstance(image, SharedImage):
            keys = image.tokens
            attended = ask_image.tokens_to_projected(queries + tokens, image.keys, image.values, shared_by)
        else:
            keys, placed = image, image + positions
            attended = ask_image.tokens_to_image(queries + tokens, placed, keys)
        queries = self.norm2(queries + self.dropout(attended))
        queries = self.norm3(queries + self.dropout(self.mlp(queries)))
        if isinstance(image, SharedImage):
            answers = ask_tokens.projected_to_tokens(image.queries, queries + tokens, queries, shared_by, present)
        else:
            answers = ask_tokens.image_to_tokens(placed, queries + tokens, queries, None, present)
        return queries, self.norm4(_of_prompt(keys, shared_by) + self.dropout(answers))


class Attention(nn.Module):
    """Multi-head attention in a narrower space; the three uses differ in which side is the image's."""

    def __init__(self, dim: int, heads: int, *, downsample: int, is_cross: bool) -> None:
        super().__init__()
        self.heads = heads
        inner = dim // downsample
        self.scale = (inner // heads) ** -0.5
        self.q_proj = nn.Linear(dim, inner)
        self.k_proj = nn.Linear(dim, inner)
        self.v_proj = nn.Linear(dim, inner)
        self.out_proj = nn.Linear(inner, dim)
        if is_cross:
            self._tie_queries_and_keys()

    @torch.no_grad()
    def _tie_queries_and_keys(self) -> None:
        """Where training starts, a prompt looks at its own place in the image, and the image at the prompt near it.

        From independent projections a small model finds nothing but background for a long time (docs/decisions/0007).
        """
        self.q_proj.weight.mul_(2)
        self.k_proj.weight.copy_(self.q_proj.weight)

    def tokens_to_tokens(self, x: PromptTokens, values: PromptTokens, present: Tensor | None) -> PromptTokens:
        """``x`` gives queries and keys."""
        q, k, v = self._split(self.q_proj(x)), self._split(self.k_proj(x)), self._split(self.v_proj(values))
        mask = None if present is None else present[:, None, None, :]
        return self._merge(F.scaled_dot_product_attention(q, k, v, attn_mask=mask))

    def tokens_to_image(
        self, x: PromptTokens, keys: Tensor, values: Tensor, shared_by: Tensor | None = None
    ) -> PromptTokens:
        """Prompt tokens ``x`` ask the image."""
        if shared_by is not None or not self._is_cheaper_absorbed(x):
            return self.tokens_to_projected(x, *self.project_image(keys, values), shared_by)
        q = self._split(self.q_proj(x)) * self.scale
        # The bias of the keys adds the same to all scores of a query: kept in the graph with its gradient of zero.
        asked = (q @ self._per_head(self.k_proj.weight)).flatten(1, 2) + 0.0 * self.k_proj.bias.sum()  # n (h t) c
        seen = torch.bmm(torch.bmm(asked, keys.transpose(1, 2)).softmax(dim=-1), values)
        projected = seen.unflatten(1, q.shape[1:3]) @ self._per_head(self.v_proj.weight).transpose(1, 2)
        return self._merge(projected + self.v_proj.bias.view(self.heads, 1, -1))

    def tokens_to_projected(
        self, x: PromptTokens, keys: ProjectedImage, values: ProjectedImage, shared_by: Tensor | None
    ) -> PromptTokens:
        """``tokens_to_image`` where ``project_image`` has been at work."""
        q = self._split(self.q_proj(x)) * self.scale
        k, v = _of_prompt(keys, shared_by), _of_prompt(values, shared_by)
        return self._merge(_product(_product(q, k.transpose(2, 3)).softmax(dim=-1), v))

    def project_image(self, keys: Tensor, values: Tensor) -> tuple[ProjectedImage, ProjectedImage]:
        return self._split(self.k_proj(keys)), self._split(self.v_proj(values))

    def image_to_tokens(
        self, x: Tensor, keys: PromptTokens, values: PromptTokens, shared_by: Tensor | None, present: Tensor | None
    ) -> ImageTokens:
        """Image tokens ``x`` ask the prompt. Scores lie as n h t l: the softmax runs over the few tokens."""
        if shared_by is not None or not self._is_cheaper_absorbed(keys):
            return self.projected_to_tokens(self.project_queries(x), keys, values, shared_by, present)
        k = self._split(self.k_proj(keys)) * self.scale
        asked = (k @ self._per_head(self.q_proj.weight)).flatten(1, 2)  # n (h t) c
        bias = (k @ self.q_proj.bias.view(self.heads, -1, 1)).flatten(1, 2)
        scores = torch.baddbmm(bias, asked, x.transpose(1, 2)).unflatten(1, k.shape[1:3])
        return self._answers(scores, values, present)

    def projected_to_tokens(
        self,
        queries: ProjectedImage,
        keys: PromptTokens,
        values: PromptTokens,
        shared_by: Tensor | None,
        present: Tensor | None,
    ) -> ImageTokens:
        """``image_to_tokens`` where ``project_queries`` has been at work."""
        k = self._split(self.k_proj(keys)) * self.scale
        return self._answers(_product(k, _of_prompt(queries, shared_by).transpose(2, 3)), values, present)

    def project_queries(self, x: Tensor) -> ProjectedImage:
        return self._split(self.q_proj(x))

    def _answers(self, scores: Float[Tensor, "n h t l"], values: PromptTokens, present: Tensor | None) -> ImageTokens:
        """What each image token hears from the tokens of its prompt."""
        v = self._split(self.v_proj(values))
        if present is not None:
            scores = scores.masked_fill(~present[:, None, :, None], float("-inf"))
        weights = scores.softmax(dim=2)
        if not self._is_cheaper_absorbed(values):
            return self._merge(weights.transpose(2, 3) @ v)
        answers = (v @ self._per_head(self.out_proj.weight.t())).flatten(1, 2)  # n (h t) c
        return torch.baddbmm(self.out_proj.bias, weights.flatten(1, 2).transpose(1, 2), answers)

    def _per_head(self, weight: Float[Tensor, "inner c"]) -> Float[Tensor, "h d c"]:
        return weight.unflatten(0, (self.heads, -1))

    def _is_cheaper_absorbed(self, tokens: PromptTokens) -> bool:
        return self.heads * tokens.shape[1] < self.q_proj.out_features

    def _split(self, x: Float[Tensor, "n s c"]) -> Float[Tensor, "n h s d"]:
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)

    def _merge(self, x: Float[Tensor, "n h s d"]) -> Float[Tensor, "n s c"]:
        return cast(Tensor, self.out_proj(x.transpose(1, 2).flatten(2)))


class MlpBlock(nn.Module):
    def __init__(self, dim: int, mlp_dim: int) -> None:
        super().__init__()
        self.lin1 = nn.Linear(dim, mlp_dim)
        self.lin2 = nn.Linear(mlp_dim, dim)

    def forward(self, tokens: PromptTokens) -> PromptTokens:
        return cast(Tensor, self.lin2(F.relu(self.lin1(tokens))))


def _of_prompt(per_image: Tensor, shared_by: Tensor | None) -> Tensor:
    """One row per prompt; a single image is left as it is, to be broadcast without a copy."""
    if shared_by is None or len(per_image) == 1:
        return per_image
    return per_image[shared_by]


def _product(per_prompt: Float[Tensor, "n h s d"], other: Tensor) -> Float[Tensor, "n h s e"]:
    """A matrix product per head; one ``other`` for all prompts is multiplied once, not copied for each."""
    if len(other) != 1:
        return per_prompt @ other
    rows = per_prompt.transpose(0, 1).flatten(1, 2)  # h (n s) d
    return torch.bmm(rows, other[0]).unflatten(1, (len(per_prompt), per_prompt.shape[2])).transpose(0, 1)
