"""How many parameters the model has, part by part, from the architecture alone (SAM, appendix A)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from anymask.errors import UserError
from anymask.models.mask_decoder import MASK_TOKENS
from anymask.models.sam import Architecture

__all__ = ["Parameters", "parameters", "reach", "table"]

Parts = Mapping[str, Any]
"""Numbers of parameters by name, or more of the same."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Parameters:
    """Counts of the encoder, its largest block and its rest (patches, positions, neck), and of all else.

    What trains has a gradient and AdamW's moments. ``cast`` are those that autocast keeps a copy of in half precision:
    weights and biases of products that train; some of them are in the encoder's blocks.
    """

    encoder: int
    block: int
    encoder_rest: int
    others: int  # prompt encoder and mask decoder
    trained_encoder: int
    trained_others: int
    cast: int
    cast_in_blocks: int

    @property
    def all(self) -> int:
        return self.encoder + self.others

    @property
    def trained(self) -> int:
        return self.trained_encoder + self.trained_others


def parameters(architecture: Architecture, frozen: Iterable[str] = ()) -> Parameters:
    """The counts, without gradients for the sub-modules named in ``frozen``.

    Raises UserError where the model has no such part.
    """
    counts = table(architecture)
    for name in frozen:
        if not any(_is_in(part, name) for part in counts):
            raise UserError(f"cannot freeze {name!r}: the model has no such part with parameters")
    trained = {part: count for part, count in counts.items() if not any(_is_in(part, name) for name in frozen)}
    blocks = [sum(count for _, count in _flat(_block(architecture, index), "")) for index in range(architecture.depth)]
    cast = {part: count for part, count in trained.items() if _is_product(part)}
    encoder, trained_encoder = _sum(counts, "image_encoder"), _sum(trained, "image_encoder")
    return Parameters(
        encoder=encoder,
        block=max(blocks),
        encoder_rest=encoder - sum(blocks),
        others=sum(counts.values()) - encoder,
        trained_encoder=trained_encoder,
        trained_others=sum(trained.values()) - trained_encoder,
        cast=sum(cast.values()),
        cast_in_blocks=_sum(cast, "image_encoder.blocks"),
    )


def _sum(counts: Mapping[str, int], name: str) -> int:
    return sum(count for part, count in counts.items() if _is_in(part, name))


def table(architecture: Architecture) -> dict[str, int]:
    """Each smallest part that has parameters, by its dotted name in the model; a part's own before its children's."""
    a = architecture
    encoder = {
        "patch_embed": {"proj": _linear(3 * a.patch_size**2, a.width)},
        "pos_embed": a.grid**2 * a.width,
        "blocks": {str(index): _block(a, index) for index in range(a.depth)},
        "neck": {"0": a.width * a.dim, "1": 2 * a.dim, "2": 9 * a.dim**2, "3": 2 * a.dim},
    }
    parts = {"image_encoder": encoder, "prompt_encoder": _prompt_encoder(a), "mask_decoder": _mask_decoder(a)}
    return dict(_flat(parts, ""))


def reach(architecture: Architecture, index: int) -> int:
    """Side, in tokens, of the window that block ``index`` attends in."""
    a = architecture
    return a.grid if index in a.global_blocks or a.window == 0 else a.window


def _linear(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs


def _block(a: Architecture, index: int) -> Parts:
    w, positions = a.width, 2 * (2 * reach(a, index) - 1) * (a.width // a.heads)
    return {
        "norm1": 2 * w,
        "attn": {"rel_pos": positions, "qkv": _linear(w, 3 * w), "proj": _linear(w, w)},
        "norm2": 2 * w,
        "mlp": {"lin1": _linear(w, 4 * w), "lin2": _linear(4 * w, w)},
    }


def _prompt_encoder(a: Architecture) -> Parts:
    c = a.dim
    return {
        "point_embeddings": {str(kind): c for kind in range(4)},
        "not_a_point_embed": c,
        "mask_downscaling": {"0": _linear(4, 4), "1": 8, "3": _linear(16, 16), "4": 32, "6": _linear(16, c)},
        "no_mask_embed": c,
        **({"click_round_embed": a.click_rounds * c} if a.click_rounds else {}),
    }


def _mask_decoder(a: Architecture) -> Parts:
    c = a.dim
    layer = {
        "self_attn": _attention(c, c),
        "norm1": 2 * c,
        "cross_attn_token_to_image": _attention(c, c // 2),
        "norm2": 2 * c,
        "mlp": {"lin1": _linear(c, a.mlp_dim), "lin2": _linear(a.mlp_dim, c)},
        "norm3": 2 * c,
        "norm4": 2 * c,
        "cross_attn_image_to_token": _attention(c, c // 2),
    }
    return {
        "transformer": {
            "layers": {str(index): layer for index in range(a.decoder_depth)},
            "final_attn_token_to_image": _attention(c, c // 2),
            "norm_final_attn": 2 * c,
        },
        "iou_token": c,
        "mask_tokens": MASK_TOKENS * c,
        "output_upscaling": {"0": c * c + c // 4, "1": 2 * (c // 4), "3": c // 4 * (c // 8) * 4 + c // 8},
        "output_hypernetworks_mlps": {str(mask): _mlp(c, c, c // 8) for mask in range(MASK_TOKENS)},
        "iou_prediction_head": _mlp(c, a.iou_dim, MASK_TOKENS),
    }


def _attention(dim: int, inner: int) -> Parts:
    return {name: _linear(dim, inner) for name in ("q_proj", "k_proj", "v_proj")} | {"out_proj": _linear(inner, dim)}


def _mlp(dim: int, hidden: int, out: int) -> Parts:
    return {"layers": {"0": _linear(dim, hidden), "1": _linear(hidden, hidden), "2": _linear(hidden, out)}}


def _flat(parts: Parts, prefix: str) -> Iterator[tuple[str, int]]:
    for name, part in parts.items():
        if isinstance(part, int):
            yield f"{prefix}{name}", part
        else:
            yield from _flat(part, f"{prefix}{name}.")


def _is_in(part: str, name: str) -> bool:
    return part == name or part.startswith(f"{name}.")


_NORMS = ("neck.1", "neck.3", "mask_downscaling.1", "mask_downscaling.4", "output_upscaling.1")


def _is_product(part: str) -> bool:
    name = part.rsplit(".", 1)[-1]
    is_embedding = name.endswith(("embed", "rel_pos", "_token", "_tokens")) or ".point_embeddings." in part
    return not (is_embedding or "norm" in name or part.endswith(_NORMS))
