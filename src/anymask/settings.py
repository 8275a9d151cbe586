"""What conf/ holds, as typed values: a key is a field's name, a group of files a class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from anymask.data.augmentation import Augmentation
from anymask.data.datamodule import Loading
from anymask.errors import UserError
from anymask.evaluation.point_to_mask import PointToMask
from anymask.losses import LossWeights
from anymask.matching import Matching
from anymask.prompts import FirstPrompt
from anymask.rounds import Rounds
from anymask.structures import Source
from anymask.training.optim import Optimisation
from anymask.training.run import RunSettings

__all__ = ["Draw", "Evaluation", "Training"]

Count = Annotated[int, Meta(ge=0)]
Number = Annotated[int, Meta(ge=1)]
Positive = Annotated[float, Meta(gt=0)]
Share = Annotated[float, Meta(ge=0, lt=1)]  # less than all


@dataclass(frozen=True, kw_only=True, slots=True)
class Model:
    """conf/model/: the arguments of ``anymask.build``."""

    name: str
    image_size: Number | None
    drop_path: Share
    dropout: Share
    click_rounds: Count
    checkpoint_activations: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Module:
    """conf/module/: rounds, prompts, loss and how gradients become steps."""

    rounds: Rounds
    first_prompt: FirstPrompt
    loss: LossWeights
    matching: Matching
    ema_decay: Share
    clip_norm: Positive
    freeze: list[str]
    compile: bool
    max_nonfinite: Number


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainSet:
    """One shard set that is drawn from."""

    path: str
    source: Source = "automatic"
    weight: Annotated[float, Meta(ge=0)] = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Draw:
    """A program that writes a folder of shards when they are first needed."""

    program: str
    folder: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Transform:
    """What of a sample is trained on."""

    loss_size: Number | None
    masks_per_image: Number
    max_area: Annotated[float, Meta(gt=0, le=1)]
    augmentation: Augmentation


@dataclass(frozen=True, kw_only=True, slots=True)
class Data:
    """conf/data/."""

    draw: Draw | None
    train: list[TrainSet]
    held_out: str
    oversample: dict[Source, float]
    transform: Transform
    loading: Loading


@dataclass(frozen=True, kw_only=True, slots=True)
class Log:
    """conf/logger/."""

    wandb: Literal["auto", "online", "offline", "disabled"]
    project: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Paths:
    """conf/paths/."""

    data: str
    outputs: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Training:
    """conf/train.yaml."""

    name: str
    seed: Annotated[int, Meta(ge=0, lt=2**32)]
    init_from: str | None
    resume: str | None
    model: Model
    module: Module
    optim: Optimisation
    data: Data
    task: PointToMask
    trainer: RunSettings
    logger: Log
    paths: Paths

    def __post_init__(self) -> None:
        """Raises UserError where steps would be left without a learning rate."""
        rated, steps = self.optim.steps, self.trainer.steps
        if rated < steps:
            raise UserError(f"the learning rate is planned for optim.steps={rated}, less than trainer.steps={steps}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """conf/evaluate/evaluate.yaml."""

    checkpoint: str
    data: str
    out: str | None
    limit: Number | None
    image_size: Number | None
    device: str
    workers: Count
    pictures: bool
    task: PointToMask
