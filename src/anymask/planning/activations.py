"""Bytes that the forward pass keeps for the way back, from the architecture and the workload.

Each line is a tensor that an operation needs again. ``half`` are inputs and outputs of matrix products, which autocast
has in half precision; ``single`` those of norms, softmaxes and residual sums, which it has in single precision;
``cast`` the second copies that it makes where both are kept; ``loss`` is in single precision always. Not counted is
what has one number for a token where there are hundreds of channels beside it, such as a norm's means.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import Literal

from anymask.planning.flops import padded_tokens
from anymask.planning.parameters import reach
from anymask.planning.workload import Workload

__all__ = ["Kept", "Precision", "decoder_round", "encoder", "encoder_block", "inputs", "round_at_its_end"]

Precision = Literal["32-true", "bf16-mixed", "16-mixed", "bf16-true"]

SIZES = {
    "32-true": (4, 4, 0, 4, 1),
    "bf16-mixed": (2, 4, 2, 4, 1),
    "16-mixed": (2, 4, 2, 4, 1),
    "bf16-true": (2, 2, 0, 4, 1),
}
"""Bytes of an element of each field of ``Kept``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """Numbers of elements, by the precision they are kept in."""

    half: int = 0
    single: int = 0
    cast: int = 0
    loss: int = 0
    bytes: int = 0

    def __add__(self, other: Kept) -> Kept:
        return Kept(
            half=self.half + other.half,
            single=self.single + other.single,
            cast=self.cast + other.cast,
            loss=self.loss + other.loss,
            bytes=self.bytes + other.bytes,
        )

    def __sub__(self, other: Kept) -> Kept:
        return self + other.times(-1)

    def times(self, factor: int) -> Kept:
        return Kept(
            half=self.half * factor,
            single=self.single * factor,
            cast=self.cast * factor,
            loss=self.loss * factor,
            bytes=self.bytes * factor,
        )

    def of(self, precision: Precision) -> int:
        """Bytes."""
        return sum(size * count for size, count in zip(SIZES[precision], astuple(self), strict=True))


def inputs(work: Workload) -> Kept:
    """The batch on the device: photographs, targets and where these lie; embeddings, as tokens, their gradient."""
    a = work.architecture
    embeddings = work.images * a.grid**2 * a.dim
    squares = Kept(bytes=work.images * 3 * a.image_size**2 + 2 * work.objects * work.lattice**2)
    return squares + Kept(single=3 * embeddings)


def round_at_its_end(work: Workload, index: int, precision: Precision) -> int:
    """The most bytes of a round: while the masks are made, or right after the loss, on the way back."""
    image = work.objects * work.architecture.grid**2 * work.architecture.dim
    kept = (decoder_round(work, index) - _loss(work, index)).of(precision)
    masks = work.has_masks(index)
    held = Kept(single=image if masks else 0)  # the mask prompt among the image tokens
    if precision in ("bf16-mixed", "16-mixed"):  # what was cast and is needed no more, as long as its name is in use
        held += Kept(single=(3 if masks else 2) * image, half=2 * image if masks else 0)
    last, back = Kept(half=2 * image), Kept(half=2 * image)
    loss = _loss(work, index).of(precision)
    at_end = max(held.of(precision) - last.of(precision), back.of(precision))
    if work.lot == 1:
        return kept + max(at_end, loss)
    answers = Kept(loss=work.objects * work.outputs(index) * 16 * work.architecture.grid**2).of(precision)
    return answers + max(loss, answers + round(work.lot * (kept + at_end)))  # the answers and their gradient


def encoder(work: Workload) -> Kept:
    """Of all images of a batch, all blocks; with checkpointing each block's input instead."""
    a, cells = work.architecture, work.images * work.architecture.grid**2
    ends = Kept(half=work.images * 3 * a.image_size**2)  # photographs
    ends += Kept(half=cells * (a.width + a.dim), single=2 * cells * a.dim)  # the neck's products and norms
    if work.checkpoint_activations:
        return ends + Kept(single=a.depth * cells * a.width)
    return sum((encoder_block(work, index) for index in range(a.depth)), start=ends)


def encoder_block(work: Workload, index: int) -> Kept:
    """Of all images of a batch in one block. Fused attention keeps queries, keys, values, answers; never its scores."""
    a, cells = work.architecture, work.images * work.architecture.grid**2
    side, padded = reach(a, index), work.images * padded_tokens(a, index)
    channels = a.heads * (a.width // a.heads + 2 * side)  # positions are channels of queries and keys
    residuals = Kept(single=2 * cells * a.width)
    norms_and_mlp = Kept(half=(2 + 4 + 4) * cells * a.width)
    positions = Kept(half=2 * padded * a.width + 2 * side**2 * (a.width // a.heads))  # queries by row and by column
    attention = Kept(half=4 * padded * channels + cells * a.width, loss=padded * a.heads)
    return residuals + norms_and_mlp + positions + attention


def decoder_round(work: Workload, index: int) -> Kept:
    """Of all objects of a batch in one round, with its loss."""
    image, tokens = work.objects * work.architecture.grid**2 * work.architecture.dim, work.tokens(index)
    shared = not work.has_masks(index)
    layers = [_layer(work, tokens, shared and layer == 0) for layer in range(work.architecture.decoder_depth)]
    final = _to_image(work, tokens)
    upscaling = Kept(single=2 * image, half=(1 + 2 + 2) * image, cast=image)
    return sum([*layers, final, upscaling, _mask_prompt(work, index), _loss(work, index)], start=Kept())


def _layer(work: Workload, tokens: int, shared: bool) -> Kept:
    a, n = work.architecture, work.objects
    own = Kept(half=n * tokens * (13 * a.dim + a.mlp_dim), single=3 * n * tokens * a.dim)
    image = n * a.grid**2 * a.dim
    norm = Kept(single=image, bytes=image if work.dropout else 0)
    if shared:
        return own + norm + _shared(work, tokens) + _answers(work, tokens)
    return own + norm + _to_image(work, tokens) + _questions(work, tokens) + _answers(work, tokens)


def _scores(work: Workload, tokens: int) -> int:
    a = work.architecture
    return work.objects * a.decoder_heads * tokens * a.grid**2


def _shared(work: Workload, tokens: int) -> Kept:
    """The image's keys, values and queries once per image, and where there are several images again for each prompt."""
    a, scores = work.architecture, _scores(work, tokens)
    once = work.images * a.grid**2 * a.dim
    rows = 1 if work.images == 1 else work.objects
    projected = Kept(half=3 * rows * a.grid**2 * a.dim // 2)
    weights = Kept(single=scores, half=scores) if work.images == 1 else Kept(single=scores, cast=scores)
    return Kept(half=2 * once, cast=once) + projected + weights


def _to_image(work: Workload, tokens: int) -> Kept:
    a, n, scores = work.architecture, work.objects, _scores(work, tokens)
    image = n * a.grid**2 * a.dim
    kept = Kept(half=2 * image, single=scores, cast=scores)  # the image, and with its positions
    if work.is_absorbed(tokens):
        return kept + _absorbed(work, tokens)
    return kept + Kept(half=image)  # keys and values


def _questions(work: Workload, tokens: int) -> Kept:
    """What the image asks the tokens."""
    image = work.objects * work.architecture.grid**2 * work.architecture.dim
    return Kept(cast=image, half=0 if work.is_absorbed(tokens) else image // 2)


def _answers(work: Workload, tokens: int) -> Kept:
    image, scores = work.objects * work.architecture.grid**2 * work.architecture.dim, _scores(work, tokens)
    kept = Kept(single=scores, cast=scores)
    return kept + (_absorbed(work, tokens) if work.is_absorbed(tokens) else Kept(half=image // 2))


def _absorbed(work: Workload, tokens: int) -> Kept:
    """Two projections with a copy of their weights for each prompt."""
    a, n = work.architecture, work.objects
    return Kept(half=2 * n * a.decoder_heads * tokens * a.dim + 2 * n * a.dim**2 // 2)


def _mask_prompt(work: Workload, index: int) -> Kept:
    if not work.has_masks(index):
        return Kept()
    pixels = work.objects * 16 * work.architecture.grid**2
    return Kept(half=3 * pixels, single=4 * pixels, loss=pixels)


def _loss(work: Workload, index: int) -> Kept:
    targets, outputs = work.objects * work.lattice**2, work.outputs(index)
    return Kept(loss=(5 * outputs + 2) * targets, bytes=targets)
