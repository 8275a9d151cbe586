"""Sam: the encoder once per image, the decoder for any number of prompts on any of the images (SAM, section 3).

embeddings = sam.encode(images, sizes)
decoded = sam.decode(embeddings, prompts, outputs=AMBIGUOUS)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from anymask.errors import UserError
from anymask.models.mask_decoder import MaskDecoder
from anymask.models.prompt_encoder import PromptEncoder
from anymask.models.two_way import SharedImage
from anymask.models.vit import ImageEncoder
from anymask.structures import Decoded, Label, Prompts

__all__ = ["AMBIGUOUS", "ARCHITECTURES", "EVERY", "SINGLE", "Architecture", "Sam", "build"]

SINGLE = slice(0, 1)
"""The one mask for a prompt that leaves no doubt."""
AMBIGUOUS = slice(1, 4)
"""The three masks for a prompt that may mean a whole, a part or a sub-part."""
EVERY = slice(0, 4)

PIXEL_MEAN = (123.675, 116.28, 103.53)
PIXEL_DEVIATION = (58.395, 57.12, 57.375)

CHANNELS_PER_HEAD = 32
"""Of the decoder's self-attention, as in every published model (256 channels, 8 heads); the weights do not tell it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Architecture:
    """All that the shapes of the weights depend on."""

    image_size: int = 1024
    patch_size: int = 16
    width: int
    depth: int
    heads: int
    global_blocks: tuple[int, ...]
    window: int = 14
    dim: int = 256
    decoder_depth: int = 2
    mlp_dim: int = 2048
    iou_dim: int = 256
    click_rounds: int = 0

    @property
    def grid(self) -> int:
        """Side of the image embedding, in tokens."""
        return self.image_size // self.patch_size

    @property
    def decoder_heads(self) -> int:
        return self.dim // CHANNELS_PER_HEAD


ARCHITECTURES = {
    "tiny": Architecture(
        image_size=256,
        width=128,
        depth=4,
        heads=2,
        global_blocks=(1, 3),
        window=8,
        dim=64,
        mlp_dim=256,
        iou_dim=64,
    ),
    "vit_b": Architecture(width=768, depth=12, heads=12, global_blocks=(2, 5, 8, 11)),
    "vit_l": Architecture(width=1024, depth=24, heads=16, global_blocks=(5, 11, 17, 23)),
    "vit_h": Architecture(width=1280, depth=32, heads=16, global_blocks=(7, 15, 23, 31)),
}


def build(
    name: str,
    *,
    image_size: int | None = None,
    drop_path: float = 0.0,
    dropout: float = 0.0,
    click_rounds: int = 0,
    checkpoint_activations: bool = False,
) -> Sam:
    """A model with random weights: ``tiny``, ``vit_b``, ``vit_l`` or ``vit_h``.

    Raises UserError for another name or an image size that is no multiple of the patch size.
    """
    if name not in ARCHITECTURES:
        raise UserError(f"unknown model {name!r}: there are {', '.join(ARCHITECTURES)}")
    architecture = ARCHITECTURES[name]
    if image_size is not None:
        architecture = replace(architecture, image_size=image_size)
    return Sam(
        replace(architecture, click_rounds=click_rounds),
        drop_path=drop_path,
        dropout=dropout,
        checkpoint_activations=checkpoint_activations,
    )


class Sam(nn.Module):
    """Promptable segmentation. Parameters carry the official names, so that ``state_dict()`` is an official file's."""

    def __init__(
        self,
        architecture: Architecture,
        *,
        drop_path: float = 0.0,
        dropout: float = 0.0,
        checkpoint_activations: bool = False,
    ) -> None:
        """``drop_path`` is the rate of the last block of the encoder, ``dropout`` that of the decoder; in training."""
        super().__init__()
        a = architecture
        if a.image_size % a.patch_size or a.image_size <= 0:
            raise UserError(f"image_size {a.image_size} is not a multiple of the patch size {a.patch_size}")
        self.architecture = a
        self.image_encoder = ImageEncoder(
            image_size=a.image_size,
            patch_size=a.patch_size,
            width=a.width,
            depth=a.depth,
            heads=a.heads,
            global_blocks=a.global_blocks,
            window=a.window,
            embedding_dim=a.dim,
            drop_path=drop_path,
            checkpoint_activations=checkpoint_activations,
        )
        self.prompt_encoder = PromptEncoder(
            embedding_dim=a.dim, grid=a.grid, image_size=a.image_size, click_rounds=a.click_rounds
        )
        self.mask_decoder = MaskDecoder(
            dim=a.dim,
            depth=a.decoder_depth,
            heads=a.decoder_heads,
            mlp_dim=a.mlp_dim,
            iou_dim=a.iou_dim,
            dropout=dropout,
        )

    @property
    def image_size(self) -> int:
        """Side of the model frame in pixels."""
        return self.architecture.image_size

    @property
    def mask_size(self) -> int:
        """Side of the decoder's masks, and of mask prompts."""
        return 4 * self.architecture.grid

    @property
    def device(self) -> torch.device:
        return self.image_encoder.pos_embed.device

    def encode(self, images: UInt8[Tensor, "b 3 s s"], sizes: Int[Tensor, "b 2"]) -> Float[Tensor, "b c g g"]:
        """Image embeddings. ``sizes`` are the (height, width) of the photographs within their squares."""
        mean = torch.tensor(PIXEL_MEAN, device=images.device).view(3, 1, 1)
        deviation = torch.tensor(PIXEL_DEVIATION, device=images.device).view(3, 1, 1)
        normalised = (images - mean) / deviation
        place = torch.arange(images.shape[-1], device=images.device)
        rows, columns = place < sizes[:, :1], place < sizes[:, 1:]
        normalised = normalised * (rows[:, None, :, None] & columns[:, None, None, :])  # padding is zero, not black
        return cast(Tensor, self.image_encoder(normalised.to(self.image_encoder.pos_embed.dtype)))

    def decode(self, embeddings: Float[Tensor, "b c g g"], prompts: Prompts, *, outputs: slice) -> Decoded:
        """Masks for N prompts on any of the B images; ``outputs`` is SINGLE, AMBIGUOUS or EVERY.

        On a CPU the prompts go through a few at a time, so that what is worked on stays in the cache; what depends on
        the images alone is worked out once for all.
        """
        tokens = embeddings.flatten(2).transpose(1, 2).contiguous()
        positions = self.prompt_encoder.grid_positions().to(tokens.dtype)
        number = len(prompts.image_index)
        chunk = _prompts_in_cache(tokens) if tokens.device.type == "cpu" else max(1, number)
        image: Tensor | SharedImage = tokens
        if chunk < number and prompts.masks is None:
            dense = self.prompt_encoder.no_mask_embed.weight[None].to(tokens.dtype)
            image = self.mask_decoder.share(tokens, positions, dense)
        parts = [
            self._decode(image, positions, prompts.rows(slice(i, i + chunk)), outputs)
            for i in range(0, max(1, number), chunk)
        ]
        if len(parts) == 1:
            return parts[0]
        return Decoded(torch.cat([part.logits for part in parts]), torch.cat([part.ious for part in parts]))

    def _decode(self, image: Tensor | SharedImage, positions: Tensor, prompts: Prompts, outputs: slice) -> Decoded:
        sparse = self.prompt_encoder.points(prompts.points, prompts.labels).to(positions.dtype)
        dense = self.prompt_encoder.dense(prompts).to(positions.dtype)
        present: Tensor | None = prompts.labels != Label.ABSENT
        if self.device.type == "cpu" and bool((prompts.labels != Label.ABSENT).all()):
            present = None  # asking costs an accelerator more than the mask does
        logits, ious = self.mask_decoder(image, positions, sparse, dense, prompts.image_index, present, outputs)
        return Decoded(logits, ious)


_CACHE_BYTES = 2**23


def _prompts_in_cache(image: Float[Tensor, "b l c"]) -> int:
    return max(1, _CACHE_BYTES // (image[0].numel() * image.element_size()))
