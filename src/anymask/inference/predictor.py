"""Set images once, prompt them many times.

predictor = Predictor(sam)
predictor.set_image(photograph)                                    # RGB, uint8
prediction = predictor.predict(points=[[[310, 200]]], labels=[[1]])
prediction.masks[0, prediction.ious[0].argmax()]                   # bool, height x width of the photograph
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from anymask.errors import UserError
from anymask.geometry import Frame, resize_image
from anymask.inference.postprocess import image_masks
from anymask.models.sam import AMBIGUOUS, SINGLE, Sam
from anymask.structures import Label, Prediction, Prompts

__all__ = ["Predictor", "check_image"]

NO_POINT = -1
"""The label by which a user leaves a place of ``points`` empty."""


class Predictor:
    """Masks of photographs for points, boxes and masks, all given and answered in image pixels."""

    def __init__(self, sam: Sam) -> None:
        """Puts the model into evaluation mode and works on its device."""
        self.sam = sam.eval()
        self._frames: list[Frame] = []
        self._embeddings: Float[Tensor, "b c g g"] | None = None

    def set_image(self, image: Any) -> None:
        """Encode one photograph, (height, width, 3) RGB of type uint8. Raises UserError for anything else."""
        self.set_images([image])

    @torch.inference_mode()
    def set_images(self, images: Sequence[Any]) -> None:
        """Encode several photographs, of any sizes, in one call of the encoder; they replace those set before.

        Raises UserError for an empty list and for what is not (height, width, 3) RGB of type uint8.
        """
        if len(images) == 0:
            raise UserError("set_images needs at least one image, the list is empty")
        for image in images:
            check_image(image)
        self._frames = [Frame.of(image.shape[:2], self.sam.image_size) for image in images]
        squares = torch.stack(
            [resize_image(image, frame, by="pillow") for image, frame in zip(images, self._frames, strict=True)]
        )
        sizes = torch.tensor([frame.content for frame in self._frames])
        self._embeddings = self.sam.encode(squares.to(self._device), sizes.to(self._device))

    @torch.inference_mode()
    def predict(
        self,
        *,
        points: Any = None,
        labels: Any = None,
        box: Any = None,
        mask: Any = None,
        multimask: bool = True,
        image_index: int = 0,
    ) -> Prediction:
        """Masks for N prompts on the image number ``image_index`` of those set.

        Everything may be a numpy array, a tensor or nested lists; what is given must agree in N, and at least one
        kind of prompt must be given. ``multimask`` asks for the three masks of an ambiguous prompt, else for one.

        points  (N, K, 2)    (x, y) in image pixels, the centre of the first pixel is (0, 0)
        labels  (N, K)       1 foreground, 0 background, -1 an empty place where prompts have fewer points than K
        box     (N, 4)       x0, y0, x1, y1 in image pixels
        mask    (N, 4G, 4G)  logits in the model frame, such as one of ``Prediction.logits``

        For a single prompt the leading N may be left out; the answer has it. Raises UserError where a shape does not
        fit, a prompt lies outside the image, a value is not finite or a label is none of these.
        """
        frame = self._frame(image_index)
        points, labels = _points(points, labels, frame)
        box = None if box is None else _box(box, frame)
        mask = None if mask is None else _mask(mask, 4 * self.sam.architecture.grid)
        number = _number_of_prompts(points=points, box=box, mask=mask)
        if box is None and mask is None:
            _refuse_pointless(labels)
        prompts = Prompts(
            image_index=torch.zeros(number, dtype=torch.long),
            **_sparse(number, points, labels, box, frame),
            masks=mask,
        ).to(self._device)
        return self._decode(prompts, image_index, SINGLE if not multimask else AMBIGUOUS)

    @property
    def _device(self) -> torch.device:
        return next(self.sam.parameters()).device

    def _frame(self, image_index: int) -> Frame:
        if not self._frames:
            raise UserError("there is no image yet: call set_image before predict")
        if not 0 <= image_index < len(self._frames):
            raise UserError(f"image_index is {image_index}, the images that are set have 0 to {len(self._frames) - 1}")
        return self._frames[image_index]

    def _decode(self, prompts: Prompts, image_index: int, outputs: slice) -> Prediction:
        assert self._embeddings is not None
        embedding = self._embeddings[image_index : image_index + 1]
        decoded = self.sam.decode(embedding, prompts, outputs=outputs)
        logits = decoded.logits.float()
        return Prediction(image_masks(logits, self._frames[image_index]), decoded.ious.float(), logits)


def _sparse(
    number: int, points: Tensor | None, labels: Tensor | None, box: Tensor | None, frame: Frame
) -> dict[str, Tensor]:
    """Points and corners in the model frame. Points without a box are joined by one PADDING point, as ever in SAM."""
    places, kinds = torch.zeros(number, 0, 2), torch.zeros(number, 0, dtype=torch.long)
    if points is not None and labels is not None:
        places = frame.points_to_model(points)
        kinds = torch.where(labels == NO_POINT, Label.ABSENT, labels)
        if box is None:
            places = torch.cat([places, torch.zeros(number, 1, 2)], dim=1)
            kinds = torch.cat([kinds, torch.full((number, 1), Label.PADDING)], dim=1)
    if box is not None:
        corners = torch.tensor([Label.CORNER_TOP_LEFT, Label.CORNER_BOTTOM_RIGHT])
        places = torch.cat([places, frame.points_to_model(box.view(-1, 2, 2))], dim=1)
        kinds = torch.cat([kinds, corners.expand(number, 2)], dim=1)
    return {"points": places, "labels": kinds}


def check_image(image: Any) -> None:
    """Raises UserError for what is not (height, width, 3) RGB of type uint8."""
    if not isinstance(image, np.ndarray):
        raise UserError(f"an image must be a numpy array (height, width, 3), not {type(image).__name__}")
    if image.dtype != np.uint8:
        raise UserError(f"an image must be of type uint8 with values 0 to 255, not {image.dtype}")
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise UserError(f"an image must be (height, width, 3), RGB; this one is {image.shape}")


def _points(
    points: Any, labels: Any, frame: Frame
) -> tuple[Float[Tensor, "n k 2"], Int[Tensor, "n k"]] | tuple[None, None]:
    if points is None and labels is None:
        return None, None
    if points is None or labels is None:
        given, absent = ("points", "labels") if labels is None else ("labels", "points")
        raise UserError(f"{given} are given without {absent}: each point needs a label, 1 foreground or 0 background")
    places = _tensor(points, "points", "(N, K, 2)", 3)
    kinds = _tensor(labels, "labels", "(N, K)", 2)
    if places.shape[2] != 2 or places.shape[1] == 0 or kinds.shape != places.shape[:2]:
        raise UserError(
            f"points must be (N, K, 2) and labels (N, K), these are {tuple(places.shape)} and {tuple(kinds.shape)}"
        )
    strange = kinds[(kinds != Label.FOREGROUND) & (kinds != Label.BACKGROUND) & (kinds != NO_POINT)]
    if len(strange):
        raise UserError(f"a label must be 1 (foreground), 0 (background) or -1 (no point), not {strange[0].item():g}")
    _refuse_outside(places[kinds != NO_POINT], frame, "point")
    return torch.where(kinds[..., None] == NO_POINT, 0.0, places), kinds.long()


def _box(box: Any, frame: Frame) -> Float[Tensor, "n 4"]:
    boxes = _tensor(box, "box", "(N, 4)", 2)
    if boxes.shape[1] != 4:
        raise UserError(f"box must be (N, 4), this one is {tuple(boxes.shape)}")
    _refuse_outside(boxes.reshape(-1, 2), frame, "corner of a box")
    for x0, y0, x1, y1 in boxes.tolist():
        if x1 < x0 or y1 < y0:
            raise UserError(
                f"a box must be x0, y0, x1, y1 with x0 <= x1 and y0 <= y1, not {x0:g}, {y0:g}, {x1:g}, {y1:g}"
            )
    return boxes


def _mask(mask: Any, side: int) -> Float[Tensor, "n a a"]:
    masks = _tensor(mask, "mask", f"(N, {side}, {side})", 3)
    if masks.shape[1:] != (side, side):
        raise UserError(f"mask must be logits (N, {side}, {side}) in the model frame, this one is {tuple(masks.shape)}")
    if not torch.isfinite(masks).all():
        raise UserError("mask has values that are not finite")
    return masks


def _tensor(value: Any, name: str, shape: str, dims: int) -> Float[Tensor, "*n"]:
    """As float32 on the CPU, with the leading N if it was left out."""
    try:
        tensor = torch.as_tensor(value).detach().to("cpu", torch.float32)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"{name} must be numbers of shape {shape}: {error}") from None
    if tensor.dim() == dims - 1:
        tensor = tensor[None]
    if tensor.dim() != dims or len(tensor) == 0:
        raise UserError(f"{name} must be {shape} with N of 1 or more, this is {tuple(tensor.shape)}")
    return tensor


def _refuse_outside(places: Float[Tensor, "k 2"], frame: Frame, what: str) -> None:
    """Edges count as inside, whether a pixel's place is its centre (-0.5 to W - 0.5) or its corner (0 to W)."""
    height, width = frame.cropped
    x, y = places.unbind(dim=1)
    inside = (x >= -0.5) & (x <= width) & (y >= -0.5) & (y <= height)  # NaN is not
    for place in places[~inside].tolist():
        raise UserError(f"the {what} ({place[0]:g}, {place[1]:g}) lies outside the image of {width} x {height} pixels")


def _refuse_pointless(labels: Int[Tensor, "n k"] | None) -> None:
    empty = [] if labels is None else (labels == NO_POINT).all(dim=1).nonzero().flatten().tolist()
    if empty:
        raise UserError(f"prompt {empty[0]} has no point: all its labels are -1, and there is no box and no mask")


def _number_of_prompts(**given: Tensor | None) -> int:
    numbers = {name: len(tensor) for name, tensor in given.items() if tensor is not None}
    if not numbers:
        raise UserError("there is no prompt: give points with labels, a box or a mask")
    if len(set(numbers.values())) > 1:
        raise UserError(f"the prompts differ in number: {', '.join(f'{n} {name}' for name, n in numbers.items())}")
    return next(iter(numbers.values()))
