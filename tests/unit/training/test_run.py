from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from anymask.data.datamodule import Loading, ShardsDataModule
from anymask.data.mixture import Mixture
from anymask.data.shards import ShardSet
from anymask.data.transforms import ToExample
from anymask.errors import UserError
from anymask.losses import LossWeights
from anymask.matching import Matching
from anymask.models.checkpoints import read_checkpoint
from anymask.models.sam import build
from anymask.prompts import FirstPrompt
from anymask.rounds import Rounds
from anymask.training.checkpointing import newest_checkpoint
from anymask.training.csv_log import CsvLog
from anymask.training.optim import Optimisation
from anymask.training.run import RunSettings, fit
from anymask.training.sam_module import SamModule

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:lightning", "ignore:.*LeafSpec.*")


def _module() -> SamModule:
    torch.manual_seed(0)
    return SamModule(
        build("tiny", image_size=64),
        optimisation=Optimisation(steps=10, lr=1e-3, warmup=3, drops=()),
        rounds=Rounds(clicks=0, round_without_click=False, last_without_click=False),
        first_prompt=FirstPrompt(),
        loss_weights=LossWeights(),
        matching=Matching(),
    )


def _fit(shards: Path, folder: Path, *, steps: int, resume: Path | None = None, **settings: Any) -> SamModule:
    """With a checkpoint at each step; returns the module."""
    folder.mkdir(exist_ok=True)
    module, held_out = _module(), ShardSet.open(str(shards))
    small: dict[str, Any] = {"accelerator": "cpu", "pictured_objects": 1, "progress_bar": False}
    run = RunSettings(steps=steps, checkpoint_every=1, validate_every=2, log_every=1, **small | settings)
    data = ShardsDataModule(
        Mixture.of([held_out], oversample={}),
        held_out,
        ToExample(image_size=64, loss_size=16),
        Loading(images_per_batch=1, workers=0, validation_images=1),
        batches=run.batches,
        seed=0,
    )
    fit(module, data, run, folder, [CsvLog(folder)], resume=resume)
    return module


def _state(folder: Path) -> dict[str, torch.Tensor]:
    return read_checkpoint(folder / "checkpoints" / "final.ckpt")["state_dict"]


def test_a_finished_run_that_is_given_more_steps_is_the_run_that_had_them(tiny_shards: Path, tmp_path: Path) -> None:
    """Its last checkpoint says that the last batch was met; Lightning ended there without a word."""
    _fit(tiny_shards, tmp_path / "whole", steps=4)
    _fit(tiny_shards, tmp_path / "parts", steps=2)
    found = newest_checkpoint(tmp_path / "parts")
    assert found is not None
    path, step = found
    assert step == 2
    _fit(tiny_shards, tmp_path / "parts", steps=4, resume=path)
    whole, parts = _state(tmp_path / "whole"), _state(tmp_path / "parts")
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_the_module_goes_back_to_its_device(tiny_shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lightning ends with the module on the CPU, and what is measured next was measured there."""
    moves: list[object] = []
    monkeypatch.setattr(SamModule, "cpu", lambda self: moves.append("at the end"))
    monkeypatch.setattr(SamModule, "to", lambda self, device: moves.append(device))
    _fit(tiny_shards, tmp_path / "run", steps=1)
    assert moves[-2:] == ["at the end", torch.device("cpu")]


def test_the_logged_rate_is_the_step_s_own(tiny_shards: Path, tmp_path: Path) -> None:
    _fit(tiny_shards, tmp_path / "run", steps=4)
    rows = [line.split(",") for line in (tmp_path / "run" / "metrics.csv").read_text().splitlines()]
    rates = {int(step): float(value) for step, name, value in rows if name == "train/lr"}
    assert rates == pytest.approx({1: 1e-3 / 3, 2: 2e-3 / 3, 3: 1e-3, 4: 1e-3})


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_an_accelerator_that_is_not_there_is_named(tiny_shards: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"trainer.accelerator='gpu' cannot be used: torch finds no CUDA device"):
        _fit(tiny_shards, tmp_path / "run", steps=1, accelerator="gpu")


@pytest.mark.parametrize(
    ("processes", "images", "accumulate"), [((1, 1), 1, 24), ((1, 8), 1, 3), ((2, 4), 3, 1), ((3, 1), 4, 2)]
)
def test_a_step_has_so_many_images(processes: tuple[int, int], images: int, accumulate: int) -> None:
    nodes, devices = processes
    settings = RunSettings(steps=7, nodes=nodes, devices=devices, images_per_step=24)
    assert settings.accumulating(images).batches == 7 * accumulate
    assert RunSettings(steps=7, accumulate=2).accumulating(images).batches == 14


def test_images_of_a_step_that_do_not_come_out_even() -> None:
    settings = RunSettings(steps=7, nodes=2, devices=8, images_per_step=24)
    with pytest.raises(UserError, match=r"trainer\.images_per_step=24 is no multiple of the 32 images that 16 process"):
        settings.accumulating(2)
    with pytest.raises(UserError, match=r"trainer\.accumulate=2 follows from trainer\.images_per_step=24"):
        RunSettings(steps=7, accumulate=2, images_per_step=24)
