"""AdamW with a learning rate that falls from layer to layer, warm-up and decay (SAM, appendix A)."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from msgspec import Meta
from torch import nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

__all__ = ["Optimisation", "layer_scale", "learning_rate_factor", "parameter_groups"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Optimisation:
    """The defaults are the paper's for ViT-H; the two drops are at 60,000 and 86,666 of its 90,000 steps."""

    steps: int
    lr: Annotated[float, Meta(gt=0)] = 8e-4
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: Annotated[float, Meta(ge=0)] = 0.1
    layer_decay: Annotated[float, Meta(gt=0, le=1)] = 0.8
    warmup: Annotated[int, Meta(ge=0)] = 250
    decay: Literal["drops", "cosine"] = "drops"
    drops: tuple[float, ...] = (60_000 / 90_000, 86_666 / 90_000)  # as shares of all steps
    drop_factor: float = 0.1

    def build(self, sam: nn.Module, depth: int) -> tuple[AdamW, LambdaLR]:
        """The optimiser over what is not frozen, and its schedule, to be stepped after each step."""
        groups = parameter_groups(
            sam, depth=depth, lr=self.lr, layer_decay=self.layer_decay, weight_decay=self.weight_decay
        )
        optimiser = AdamW(groups, lr=self.lr, betas=(self.betas[0], self.betas[1]))
        return optimiser, LambdaLR(optimiser, lambda step: learning_rate_factor(self, step))


def learning_rate_factor(optimisation: Optimisation, step: int) -> float:
    """What the learning rate of step ``step`` (from 0) is multiplied by.

    >>> o = Optimisation(steps=90_000)
    >>> [round(learning_rate_factor(o, step), 4) for step in (0, 124, 249, 59_999, 60_000, 86_666)]
    [0.004, 0.5, 1.0, 1.0, 0.1, 0.01]
    """
    o = optimisation
    if step < o.warmup:
        return (step + 1) / o.warmup
    if o.decay == "cosine":
        gone = (step - o.warmup) / max(1, o.steps - o.warmup)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, gone)))
    return o.drop_factor ** sum(step >= round(drop * o.steps) for drop in o.drops)


def parameter_groups(
    sam: nn.Module, *, depth: int, lr: float, layer_decay: float, weight_decay: float
) -> list[dict[str, Any]]:
    """Parameters by learning rate and weight decay, each in exactly one group; frozen ones in none.

    Those of the image encoder, which may be sharded, stay apart from the others, which are not: AdamW takes no mixture.
    The groups are the same whether they are or not, and so are the numbers that a checkpoint gives to parameters.

    Biases, norms and position tables are not decayed. The rate stands in the group itself: torch's schedulers would
    pass over a factor under a name of its own.
    """
    groups: dict[tuple[float, float, bool], list[nn.Parameter]] = {}
    for name, parameter in sam.named_parameters():
        if parameter.requires_grad:
            is_decayed = parameter.ndim > 1 and "pos_embed" not in name and "rel_pos" not in name
            rate = lr * layer_scale(name, depth, layer_decay)
            key = (rate, weight_decay if is_decayed else 0.0, name.startswith("image_encoder."))
            groups.setdefault(key, []).append(parameter)
    return [{"params": params, "lr": rate, "weight_decay": decay} for (rate, decay, _), params in groups.items()]


def layer_scale(name: str, depth: int, layer_decay: float) -> float:
    """``layer_decay`` once for each layer above: the patch embedding is layer 0, block i layer i + 1, all else the top.

    >>> [layer_scale(f"image_encoder.{n}", 2, 0.5) for n in ("pos_embed", "blocks.0.norm1.bias", "neck.0.weight")]
    [0.125, 0.25, 1.0]
    """
    layer = depth + 1
    if name.startswith(("image_encoder.pos_embed", "image_encoder.patch_embed")):
        layer = 0
    elif match := re.match(r"image_encoder\.blocks\.(\d+)\.", name):
        layer = int(match[1]) + 1
    return float(layer_decay ** (depth + 1 - layer))
