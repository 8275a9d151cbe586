"""Models with random weights, arranged so that their masks differ as much as those of a trained one.

Plain random weights give every point the same speckled mask over the whole image: nothing that filters could tell
apart. Here an image token listens most to the point when it lies near it, upscaling adds no texture of its own, and
the levels of masks and estimates are set so that some of each pass a threshold.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from anymask.models.sam import EVERY, Architecture, Sam
from anymask.structures import Decoded, Label, Prompts

__all__ = ["lively"]

SMALL = Architecture(
    image_size=128,
    patch_size=8,
    width=32,
    depth=2,
    heads=2,
    global_blocks=(1,),
    window=3,
    dim=64,
    mlp_dim=64,
    iou_dim=32,
)
INSIDE = (0.05, 0.05, 0.1, 0.2)
"""The share of all pixels that each mask has inside, on an average."""
SPREAD = 40.0
"""Standard deviation of the logits: so large that many masks are stable."""


@torch.no_grad()
def lively(architecture: Architecture = SMALL, *, passing: float = 0.8, seed: int = 10) -> Sam:
    """The model; by default, 16 x 16 points on a photograph leave some forty masks of the official filters.

    ``passing`` is the share of masks whose estimated IoU is above the official threshold of 0.88, on an average.
    """
    torch.manual_seed(seed)
    sam = Sam(architecture).eval()
    _listen_to_the_point(sam)
    _upscale_smoothly(sam)
    _set_levels(sam, passing)
    return sam


def _listen_to_the_point(sam: Sam) -> None:
    """What remains in the scores of the last attention is how near a place is to the point."""
    decoder: Any = sam.mask_decoder
    encoder: Any = sam.prompt_encoder
    encoder.pe_layer.positional_encoding_gaussian_matrix.mul_(0.4)  # wider than a few tokens
    for kind in [*encoder.point_embeddings.parameters(), encoder.not_a_point_embed.weight]:
        kind.mul_(0.1)
    first, last = decoder.transformer.layers
    for norm in (first.norm4, last.norm3):
        norm.weight.mul_(0.1)
    for layer in (first, last):  # each token sees mostly itself, and so stays different from the others
        layer.self_attn.q_proj.weight.copy_(1.5 * _rotation(sam))
        layer.self_attn.k_proj.weight.copy_(layer.self_attn.q_proj.weight)
    own = torch.linalg.qr(torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight]).T)[0]
    ask = last.cross_attn_image_to_token
    half = 1.2 * _rotation(sam)[: sam.architecture.dim // 2]
    ask.q_proj.weight.copy_(half)
    ask.k_proj.weight.copy_(half - half @ own @ own.T)
    for projection in (ask.q_proj, ask.v_proj, ask.out_proj):
        projection.bias.zero_()
    ask.out_proj.weight.mul_(30)


def _upscale_smoothly(sam: Sam) -> None:
    """The four parts of a pixel are alike; the first channel at the end is the same everywhere."""
    first: Any = sam.mask_decoder.output_upscaling[0]
    second: Any = sam.mask_decoder.output_upscaling[3]
    for convolution in (first, second):
        convolution.weight.copy_(3 * convolution.weight[:, :, :1, :1].expand_as(convolution.weight))
    second.weight[:, 0] = 0
    second.bias[0] = 1


def _set_levels(sam: Sam, passing: float) -> None:
    decoder: Any = sam.mask_decoder
    networks = [network.layers[-1] for network in decoder.output_hypernetworks_mlps]
    for network in networks:
        network.bias.copy_(torch.randn_like(network.bias))
        network.weight[0], network.bias[0] = 0, 0
    decoded = _decoded(sam)
    for network, own, inside in zip(networks, decoded.logits.unbind(dim=1), INSIDE, strict=True):
        scale = SPREAD / own.std()
        network.weight.mul_(scale)
        network.bias.mul_(scale)
        network.bias[0] = -_quantile(scale * own, 1 - inside) / F.gelu(torch.tensor(1.0))
    estimate, ious = decoder.iou_prediction_head.layers[-1], decoded.ious
    scale = 0.1 / ious.std(dim=0)
    estimate.weight.mul_(scale[:, None])
    estimate.bias.mul_(scale).add_(0.88 - (scale * ious).quantile(1 - passing, dim=0))


def _decoded(sam: Sam) -> Decoded:
    """Of points all over a photograph of noise."""
    side = sam.image_size
    image = torch.randint(0, 256, (1, 3, side, side), dtype=torch.uint8)
    embedding = sam.encode(image, torch.tensor([[side, side]]))
    places = torch.cartesian_prod(*[(torch.arange(8) + 0.5) * (side / 8)] * 2)
    prompts = Prompts(
        image_index=torch.zeros(len(places), dtype=torch.int64),
        points=torch.stack([places, torch.zeros_like(places)], dim=1),
        labels=torch.tensor([[Label.FOREGROUND, Label.PADDING]] * len(places)),
    )
    return sam.decode(embedding, prompts, outputs=EVERY)


def _quantile(values: Tensor, share: float) -> Tensor:
    """Of some of many values: torch's own takes no more than sixteen million."""
    return values.flatten()[:: 1 + values.numel() // 1_000_000].quantile(share)


def _rotation(sam: Sam) -> Float[Tensor, "c c"]:
    dim = sam.architecture.dim
    return torch.linalg.qr(torch.randn(dim, dim))[0]
