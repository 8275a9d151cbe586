"""What one process computes in a training step, as numbers: the architecture, the images and objects, the rounds."""

from __future__ import annotations

from dataclasses import dataclass, replace

from anymask.errors import UserError
from anymask.models.mask_decoder import MASK_TOKENS
from anymask.models.sam import ARCHITECTURES, Architecture
from anymask.rounds import Rounds

__all__ = ["Workload", "architecture"]

OWN_TOKENS = 1 + MASK_TOKENS
"""The decoder's: one for the IoU, four for masks."""

FIRST_POINTS = {"box_and_point": 3}
"""Point tokens of a first prompt where they are not two (a point and its padding, or a box's corners)."""


def architecture(name: str, *, image_size: int | None = None, click_rounds: int = 0) -> Architecture:
    """That of the model which ``anymask.build`` makes of the same arguments, and refuses for the same reasons."""
    if name not in ARCHITECTURES:
        raise UserError(f"unknown model {name!r}: there are {', '.join(ARCHITECTURES)}")
    known = ARCHITECTURES[name]
    if image_size is not None and image_size % known.patch_size:
        raise UserError(f"image_size {image_size} is not a multiple of the patch size {known.patch_size}")
    return replace(known, image_size=image_size or known.image_size, click_rounds=click_rounds)


@dataclass(frozen=True, kw_only=True, slots=True)
class Workload:
    """A batch of one GPU. ``objects`` are all of the batch, those of its images together."""

    architecture: Architecture
    images: int
    masks_per_image: int
    rounds: Rounds
    first_kinds: tuple[str, ...] = ("point", "box")  # those with a weight above 0
    loss_size: int | None = None  # None: the decoder's own
    checkpoint_activations: bool = False
    prompts_at_once: int | None = None  # of a round; None: all
    drop_path: float = 0.0
    dropout: float = 0.0
    frozen: tuple[str, ...] = ()

    @property
    def objects(self) -> int:
        return self.images * self.masks_per_image

    @property
    def lot(self) -> float:
        """The share of a round's prompts that are decoded together; below 1 they are decoded again on the way back."""
        return min(1.0, (self.prompts_at_once or self.objects) / max(1, self.objects))

    @property
    def lattice(self) -> int:
        """Side of the targets and of the loss."""
        return self.loss_size or 4 * self.architecture.grid

    def points(self, index: int) -> int:
        """Point tokens of each prompt in round ``index`` (from 0); a round without a click holds an absent one."""
        first = max(FIRST_POINTS.get(kind, 2) for kind in self.first_kinds)
        return first + min(index, self.rounds.clicks + self.rounds.round_without_click)

    def tokens(self, index: int) -> int:
        """Prompt tokens with the decoder's own."""
        return OWN_TOKENS + self.points(index)

    def has_masks(self, index: int) -> bool:
        """Whether the prompts of round ``index`` come with masks."""
        if index == 0:
            return any(kind.endswith("_mask") for kind in self.first_kinds)
        return self.rounds.feed_previous_mask

    def outputs(self, index: int) -> int:
        """Masks that are decoded for each prompt of round ``index``."""
        if index > 0 or self.rounds.ambiguous == "never":
            return 1
        return MASK_TOKENS - 1 if self.rounds.ambiguous == "single_prompt" else MASK_TOKENS

    def is_absorbed(self, tokens: int) -> bool:
        """Whether prompts of so many tokens take over the image's projections (``two_way.Attention``)."""
        return self.architecture.decoder_heads * tokens < self.architecture.dim // 2

    def is_frozen(self, part: str) -> bool:
        """Whether a sub-module as a whole keeps its weights."""
        return any(part == name or part.startswith(f"{name}.") for name in self.frozen)

    def trains(self, part: str) -> bool:
        return not self.is_frozen(part)
