"""One process against several, as replicas and as shards: the same run but for rounding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from anymask.models.checkpoints import read_checkpoint
from tests.processes import in_processes
from tests.unit.training import small_run


def _train(shards: Path, folder: Path, world: int, options: dict[str, Any]) -> Path:
    return small_run.train(shards, folder, images=4 // world, devices=world, **options)


def _run(shards: Path, folder: Path, world: int, **options: Any) -> tuple[list[float], dict[str, torch.Tensor]]:
    """Losses and final weights."""
    final = in_processes(world, _train, shards, folder, world, options)[0]
    return small_run.losses(folder), read_checkpoint(final)["state_dict"]


def far(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> float:
    """The largest difference, but of the biases of keys.

    A softmax is blind to these: their gradient is rounding and nothing else, which Adam brings to full size.
    """
    assert first.keys() == second.keys()
    far = {name: (first[name].float() - second[name].float()).abs() for name in first}
    for name, difference in far.items():
        if name.endswith("qkv.bias"):
            difference.view(3, -1)[1] = 0
    return max(difference.max().item() for name, difference in far.items() if not name.endswith("k_proj.bias"))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"accumulate": 2, "module": {"ema_decay": 0.9}, "model": {"checkpoint_activations": True}},
    ],
    ids=["clipped, by layers", "accumulated, averaged, checkpointed"],
)
def test_several_processes_train_as_one(tiny_shards: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    """Loss within 1e-6 and parameters within 1e-5 over 20 steps."""
    alone = _run(tiny_shards, tmp_path / "alone", 1, **options)
    assert len(alone[0]) == 20
    for world in (2, 4):
        for strategy in ("ddp", "fsdp"):
            shared = _run(tiny_shards, tmp_path / f"{strategy}{world}", world, strategy=strategy, **options)
            apart = max(abs(a - b) for a, b in zip(alone[0], shared[0], strict=True))
            assert apart < 1e-6, (strategy, world)
            assert far(alone[1], shared[1]) < 1e-5
