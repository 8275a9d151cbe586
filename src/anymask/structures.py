"""The contracts: what travels between the stages, with its shapes, units and frames.

Letters, for the whole package: B images, N objects (prompts) of all of them, M masks per prompt, K points per prompt,
T tokens, C channels, G side of the embedding grid, Q = 4 G side of the decoder's masks, H W an image's height and
width, S side of the model frame in pixels, R side of the grid on which the loss is taken.

Frames. *Image frame*: (x, y) in pixels of the photograph as stored; the centre of the first pixel is (0, 0), as in the
official code. *Model frame*: the photograph (or a crop of it) scaled so that its longest side is S, padded to the right
and below. Sizes are (height, width). In a mask, 1 is inside.

Objects are ragged, never padded: a batch holds N objects of all its images, and ``image_index`` says whose each is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from enum import IntEnum
from typing import Any, Literal, TypeVar, get_args

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Int64, UInt8
from torch import Tensor

__all__ = [
    "SOURCES",
    "Batch",
    "Decoded",
    "Example",
    "Label",
    "Prediction",
    "Prompts",
    "Rle",
    "Sample",
    "Skipped",
    "Source",
]

Source = Literal["manual", "semi_automatic", "automatic"]
"""The stage of the data engine that a mask comes from (SAM, section 4)."""
SOURCES: tuple[Source, ...] = get_args(Source)


class Label(IntEnum):
    """What a point of a prompt means. Values of 0 and above index the official ``point_embeddings``."""

    ABSENT = -2  # an empty place in a ragged list of points: no token attends to it
    PADDING = -1  # the official "not a point", which stands beside points that come without a box
    BACKGROUND = 0
    FOREGROUND = 1
    CORNER_TOP_LEFT = 2
    CORNER_BOTTOM_RIGHT = 3


@dataclass(frozen=True, slots=True)
class Rle:
    """A mask as COCO's compressed run lengths: column by column, the first run outside the object."""

    size: tuple[int, int]
    counts: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One photograph with its masks as they were stored; nothing is decoded but the photograph."""

    key: str
    shard: str
    source: Source
    image: UInt8[np.ndarray, "h w 3"]  # RGB, image frame
    masks: tuple[Rle, ...]  # image frame
    mask_ids: tuple[int, ...]
    ignore: tuple[Rle | None, ...]  # pixels that an evaluation must not count, per mask
    crop: tuple[int, int, int, int]  # the region that is used, XYXY in the image frame, right and lower edge excluded


@dataclass(frozen=True, slots=True)
class Skipped:
    """A sample that could not be used, and why."""

    shard: str
    key: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """One photograph in the model frame with the objects that were chosen to train on."""

    key: str
    source: Source
    image: UInt8[Tensor, "3 s s"]
    size: tuple[int, int]  # of the photograph in the model frame; the rest is padding
    targets: Bool[Tensor, "n r r"]
    boxes: Float[Tensor, "n 4"]  # XYXY, model frame, from the centre of a mask's first pixel to that of its last
    seeds: Int64[Tensor, " n"]  # what its prompts are drawn from


_Moved = TypeVar("_Moved", bound="_Tensors")  # what typing.Self says, which the shape checks of the tests refuse


class _Tensors:
    """Moves the tensors of a frozen dataclass; Lightning needs ``to``, torch's loader ``pin_memory``."""

    __slots__ = ()

    def to(self: _Moved, device: torch.device | str, **kwargs: Any) -> _Moved:
        return self._map(lambda tensor: tensor.to(device, **kwargs))

    def pin_memory(self: _Moved) -> _Moved:
        return self._map(Tensor.pin_memory)

    def _map(self: _Moved, function: Callable[[Tensor], Tensor]) -> _Moved:
        values = {f.name: getattr(self, f.name) for f in fields(self)}  # type: ignore[arg-type]
        moved = {name: function(value) for name, value in values.items() if isinstance(value, Tensor)}
        return replace(self, **moved)  # type: ignore[type-var]


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch(_Tensors):
    """What the loader gives to a module: B photographs and the N objects of all of them, in the model frame."""

    images: UInt8[Tensor, "b 3 s s"]  # RGB, padded to the right and below
    sizes: Int[Tensor, "b 2"]  # (height, width) of each photograph inside its square
    image_index: Int[Tensor, " n"]  # the image of each object
    targets: Bool[Tensor, "n r r"]
    boxes: Float[Tensor, "n 4"]  # XYXY
    seeds: Int64[Tensor, " n"]
    keys: tuple[str, ...]
    sources: tuple[Source, ...]
    skipped: tuple[Skipped, ...] = ()  # what was passed over while this batch was gathered
    drawn: int = 0  # samples that this batch's stream had drawn, good or bad, when the batch was complete


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompts(_Tensors):
    """N prompts on the images of a batch, in the model frame.

    A box is its two corners, as two points with labels of their own. Where a prompt has points and no box, the
    official weights expect one point labelled PADDING beside them.
    """

    image_index: Int[Tensor, " n"]
    points: Float[Tensor, "n k 2"]  # (x, y)
    labels: Int[Tensor, "n k"]
    masks: Float[Tensor, "n q q"] | None = None  # logits
    has_mask: Bool[Tensor, " n"] | None = None  # None: all have one (where `masks` is given)

    def rows(self, rows: slice) -> Prompts:
        """Some of the prompts."""
        return self._map(lambda tensor: tensor[rows])


@dataclass(frozen=True, slots=True)
class Decoded:
    """What the decoder says of N prompts: M masks each, at a quarter of the model frame's resolution."""

    logits: Float[Tensor, "n m q q"]  # model frame, above 0 is inside
    ious: Float[Tensor, "n m"]  # the decoder's own estimate of each mask's IoU; unbounded


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a predictor says of N prompts on one image."""

    masks: Bool[Tensor, "n m h w"]  # image frame
    ious: Float[Tensor, "n m"]
    logits: Float[Tensor, "n m q q"]  # model frame, fit to be given back as `mask`
