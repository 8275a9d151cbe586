"""What conf/ holds, as typed values: a key is a field's name, a group of files a class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from anymask.data.augmentation import Augmentation
from anymask.data.datamodule import Loading
from anymask.evaluation.point_to_mask import PointToMask
from anymask.losses import LossWeights
from anymask.matching import Matching
from anymask.prompts import FirstPrompt
from anymask.rounds import Rounds
from anymask.structures import Source
from anymask.training.optim import Optimisation
from anymask.training.run import RunSettings

__all__ = ["Evaluation", "Training"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Model:
    """conf/model/: the arguments of ``anymask.build``."""

    name: str
    image_size: int | None
    drop_path: float
    dropout: float
    click_rounds: int
    checkpoint_activations: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Module:
    """conf/module/: rounds, prompts, loss and how gradients become steps."""

    rounds: Rounds
    first_prompt: FirstPrompt
    loss: LossWeights
    matching: Matching
    ema_decay: float
    clip_norm: float
    freeze: list[str]
    compile: bool
    max_nonfinite: int


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainSet:
    """One shard set that is drawn from."""

    path: str
    source: Source = "automatic"
    weight: float = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Transform:
    """What of a sample is trained on."""

    loss_size: int | None
    masks_per_image: int
    max_area: float
    augmentation: Augmentation


@dataclass(frozen=True, kw_only=True, slots=True)
class Data:
    """conf/data/."""

    draw: str | None  # a program that makes the shards where they are not there
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
    seed: int
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """conf/evaluate/evaluate.yaml."""

    checkpoint: str
    data: str
    out: str | None
    limit: int | None
    image_size: int | None
    device: str
    workers: int
    pictures: bool
    task: PointToMask
