"""Floating-point operations of a training step: a multiply-add is two, and only matrix products count.

As executed: relative positions are folded into the attention as channels (``grid_attention.py``), prompt tokens absorb
the projections of the image where that is less work (``two_way.py``), and what is computed again under checkpointing
counts again. Of the backward pass a product costs once more for its weight and once more for its input; the fused
attention five products for the two of its forward pass, as it computes the scores anew (Dao et al. 2022).
"""

from __future__ import annotations

from dataclasses import dataclass

from anymask.models.sam import Architecture
from anymask.planning.parameters import reach
from anymask.planning.workload import Workload

__all__ = ["Flops", "block", "decoder_round", "encoder", "padded_tokens", "step"]

FUSED_BACKWARD = 2.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Flops:
    """Of one batch of one process, forward, and forward with backward and what is computed again."""

    encoder_forward: float
    encoder: float
    rounds_forward: float
    rounds: float

    @property
    def all(self) -> float:
        return self.encoder + self.rounds


def step(work: Workload) -> Flops:
    """One batch: the encoder once per image, the decoder once per object and round."""
    forward, trained = encoder(work)
    rounds = [decoder_round(work, index) for index in range(len(work.rounds))]
    return Flops(
        encoder_forward=forward * work.images,
        encoder=trained * work.images,
        rounds_forward=sum(round_[0] for round_ in rounds),
        rounds=sum(trained + (forward if work.lot < 1 else 0) for forward, trained in rounds),
    )


def encoder(work: Workload) -> tuple[float, float]:
    """Of one image: forward, and with the way back."""
    a = work.architecture
    patches = 2.0 * a.grid**2 * 3 * a.patch_size**2 * a.width
    neck = 2.0 * a.grid**2 * (a.width * a.dim + 9 * a.dim**2)
    forward = patches + neck + sum(sum(block(a, index)) for index in range(a.depth))
    if work.is_frozen("image_encoder"):
        return forward, forward
    trained = patches * (1 + work.trains("image_encoder.patch_embed"))
    trained += neck * (2 + work.trains("image_encoder.neck"))
    return forward, trained + sum(_trained_block(work, index) for index in range(a.depth))


def block(architecture: Architecture, index: int) -> tuple[float, float, float]:
    """Forward of one image in block ``index``: products with weights, with the position tables, the fused attention."""
    a = architecture
    side, tokens = reach(a, index), padded_tokens(a, index)
    linear = 2.0 * a.grid**2 * 12 * a.width**2
    positions = 2.0 * 2 * tokens * a.width * side
    attention = 2.0 * 2 * tokens * side**2 * (a.width + 2 * side * a.heads)
    return linear, positions, attention


def _trained_block(work: Workload, index: int) -> float:
    linear, positions, attention = block(work.architecture, index)
    trains = work.trains(f"image_encoder.blocks.{index}")
    trained = (linear + positions) * (2 + trains) + attention * (1 + FUSED_BACKWARD)
    if not work.checkpoint_activations:
        return trained
    # The second time it stops at the last value that the way back needs: before the last product, unless a drop path
    # comes after it.
    has_drop_path = work.drop_path > 0 and index > 0
    return trained + linear * (1 if has_drop_path else 2 / 3) + positions + attention


def padded_tokens(architecture: Architecture, index: int) -> int:
    """Tokens of one image in the windows of a block, with those that fill the last windows."""
    side = reach(architecture, index)
    return (-(-architecture.grid // side) * side) ** 2


def decoder_round(work: Workload, index: int) -> tuple[float, float]:
    """All objects of a batch in one round: forward, and with the way back to the image embedding."""
    a, tokens, objects = work.architecture, work.tokens(index), work.objects
    cells = a.grid**2
    forward = _transformer(work, index) + _upscaling(a, objects, work.outputs(index)) + _heads(work, index)
    places = 2.0 * (cells + objects * work.points(index)) * a.dim  # random frequencies: nothing to go back to
    first, others = _mask_prompt(work, index)
    self_attention = 2.0 * 2 * a.decoder_depth * objects * tokens**2 * a.dim
    trained = 3 * (forward + others) + 2 * first + (1 + FUSED_BACKWARD) * self_attention + places
    return forward + first + others + self_attention + places, trained


def _mask_prompt(work: Workload, index: int) -> tuple[float, float]:
    """The first product, whose input has no gradient, and the others."""
    if not work.has_masks(index):
        return 0.0, 0.0
    a, cells = work.architecture, work.objects * work.architecture.grid**2
    return 2.0 * cells * 4 * 4 * 4, 2.0 * cells * (16 * 16 + 16 * a.dim)


def _transformer(work: Workload, index: int) -> float:
    """The two-way transformer but for its self-attention's scores."""
    a, n, t = work.architecture, work.objects, work.tokens(index)
    tokens = a.decoder_depth * 2.0 * n * t * (4 * a.dim**2 + 2 * a.dim * a.mlp_dim)
    is_shared = not work.has_masks(index)
    layers = sum(_both_ways(work, t, is_shared and layer == 0) for layer in range(a.decoder_depth))
    return tokens + layers + _to_image(work, t, is_shared=False)


def _both_ways(work: Workload, tokens: int, is_shared: bool) -> float:
    return _to_image(work, tokens, is_shared) + _to_tokens(work, tokens, is_shared)


def _to_image(work: Workload, tokens: int, is_shared: bool) -> float:
    """Prompt tokens ask the image, in ``two_way.Attention.tokens_to_image``."""
    a, n, cells = work.architecture, work.objects, work.architecture.grid**2
    inner = a.dim // 2
    outer = 2 * n * tokens * a.dim * inner  # of the tokens' queries and answers
    if is_shared:
        return 2.0 * (outer + 2 * work.images * cells * a.dim * inner + 2 * n * tokens * cells * inner)
    if work.is_absorbed(tokens):
        return 2.0 * (2 * outer + 2 * n * a.decoder_heads * tokens * cells * a.dim)
    return 2.0 * (outer + 2 * n * cells * a.dim * inner + 2 * n * tokens * cells * inner)


def _to_tokens(work: Workload, tokens: int, is_shared: bool) -> float:
    """The image asks the prompt tokens, in ``two_way.Attention.image_to_tokens``."""
    a, n, cells = work.architecture, work.objects, work.architecture.grid**2
    inner = a.dim // 2
    absorbed = n * a.decoder_heads * tokens * cells * a.dim
    total = 2 * n * tokens * a.dim * inner  # of the tokens' keys and values
    if is_shared:
        total += work.images * cells * a.dim * inner + n * tokens * cells * inner
    elif work.is_absorbed(tokens):
        total += n * tokens * a.dim * inner + n * tokens * inner + absorbed
    else:
        total += n * cells * a.dim * inner + n * tokens * cells * inner
    if work.is_absorbed(tokens):
        return 2.0 * (total + n * tokens * a.dim * inner + absorbed)
    return 2.0 * (total + n * tokens * cells * inner + n * cells * a.dim * inner)


def _upscaling(a: Architecture, objects: int, outputs: int) -> float:
    cells = objects * a.grid**2
    return 2.0 * cells * (a.dim**2 + a.dim**2 // 2 + 16 * outputs * (a.dim // 8))


def _heads(work: Workload, index: int) -> float:
    """Each mask's own network and that of the IoUs."""
    a = work.architecture
    network = 2 * a.dim**2 + a.dim * (a.dim // 8)
    ious = a.dim * a.iou_dim + a.iou_dim**2 + 4 * a.iou_dim
    return 2.0 * work.objects * (work.outputs(index) * network + ious)
