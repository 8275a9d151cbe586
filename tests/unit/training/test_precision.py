"""Every precision with every way to share a run, on the CPU: as near to single precision as half precision is."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from anymask.errors import UserError
from anymask.models.checkpoints import read_checkpoint
from anymask.training import run
from anymask.training.gradients import LossScale
from anymask.training.sam_module import SamModule
from tests.processes import in_processes
from tests.unit.training import small_run

KINDS = {"one": (1, "ddp"), "ddp": (2, "ddp"), "fsdp": (2, "fsdp")}
NEAR = {"bf16-mixed": 5e-4, "16-mixed": 2e-4, "bf16-true": 2e-2}
"""Of the loss, relative: bfloat16 has 8 bits, float16 has 11; a weight in bfloat16 does not move by less than 1/256."""
BEGIN = 256.0
"""The loss scale. The usual one is too large for steps this early, and leaves some of them out."""

ROUNDS = 4
"""Of small_run's: the first prompt, two clicks, one round without."""


def _train(shards: Path, folder: Path, kind: str, options: dict[str, Any], overflow_in: int | None = None) -> list[Any]:
    """The loss scale after the run, in each process. The gradient of its third batch overflows in one of them."""
    world, strategy = KINDS[kind]
    found: list[Any] = []
    backward, passes = SamModule.manual_backward, []

    def note(module: SamModule) -> None:
        scale = module.loss_scale
        found.extend([] if scale is None else [scale.value, scale.good])

    def overflow(module: SamModule, loss: Tensor, *_: Any) -> None:
        passes.append(loss)
        is_one = os.environ["RANK"] == str(overflow_in) and len(passes) == 2 * ROUNDS + 1
        backward(module, loss * torch.inf if is_one else loss)

    SamModule.on_train_end = note  # type: ignore[method-assign, assignment]
    SamModule.manual_backward = overflow  # type: ignore[method-assign, assignment]
    vars(run)["LossScale"] = partial(LossScale, BEGIN)
    small_run.train(shards, folder, images=4 // world, devices=world, strategy=strategy, **options)
    return found


@pytest.fixture(scope="module")
def single(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    folder = tmp_path_factory.mktemp("single")
    in_processes(1, _train, shards, folder, "one", {"steps": 6})
    return small_run.losses(folder)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("precision", NEAR)
def test_near_single_precision(shards: Path, single: list[float], tmp_path: Path, precision: str, kind: str) -> None:
    options = {"steps": 6, "precision": precision, "model": {"checkpoint_activations": True}}
    in_processes(KINDS[kind][0], _train, shards, tmp_path, kind, options)
    assert small_run.losses(tmp_path) == pytest.approx(single, rel=NEAR[precision])
    assert small_run.losses(tmp_path) != single
    weights = read_checkpoint(tmp_path / "checkpoints" / "step_0000006.ckpt")["state_dict"]
    dtypes = {tensor.dtype for name, tensor in weights.items() if name.startswith("sam.") and "gaussian" not in name}
    assert dtypes == {torch.bfloat16 if precision == "bf16-true" else torch.float32}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
def test_an_overflow_in_one_process_is_answered_by_all(shards: Path, tmp_path: Path, kind: str) -> None:
    """They leave the same step out and halve the scale, which goes into the checkpoint and on with another run."""
    options = {"steps": 6, "precision": "16-mixed"}
    scales = in_processes(2, _train, shards, tmp_path, kind, options, 1)
    assert scales == [[BEGIN / 2, 3]] * 2  # two steps, one left out, three steps
    checkpoint = tmp_path / "checkpoints" / "final.ckpt"
    assert all(torch.isfinite(tensor).all() for tensor in read_checkpoint(checkpoint)["state_dict"].values())
    assert len(small_run.losses(tmp_path)) == 5


@pytest.mark.slow
def test_a_run_goes_on_with_its_loss_scale(shards: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"precision": "16-mixed", "checkpoint_every": 1}
    in_processes(2, _train, shards, tmp_path, "fsdp", options | {"steps": 4}, 0)
    resume = tmp_path / "checkpoints" / "step_0000003.ckpt"
    (scale,) = in_processes(1, _train, shards, tmp_path, "one", options | {"steps": 6, "resume": resume})
    assert scale == [BEGIN / 2, 3]  # one step of the first run, two of the other


def test_an_average_in_half_precision_is_refused(shards: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot keep the average of module\.ema_decay=0\.9: its small steps are lost"):
        small_run.train(shards, tmp_path, images=1, steps=1, precision="bf16-true", module={"ema_decay": 0.9})
