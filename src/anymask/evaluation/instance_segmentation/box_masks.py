"""One mask for each of many boxes on an image, as run lengths.

Nothing is brought to the size of the image but the mask that is kept: of the three that a box is asked for, two are
only looked at for their estimated IoU, and what is refined has its logits looked at by the decoder alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from anymask.errors import UserError
from anymask.evaluation.instance_segmentation.protocol import InstanceSegmentation
from anymask.geometry import Frame
from anymask.inference.windows import AtImageSize
from anymask.models.sam import AMBIGUOUS, SINGLE, Sam
from anymask.structures import Decoded, Label, Prompts, Rle

__all__ = ["BoxMask", "masks_of_boxes"]

BOXES_AT_ONCE = 64
"""What the decoder works on is 10 MB for each, on an accelerator all of them at the same time."""


@dataclass(frozen=True, slots=True)
class BoxMask:
    """The mask of one box."""

    rle: Rle  # image frame
    iou: float  # the model's own estimate


@torch.inference_mode()
def masks_of_boxes(
    sam: Sam,
    embedding: Float[Tensor, "1 c g g"],
    frame: Frame,
    boxes: Float[Tensor, "n 4"],
    settings: InstanceSegmentation,
) -> list[BoxMask]:
    """``boxes`` are XYXY in the image frame and may reach beyond it; ``frame`` is the image's that was encoded.

    Raises UserError if the model answers with values that are not finite.
    """
    at_image_size = AtImageSize(frame, sam.mask_size)
    found: list[BoxMask] = []
    for some in boxes.split(BOXES_AT_ONCE):
        corners = frame.points_to_model(some.view(-1, 2, 2)).to(embedding.device)
        best = _best(sam.decode(embedding, _prompts(corners, None), outputs=_outputs(settings)))
        if settings.refinement:
            best = _best(sam.decode(embedding, _prompts(corners, best.logits[:, 0]), outputs=SINGLE))
        rles = at_image_size.encode(best.logits[:, 0], frame.cropped)
        found += [BoxMask(rle, iou) for rle, iou in zip(rles, best.ious[:, 0].tolist(), strict=True)]
    return found


def _outputs(settings: InstanceSegmentation) -> slice:
    return AMBIGUOUS if settings.multimask == "argmax" else SINGLE


def _prompts(corners: Float[Tensor, "n 2 2"], logits: Float[Tensor, "n q q"] | None) -> Prompts:
    labels = torch.tensor([[Label.CORNER_TOP_LEFT, Label.CORNER_BOTTOM_RIGHT]], device=corners.device)
    return Prompts(
        image_index=torch.zeros(len(corners), dtype=torch.long, device=corners.device),
        points=corners,
        labels=labels.expand(len(corners), 2),
        masks=logits,
    )


def _best(decoded: Decoded) -> Decoded:
    """Of each prompt the mask with the highest estimate."""
    ious, logits = decoded.ious.float(), decoded.logits.float()
    if not ious.isfinite().all() or not logits.isfinite().all():
        raise UserError("the model answers with values that are not finite: its weights are damaged")
    row, best = torch.arange(len(ious), device=ious.device), ious.argmax(dim=1)
    return Decoded(logits[row, best][:, None], ious[row, best][:, None])
