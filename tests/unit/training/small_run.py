"""A small training run for tests, which any number of processes can share."""

from __future__ import annotations

import csv
import warnings
from pathlib import Path
from typing import Any

import torch

from anymask.data.datamodule import Loading, ShardsDataModule
from anymask.data.mixture import Mixture
from anymask.data.shard_writer import ShardWriter
from anymask.data.shards import ShardSet
from anymask.data.transforms import ToExample
from anymask.losses import LossWeights
from anymask.matching import Matching
from anymask.models.sam import build
from anymask.prompts import FirstPrompt
from anymask.rounds import Rounds
from anymask.structures import Source
from anymask.training.csv_log import CsvLog
from anymask.training.optim import Optimisation
from anymask.training.run import RunSettings, fit
from anymask.training.sam_module import SamModule
from tests.conftest import draw_scene

__all__ = ["losses", "train", "write_shards"]


def train(
    shards: Path,
    folder: Path,
    *,
    images: int,
    steps: int = 20,
    resume: Path | None = None,
    weights: dict[str, float] | None = None,
    workers: int = 0,
    module: dict[str, Any] | None = None,
    model: dict[str, Any] | None = None,
    seed: int = 0,
    **settings: Any,
) -> Path:
    """``images`` are those of each process. Returns the file with the final weights.

    Clicks come from the truth: where they go by the prediction, rounding moves one of them now and then, and all after.
    """
    warnings.simplefilter("ignore")
    folder.mkdir(exist_ok=True)
    torch.manual_seed(seed)
    own = SamModule(
        build("tiny", image_size=64, **(model or {})),
        optimisation=Optimisation(steps=20, lr=3e-4, warmup=3, drops=(0.5,), layer_decay=0.8),
        rounds=Rounds(clicks=2, last_without_click=False, from_truth=1.0),
        first_prompt=FirstPrompt(weights=weights or {"point": 0.5, "box": 0.5}),
        loss_weights=LossWeights(),
        matching=Matching(),
        accumulate=settings.get("accumulate", 1),
        **({"clip_norm": 0.1} | (module or {})),
    )
    quiet: dict[str, Any] = {"accelerator": "cpu", "pictured_objects": 1, "progress_bar": False, "log_every": 1}
    run = RunSettings(steps=steps, **{"checkpoint_every": steps, "validate_every": steps} | quiet | settings)
    opened = ShardSet.open(str(shards))
    data = ShardsDataModule(
        Mixture.of([opened], oversample={}),
        opened,
        ToExample(image_size=64, loss_size=16),
        Loading(images_per_batch=images, workers=workers, validation_images=3),
        batches=run.batches,
        seed=0,
    )
    return fit(own, data, run, folder, [CsvLog(folder)], resume=resume)


def losses(folder: Path) -> list[float]:
    """Of the logged steps."""
    with (folder / "metrics.csv").open() as file:
        return [float(row["value"]) for row in csv.DictReader(file) if row["name"] == "train/loss"]


def write_shards(folder: Path) -> Path:
    """Eight scenes of two sources."""
    with ShardWriter(folder, samples_per_shard=4) as writer:
        for number in range(8):
            source: Source = "automatic" if number % 4 else "manual"
            writer.write(f"sa_{number}", draw_scene(number, None), source=source)
    return folder
