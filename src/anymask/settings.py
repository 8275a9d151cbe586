"""What conf/ holds, as typed values: a key is a field's name, a group of files a class."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, Literal

from msgspec import Meta

from anymask.data.augmentation import Augmentation
from anymask.data.datamodule import Loading
from anymask.errors import UserError
from anymask.evaluation.edges.protocol import Edges
from anymask.evaluation.instance_segmentation.protocol import InstanceSegmentation
from anymask.evaluation.point_to_mask.protocol import PointToMask
from anymask.evaluation.point_to_mask.sets import SETS
from anymask.evaluation.proposals.protocol import Proposals
from anymask.evaluation.task import TASKS, TaskName
from anymask.launching.slurm import EvaluationSlurm, TrainingSlurm
from anymask.losses import LossWeights
from anymask.matching import Matching
from anymask.prompts import FirstPrompt
from anymask.rounds import Rounds
from anymask.structures import Source
from anymask.training.optim import Optimisation
from anymask.training.run import RunSettings

__all__ = ["DataOf", "Draw", "Evaluation", "Training"]

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
    prompts_at_once: Number | None
    max_nonfinite: Number


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainSet:
    """One shard set that is drawn from."""

    path: str
    source: Source = "automatic"
    weight: Annotated[float, Meta(ge=0)] = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class AllowedPipes:
    """Programs that a ``pipe:`` address may run, and the folder that keeps what they print."""

    programs: tuple[str, ...]
    copies: str | None


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
    pipes: AllowedPipes
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
    point_to_mask: PointToMask
    trainer: RunSettings
    logger: Log
    paths: Paths
    launcher: TrainingSlurm | None = None

    def __post_init__(self) -> None:
        """Raises UserError where steps would be left without a learning rate."""
        rated, steps = self.optim.steps, self.trainer.steps
        if rated < steps:
            raise UserError(f"the learning rate is planned for optim.steps={rated}, less than trainer.steps={steps}")


@dataclass(frozen=True, kw_only=True, slots=True)
class DataOf:
    """Where the data of each task are, in the place of those of all."""

    point_to_mask: str | None
    edges: str | None
    proposals: str | None
    instance_segmentation: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """conf/evaluate/evaluate.yaml, and the tasks that were chosen."""

    checkpoint: str | None
    data: str | None
    root: str | None
    images: str | None
    detections: str | None
    predictions: str | None
    data_of: DataOf
    compare: list[str]
    out: str | None
    limit: Number | None
    image_size: Number | None
    device: str
    workers: Count
    pictures: bool
    point_to_mask: PointToMask | None = None
    edges: Edges | None = None
    proposals: Proposals | None = None
    instance_segmentation: InstanceSegmentation | None = None
    launcher: EvaluationSlurm | None = None

    @property
    def tasks(self) -> list[TaskName]:
        """Those that were chosen."""
        return [name for name in TASKS if getattr(self, name) is not None]

    @property
    def is_over_sets(self) -> bool:
        """Whether point-to-mask is measured on all of the paper's sets that are at hand."""
        return "point_to_mask" in self.tasks and self.data_for("point_to_mask") == SETS

    def data_for(self, task: TaskName) -> str:
        """Raises UserError where nothing was said."""
        own = getattr(self.data_of, task) or self.data
        if own is None:
            others = f" or data_of.{task}=…" if len(self.tasks) > 1 else ""
            raise UserError(f"give a value for data=…{others}")
        return str(own)

    def __post_init__(self) -> None:
        """Raises UserError for what is missing, and for what no chosen task would look at."""
        if self.compare:
            return
        missing = [name for name, is_missing in self._needed() if is_missing]
        if missing:
            raise UserError(f"give a value for {', '.join(f'{name}=…' for name in missing)}")
        for name, task in (("detections", "instance_segmentation"), ("predictions", "edges")):
            if getattr(self, name) is not None and task not in self.tasks:
                raise UserError(f"{name}={getattr(self, name)!r} is for task={task}: leave it out, or name that task")
        for name, path in asdict(self.data_of).items():
            if path is not None and name not in self.tasks:
                raise UserError(f"data_of.{name}={path!r} is for task={name}: leave it out, or name that task")
        if self.predictions is not None and self.tasks == ["edges"] and self.checkpoint is not None:
            raise UserError(f"checkpoint={self.checkpoint!r} draws no map where predictions are given: leave it out")
        self._check_sets()
        if self.images is not None and not any(self.data_for(task).endswith(".json") for task in self.tasks):
            raise UserError(f"images={self.images!r} is for data in COCO's form, a .json: leave it out")

    def _check_sets(self) -> None:
        """Raises UserError where the paper's sets of point-to-mask, or their folder, are given to anything else."""
        if self.root is not None and not self.is_over_sets:
            raise UserError(f"root={self.root!r} is for data={SETS}: leave it out, or say data={SETS}")
        for task in self.tasks:
            if task != "point_to_mask" and self.data_for(task) == SETS:
                raise UserError(
                    f"data={SETS!r} is for task=point_to_mask: name other data for {task} "
                    f"(with task=all: data_of.point_to_mask={SETS})"
                )

    def _needed(self) -> list[tuple[str, bool]]:
        needs_model = self.predictions is None or self.tasks != ["edges"]
        has_data = self.data is not None or all(getattr(self.data_of, task) is not None for task in self.tasks)
        needs_detections = "instance_segmentation" in self.tasks
        return [
            ("checkpoint", needs_model and self.checkpoint is None),
            ("data", not has_data),
            ("detections", needs_detections and self.detections is None),
        ]
