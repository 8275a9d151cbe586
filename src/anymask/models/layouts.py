"""What the parameters of SAM are called by others, and what their shapes say about the architecture.

Ours are the official names (segment-anything), so only two other layouts need a translation: that of
``transformers.SamModel``, both ways, and that of masked autoencoders (He et al. 2022), whose encoder can start ours.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from torch import Tensor

from anymask.errors import UserError
from anymask.models.sam import Architecture

__all__ = [
    "architecture_of",
    "from_mae",
    "from_transformers",
    "is_mae",
    "is_transformers",
    "resized",
    "to_transformers",
    "transformers_config",
]

Weights = dict[str, Tensor]

# (ours, theirs), applied to whole dotted parts; the order matters where one name holds another.
_TRANSFORMERS = [
    ("prompt_encoder.pe_layer.positional_encoding_gaussian_matrix", "shared_image_embedding.positional_embedding"),
    ("image_encoder.patch_embed.proj", "vision_encoder.patch_embed.projection"),
    ("image_encoder.neck.0", "vision_encoder.neck.conv1"),
    ("image_encoder.neck.1", "vision_encoder.neck.layer_norm1"),
    ("image_encoder.neck.2", "vision_encoder.neck.conv2"),
    ("image_encoder.neck.3", "vision_encoder.neck.layer_norm2"),
    ("image_encoder.blocks", "vision_encoder.layers"),
    ("image_encoder", "vision_encoder"),
    ("prompt_encoder.point_embeddings", "prompt_encoder.point_embed"),
    ("prompt_encoder.mask_downscaling.0", "prompt_encoder.mask_embed.conv1"),
    ("prompt_encoder.mask_downscaling.1", "prompt_encoder.mask_embed.layer_norm1"),
    ("prompt_encoder.mask_downscaling.3", "prompt_encoder.mask_embed.conv2"),
    ("prompt_encoder.mask_downscaling.4", "prompt_encoder.mask_embed.layer_norm2"),
    ("prompt_encoder.mask_downscaling.6", "prompt_encoder.mask_embed.conv3"),
    ("mask_decoder.output_upscaling.0", "mask_decoder.upscale_conv1"),
    ("mask_decoder.output_upscaling.1", "mask_decoder.upscale_layer_norm"),
    ("mask_decoder.output_upscaling.3", "mask_decoder.upscale_conv2"),
    ("norm_final_attn", "layer_norm_final_attn"),
    ("norm1", "layer_norm1"),
    ("norm2", "layer_norm2"),
    ("norm3", "layer_norm3"),
    ("norm4", "layer_norm4"),
]
_MLP_LAYERS = [("layers.0", "proj_in"), ("layers.1", "layers.0"), ("layers.2", "proj_out")]
_MLPS = re.compile(r"(mask_decoder\.(?:output_hypernetworks_mlps\.\d+|iou_prediction_head))\.(.*)\.(weight|bias)")
_SHARED_COPY = "prompt_encoder.shared_embedding.positional_embedding"


def is_transformers(weights: Weights) -> bool:
    """Whether the names are those of ``transformers.SamModel``."""
    return "vision_encoder.pos_embed" in weights


def to_transformers(weights: Weights) -> Weights:
    """Ours under the names of ``transformers.SamModel``; what is tied there is written once."""
    return {_renamed(name, ours=0, theirs=1): tensor for name, tensor in weights.items()}


def from_transformers(weights: Weights) -> Weights:
    """The inverse; a second copy of the shared position matrix is dropped."""
    return {_renamed(name, ours=1, theirs=0): tensor for name, tensor in weights.items() if name != _SHARED_COPY}


def _renamed(name: str, *, ours: int, theirs: int) -> str:
    """``name`` with the entries ``ours`` of the tables exchanged for the entries ``theirs``."""
    mlp = _MLPS.fullmatch(name)
    if mlp:
        layer = {pair[ours]: pair[theirs] for pair in _MLP_LAYERS}.get(mlp[2], mlp[2])
        return f"{mlp[1]}.{layer}.{mlp[3]}"
    for pair in _TRANSFORMERS:
        name = re.sub(rf"(?<![^.]){re.escape(pair[ours])}(?![^.])", pair[theirs], name)
    return name


def transformers_config(architecture: Architecture) -> dict[str, Any]:
    """The ``config.json`` beside the weights."""
    a = architecture
    return {
        "architectures": ["SamModel"],
        "model_type": "sam",
        "vision_config": {
            "hidden_size": a.width,
            "output_channels": a.dim,
            "num_hidden_layers": a.depth,
            "num_attention_heads": a.heads,
            "image_size": a.image_size,
            "patch_size": a.patch_size,
            "window_size": a.window,
            "global_attn_indexes": list(a.global_blocks),
            "num_pos_feats": a.dim // 2,
            "mlp_dim": 4 * a.width,
        },
        "prompt_encoder_config": {
            "hidden_size": a.dim,
            "image_size": a.image_size,
            "patch_size": a.patch_size,
            "image_embedding_size": a.grid,
        },
        "mask_decoder_config": {
            "hidden_size": a.dim,
            "mlp_dim": a.mlp_dim,
            "num_hidden_layers": a.decoder_depth,
            "num_attention_heads": a.decoder_heads,
            "iou_head_hidden_dim": a.iou_dim,
            # transformers' default is 1e-6 here; the official decoder keeps torch's
            "layer_norm_eps": 1e-5,
        },
    }


def is_mae(weights: Weights) -> bool:
    """Whether the names are those of a masked autoencoder as published."""
    return "blocks.0.norm1.weight" in weights and "patch_embed.proj.weight" in weights


def from_mae(weights: Weights) -> Weights:
    """The encoder of a masked autoencoder under our names, without its neck and its relative positions.

    Its class token, its last norm and its decoder have no place in SAM. The position table becomes a grid.
    """
    dropped = ("cls_token", "mask_token", "norm.", "fc_norm.", "head.", "decoder_")
    kept = {name: tensor for name, tensor in weights.items() if not name.startswith(dropped)}
    renamed = {
        "image_encoder." + name.replace(".mlp.fc1.", ".mlp.lin1.").replace(".mlp.fc2.", ".mlp.lin2."): tensor
        for name, tensor in kept.items()
    }
    table = renamed["image_encoder.pos_embed"]
    patches = table.shape[1]
    side = int(patches**0.5)
    if side * side != patches:  # one place more, for the class token
        side = int((patches - 1) ** 0.5)
        table = table[:, 1:]
    renamed["image_encoder.pos_embed"] = table.reshape(1, side, side, -1)
    return renamed


def architecture_of(weights: Weights) -> Architecture:
    """The architecture that official weights have, from their shapes; a KeyError names what is missing."""
    _, grid, _, width = weights["image_encoder.pos_embed"].shape
    patch = weights["image_encoder.patch_embed.proj.weight"].shape[-1]
    depth = _count(weights, r"image_encoder\.blocks\.(\d+)\.norm1\.weight")
    tables = [weights[f"image_encoder.blocks.{i}.attn.rel_pos_h"] for i in range(depth)]
    reach = [(table.shape[0] + 1) // 2 for table in tables]
    rounds = weights.get("prompt_encoder.click_round_embed.weight")
    return Architecture(
        image_size=grid * patch,
        patch_size=patch,
        width=width,
        depth=depth,
        heads=width // tables[0].shape[1],
        global_blocks=tuple(i for i in range(depth) if reach[i] == grid),
        window=next((side for side in reach if side != grid), grid),  # may be larger than the grid
        dim=weights["prompt_encoder.no_mask_embed.weight"].shape[1],
        decoder_depth=_count(weights, r"mask_decoder\.transformer\.layers\.(\d+)\.norm1\.weight"),
        mlp_dim=weights["mask_decoder.transformer.layers.0.mlp.lin1.weight"].shape[0],
        iou_dim=weights["mask_decoder.iou_prediction_head.layers.0.weight"].shape[0],
        click_rounds=0 if rounds is None else rounds.shape[0],
    )


def resized(architecture: Architecture, image_size: int) -> Architecture:
    """What ``architecture_of`` found, for images of another size.

    Raises UserError where window and grid are one size: then global blocks and others have the same shapes.
    """
    if architecture.window == architecture.grid:
        raise UserError(
            f"weights for images of {architecture.image_size} pixels cannot be resized to {image_size}: their windows "
            f"are as large as their grid ({architecture.grid} patches), and nothing tells which blocks attend globally"
        )
    return replace(architecture, image_size=image_size)


def _count(weights: Weights, pattern: str) -> int:
    return len({match[1] for name in weights if (match := re.fullmatch(pattern, name))})
