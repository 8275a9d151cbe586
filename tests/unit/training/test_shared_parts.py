"""What of the model trains in several processes: parts that one of them uses, frozen ones, averages, compiled ones."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from anymask.models.checkpoints import read_checkpoint
from anymask.training.sam_module import SamModule
from tests.processes import in_processes
from tests.unit.training import small_run
from tests.unit.training.test_parallel import far

pytestmark = pytest.mark.slow

OF_RANK: list[dict[str, float]] = [{"point": 1.0}, {"box": 0.5, "partial_mask": 0.5}]
"""What the objects of each process are first prompted with."""


def _train_apart(shards: Path, folder: Path, strategy: str) -> dict[str, Tensor]:
    """The weights that every process has, after a run whose prompts differ between them."""
    found: dict[str, Tensor] = {}

    def note(module: SamModule) -> None:
        found.update({name: p.detach().clone() for name, p in module.sam.named_parameters() if "image_enc" not in name})

    SamModule.on_train_end = note  # type: ignore[method-assign, assignment]
    weights = OF_RANK[int(os.environ["RANK"])]
    small_run.train(shards, folder, images=2, steps=8, devices=2, strategy=strategy, weights=weights)
    return found


def test_prompts_that_differ_between_processes(shards: Path, tmp_path: Path) -> None:
    """Both strategies train alike, replicas stay equal to the bit, and what nobody uses keeps its weights."""
    told = {kind: in_processes(2, _train_apart, shards, tmp_path / kind, kind) for kind in ("ddp", "fsdp")}
    for one, other in told.values():
        assert all(torch.equal(one[name], other[name]) for name in one)
    losses = [small_run.losses(tmp_path / kind) for kind in told]
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)
    assert losses[0][-1] < losses[0][0]
    assert far(told["ddp"][0], told["fsdp"][0]) < 1e-5


def _train(
    shards: Path, folder: Path, world: int, module: dict[str, Any], *, is_compiled: bool = False, **more: Any
) -> Path:
    if is_compiled:
        compiled = nn.Module.compile
        nn.Module.compile = lambda self: compiled(self, backend="eager")  # type: ignore[method-assign, misc]
    options: dict[str, Any] = {"images": 4 // world, "devices": world, "strategy": "fsdp", "steps": 6}
    return small_run.train(shards, folder, module=module, **options | more)


def _train_validating(shards: Path, folder: Path, module: dict[str, Any], every: int) -> Path:
    return _train(shards, folder, 2, module, validate_every=every, checkpoint_every=6)


@pytest.mark.parametrize("module", [{}, {"ema_decay": 0.9}, {"ema_decay": 0.9, "freeze": ["image_encoder"]}])
def test_a_validation_on_the_way_leaves_shards_as_they_were(
    shards: Path, tmp_path: Path, module: dict[str, Any]
) -> None:
    """No checkpoint follows it, which would give back what it has gathered."""
    often, once = (
        read_checkpoint(in_processes(2, _train_validating, shards, tmp_path / str(every), module, every)[0])
        for every in (2, 6)
    )
    assert often["state_dict"].keys() == once["state_dict"].keys()
    assert all(torch.equal(often["state_dict"][name], tensor) for name, tensor in once["state_dict"].items())


@pytest.mark.parametrize("part", ["image_encoder", "image_encoder.blocks.1", "mask_decoder"])
def test_a_frozen_part_keeps_its_weights(shards: Path, tmp_path: Path, part: str) -> None:
    """With the encoder in shards; and the others train as they do in one process."""
    module = {"freeze": [part]}
    weights = [
        read_checkpoint(in_processes(world, _train, shards, tmp_path / str(world), world, module)[0])["state_dict"]
        for world in (1, 2)
    ]
    begun = small_run.train(shards, tmp_path / "begun", images=1, steps=1, module=module)
    first = read_checkpoint(begun)["state_dict"]
    frozen = [name for name in first if name.startswith(f"sam.{part}.")]
    assert frozen
    assert all(torch.equal(first[name], weights[1][name]) for name in frozen)
    assert far(*weights) < 1e-5
    assert small_run.losses(tmp_path / "1") == pytest.approx(small_run.losses(tmp_path / "2"), abs=1e-6)


def test_compiled_blocks_in_shards(shards: Path, tmp_path: Path) -> None:
    """By the compiler that changes no operation: what it traces is what runs otherwise."""
    plain, compiled = (
        read_checkpoint(in_processes(2, run, shards, tmp_path / name, 2, {"compile": name == "compiled"})[0])
        for name, run in (("plain", _train), ("compiled", _train_compiled))
    )
    assert far(plain["state_dict"], compiled["state_dict"]) < 1e-5
    assert small_run.losses(tmp_path / "plain") == pytest.approx(small_run.losses(tmp_path / "compiled"), abs=1e-6)


def _train_compiled(shards: Path, folder: Path, world: int, module: dict[str, Any]) -> Path:
    return _train(shards, folder, world, module, is_compiled=True)
