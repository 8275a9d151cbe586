"""Simulated prompts for training and validation (SAM, appendix A): first points, boxes and masks; then error clicks.

Everything is drawn for all objects at once on their device, each object by itself from its own numbers. Truth and
predictions lie on a lattice of R x R cells over the model frame; a drawn cell becomes a whole pixel of the model frame
within it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from anymask.draws import Draws
from anymask.errors import UserError
from anymask.regions import deepest_pixel, squared_depth, uniform_pixel
from anymask.structures import Label, Prompts

__all__ = ["BoxNoise", "FirstPrompt", "FirstPromptKind", "Objects", "error_click"]

FirstPromptKind = Literal[
    "point", "centre_point", "grid_point", "box", "tight_box", "loose_box", "box_and_point",
    "dilated_mask", "eroded_mask", "partial_mask",
]  # fmt: skip

MASK_PROMPT_LOGIT = 10.0
"""How sure a mask prompt made from the truth is: about what a trained model says of a clear pixel."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Objects:
    """The N objects to be prompted for."""

    targets: Bool[Tensor, "n r r"]
    boxes: Float[Tensor, "n 4"]  # XYXY of the first and last pixel, model frame
    image_index: Int[Tensor, " n"]
    content: Bool[Tensor, "n r r"]  # where the lattice lies on the photograph
    sizes: Int[Tensor, "n 2"]  # (height, width) of the photograph in the model frame
    image_size: int  # side of the model frame
    mask_size: int  # side of mask prompts
    draws: Draws  # what their prompts are drawn from

    def middle_points(self, pixels: Int[Tensor, "n 2"]) -> Float[Tensor, "n 2"]:
        """Lattice cells to pixels of the model frame: the one in the middle of each."""
        return ((pixels + 0.5) * (self.image_size / self.targets.shape[-1])).floor()

    def random_points(self, pixels: Int[Tensor, "n 2"]) -> Float[Tensor, "n 2"]:
        """Lattice cells to pixels of the model frame: a random one within each."""
        cell = self.image_size / self.targets.shape[-1]
        within = self.draws.uniform(2).float()
        last = ((pixels + 1) * cell).ceil() - 1  # in single precision, 200 + .99999999 is 201
        return torch.minimum(((pixels + within) * cell).floor(), last)


@dataclass(frozen=True, kw_only=True, slots=True)
class BoxNoise:
    """Noise on each coordinate of a box: a tenth of the box's side, at most 20 pixels of a 1024 pixel frame.

    The paper's is gaussian with that standard deviation; SAM 2's code draws uniformly within it.
    """

    kind: Literal["gaussian", "uniform"] = "gaussian"
    share: float = 0.1
    most: float = 20.0

    def of(self, boxes: Float[Tensor, "n 4"], image_size: int, draws: Draws) -> Float[Tensor, "n 4"]:
        """What to add to each coordinate."""
        most = self.most * image_size / 1024
        side = (boxes[:, 2:] - boxes[:, :2] + 1).repeat(1, 2)
        if self.kind == "gaussian":
            return (draws.normal(4).float() * self.share * side).clamp(-most, most)
        return (2 * draws.uniform(4).float() - 1) * (self.share * side).clamp(max=most)


@dataclass(frozen=True, kw_only=True)
class FirstPrompt:
    """How an object is prompted for the first time: kinds with their weights, drawn for each object.

    Raises UserError for an unknown kind or weights that are not above 0 in sum.
    """

    weights: Mapping[str, float] = field(default_factory=lambda: {"point": 0.5, "box": 0.5})
    box_noise: BoxNoise = field(default_factory=BoxNoise)
    loose: float = 0.2  # a loose box reaches out by up to this share of its side, on each side
    grid: int = 16  # points a side of the lattice of `grid_point`
    reach: float = 0.2  # a mask is dilated or eroded by up to this share of the root of its area

    def __post_init__(self) -> None:
        unknown = set(self.weights) - set(get_args(FirstPromptKind))
        if unknown:
            raise UserError(
                f"unknown kinds of first prompt {sorted(unknown)}: there are {', '.join(get_args(FirstPromptKind))}"
            )
        if any(weight < 0 for weight in self.weights.values()) or sum(self.weights.values()) <= 0:
            raise UserError(f"the weights of the first prompt must be positive: {dict(self.weights)}")

    def draw(self, objects: Objects) -> Prompts:
        """One prompt per object."""
        kinds = [kind for kind, weight in self.weights.items() if weight > 0]
        makers = self._makers()
        prompts = [makers[kind](objects) for kind in kinds]
        if len(prompts) == 1:
            return prompts[0]
        shares = torch.tensor([self.weights[kind] for kind in kinds], dtype=torch.float64).cumsum(0)
        drawn = objects.draws.uniform()[:, 0]
        return _mixed(prompts, torch.bucketize(drawn * shares[-1], shares[:-1].to(drawn.device), right=True))

    def _makers(self) -> dict[str, Callable[[Objects], Prompts]]:
        return {
            "point": lambda o: _points(o, o.random_points(uniform_pixel(o.targets, o.draws)[0])),
            "centre_point": lambda o: _points(o, o.middle_points(deepest_pixel(o.targets)[0])),
            "grid_point": lambda o: _points(o, o.middle_points(self._grid_pixel(o))),
            "box": lambda o: _boxes(o, o.boxes + self.box_noise.of(o.boxes, o.image_size, o.draws)),
            "tight_box": lambda o: _boxes(o, o.boxes),
            "loose_box": lambda o: _boxes(o, self._loosened(o)),
            "box_and_point": self._box_and_point,
            "dilated_mask": lambda o: _masks(o, self._squared_distance(o) <= self._square_reach(o)),
            "eroded_mask": lambda o: _masks(o, squared_depth(o.targets) > self._square_reach(o)),
            "partial_mask": lambda o: _masks(o, _half(o.targets, o.draws)),
        }

    def _grid_pixel(self, objects: Objects) -> Int[Tensor, "n 2"]:
        """A random point of a regular lattice within the mask; a random pixel where none falls into it."""
        side = objects.targets.shape[-1]
        centres = ((torch.arange(self.grid) + 0.5) * side / self.grid).long()
        lattice = torch.zeros(side, side, dtype=torch.bool)
        lattice[centres[:, None], centres] = True
        pixel, found = uniform_pixel(objects.targets & lattice.to(objects.targets.device), objects.draws)
        return torch.where(found[:, None], pixel, uniform_pixel(objects.targets, objects.draws)[0])

    def _loosened(self, objects: Objects) -> Float[Tensor, "n 4"]:
        boxes = objects.boxes
        side = (boxes[:, 2:] - boxes[:, :2] + 1).repeat(1, 2)
        outwards = torch.tensor([-1.0, -1.0, 1.0, 1.0], device=boxes.device)
        return boxes + outwards * self.loose * side * objects.draws.uniform(4).float()

    def _box_and_point(self, objects: Objects) -> Prompts:
        box = _boxes(objects, objects.boxes + self.box_noise.of(objects.boxes, objects.image_size, objects.draws))
        point = objects.random_points(uniform_pixel(objects.targets, objects.draws)[0])
        label = torch.full_like(box.labels[:, :1], Label.FOREGROUND)
        return Prompts(
            image_index=objects.image_index,
            points=torch.cat([point[:, None], box.points], dim=1),
            labels=torch.cat([label, box.labels], dim=1),
        )

    def _squared_distance(self, objects: Objects) -> Int[Tensor, "n r r"]:
        """To the mask, of each cell outside, as far as a mask can reach; nothing comes in over the lattice's edge."""
        margin = int(self.reach * objects.targets.shape[-1]) + 1
        outside = F.pad(~objects.targets, (margin,) * 4, value=True)
        return squared_depth(outside)[:, margin:-margin, margin:-margin]

    def _square_reach(self, objects: Objects) -> Float[Tensor, "n 1 1"]:
        area = objects.targets.sum(dim=(1, 2))
        return ((self.reach * objects.draws.uniform()[:, 0].float()).square() * area)[:, None, None]


def error_click(
    objects: Objects,
    predicted: Bool[Tensor, "n r r"],
    *,
    place: Literal["uniform", "centre"],
    from_truth: float,
) -> tuple[Float[Tensor, "n 2"], Int[Tensor, " n"]]:
    """The next click of each object: where its prediction is wrong, foreground on what is missing, else background.

    ``uniform`` draws from all wrong pixels, as in training; ``centre`` takes the middle of the largest error, as in
    the evaluation. With probability ``from_truth`` a click comes from the object itself. A prediction without an error
    gets no click: its label is ABSENT.
    """
    missing = objects.targets & ~predicted
    surplus = ~objects.targets & predicted & objects.content
    if place == "uniform":
        pixel, found = uniform_pixel(missing | surplus, objects.draws)
        is_missing = missing[torch.arange(len(pixel), device=pixel.device), pixel[:, 1], pixel[:, 0]]
    else:
        (missing_pixel, missing_depth), (surplus_pixel, surplus_depth) = deepest_pixel(missing), deepest_pixel(surplus)
        is_missing = missing_depth > surplus_depth
        pixel = torch.where(is_missing[:, None], missing_pixel, surplus_pixel)
        found = (missing_depth > 0) | (surplus_depth > 0)
    labels = torch.where(is_missing, int(Label.FOREGROUND), int(Label.BACKGROUND))
    if from_truth > 0:
        drawn = objects.draws.uniform()[:, 0] < from_truth
        pixel = torch.where(drawn[:, None], uniform_pixel(objects.targets, objects.draws)[0], pixel)
        labels = torch.where(drawn, int(Label.FOREGROUND), labels)
        found = found | drawn
    labels = torch.where(found, labels, int(Label.ABSENT))
    return (objects.random_points if place == "uniform" else objects.middle_points)(pixel), labels


def _points(objects: Objects, points: Float[Tensor, "n 2"]) -> Prompts:
    labels = torch.tensor([Label.FOREGROUND, Label.PADDING], device=points.device).expand(len(points), 2)
    return Prompts(
        image_index=objects.image_index, points=torch.stack([points, torch.zeros_like(points)], dim=1), labels=labels
    )


def _boxes(objects: Objects, boxes: Float[Tensor, "n 4"]) -> Prompts:
    last = (objects.sizes.flip(1) - 1).repeat(1, 2).to(boxes.dtype)
    corners = torch.minimum(boxes.clamp(min=0), last).view(-1, 2, 2)
    corners = torch.stack([corners.amin(dim=1), corners.amax(dim=1)], dim=1)  # noise may turn a thin box inside out
    labels = torch.tensor([Label.CORNER_TOP_LEFT, Label.CORNER_BOTTOM_RIGHT], device=boxes.device)
    return Prompts(image_index=objects.image_index, points=corners, labels=labels.expand(len(boxes), 2))


def _masks(objects: Objects, masks: Bool[Tensor, "n r r"]) -> Prompts:
    side = (objects.mask_size, objects.mask_size)
    logits = (F.interpolate(masks[:, None].float(), side, mode="nearest")[:, 0] * 2 - 1) * MASK_PROMPT_LOGIT
    points = torch.zeros(len(masks), 2, 2, device=masks.device)
    labels = torch.full((len(masks), 2), Label.ABSENT, device=masks.device)
    return Prompts(image_index=objects.image_index, points=points, labels=labels, masks=logits)


def _half(masks: Bool[Tensor, "n r r"], draws: Draws) -> Bool[Tensor, "n r r"]:
    """The part of each mask on one side of a random line through a random pixel of it."""
    pixel, _ = uniform_pixel(masks, draws)
    angle = 2 * torch.pi * draws.uniform()[:, 0].float()
    place = torch.arange(masks.shape[-1], device=masks.device)
    across = (place - pixel[:, :1]) * angle.cos()[:, None]
    down = (place - pixel[:, 1:]) * angle.sin()[:, None]
    return masks & (across[:, None, :] + down[:, :, None] >= 0)


def _mixed(prompts: list[Prompts], chosen: Int[Tensor, " n"]) -> Prompts:
    """Row by row the prompt that was chosen; the lists of points are filled up with ABSENT to one length."""
    longest = max(prompt.labels.shape[1] for prompt in prompts)
    rows = torch.arange(len(chosen), device=chosen.device)
    gaps = [longest - prompt.labels.shape[1] for prompt in prompts]
    points = torch.stack([F.pad(p.points, (0, 0, 0, gap)) for p, gap in zip(prompts, gaps, strict=True)])
    labels = torch.stack([F.pad(p.labels, (0, gap), value=Label.ABSENT) for p, gap in zip(prompts, gaps, strict=True)])
    with_mask = [prompt.masks for prompt in prompts if prompt.masks is not None]
    masks = has_mask = None
    if with_mask:
        none = torch.zeros_like(with_mask[0])
        masks = torch.stack([none if p.masks is None else p.masks for p in prompts])[chosen, rows]
        has_mask = torch.tensor([p.masks is not None for p in prompts], device=chosen.device)[chosen]
    return Prompts(
        image_index=prompts[0].image_index,
        points=points[chosen, rows],
        labels=labels[chosen, rows],
        masks=masks,
        has_mask=has_mask,
    )
