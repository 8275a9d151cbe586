from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor

from anymask.errors import UserError
from anymask.models.checkpoints import read_checkpoint
from anymask.models.sharded_checkpoint import REST, write_sharded
from tests.processes import in_processes


def _tensor(rows: int, seed: int) -> Tensor:
    return torch.randn(rows, 3, generator=torch.Generator().manual_seed(seed))


def _content(cut: Any) -> dict[str, Any]:
    """As Lightning has it: weights, a state of two parameters, and what is no tensor."""
    return {
        "global_step": 7,
        "state_dict": {"sam.one": cut(_tensor(5, 0)), "sam.two": cut(_tensor(1, 1)), "sam.rest": _tensor(2, 2)},
        "optimizer_states": [
            {
                "state": {
                    0: {"step": torch.tensor(7.0), "exp_avg": cut(_tensor(5, 3))},
                    1: {"step": torch.tensor(7.0), "exp_avg": _tensor(2, 4)},
                },
                "param_groups": [{"lr": 0.1, "params": [0, 1]}],
            }
        ],
    }


def _write(path: Path, content: Any) -> None:
    dist.init_process_group("gloo")
    rank, world = dist.get_rank(), dist.get_world_size()
    mesh = init_device_mesh("cpu", (world,))

    def gather(told: str) -> list[str]:
        given = [""] * world
        dist.all_gather_object(given, told)
        return given

    checkpoint = content(lambda tensor: distribute_tensor(tensor, mesh, [Shard(0)]))
    write_sharded(checkpoint, path, rank=rank, world=world, gather=gather)
    own = checkpoint["state_dict"]["sam.one"].to_local()  # the checkpoint itself is as it was
    assert torch.equal(own, distribute_tensor(_tensor(5, 0), mesh, [Shard(0)]).to_local())
    dist.destroy_process_group()


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sharded") / "step.ckpt"
    in_processes(2, _write, path, _content)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("world", [2, 3, 4])
def test_many_files_are_the_checkpoint_of_a_single_process(tmp_path: Path, world: int) -> None:
    """Five rows and one row, cut for more processes than there are rows too."""
    path = tmp_path / "step.ckpt"
    in_processes(world, _write, path, _content)
    names = {REST, *(f"shard_{rank:05d}_of_{world:05d}.pt" for rank in range(world))}
    assert {file.name for file in path.iterdir()} == names
    assert [file.name for file in tmp_path.iterdir()] == ["step.ckpt"]
    assert _same(read_checkpoint(path), _content(lambda tensor: tensor))


def test_each_process_writes_only_its_own_rows(written: Path) -> None:
    rows = [torch.load(written / f"shard_0000{rank}_of_00002.pt")["state_dict/sam.one"].tolist() for rank in range(2)]
    assert [len(part) for part in rows] == [3, 2]
    assert rows[0] + rows[1] == _tensor(5, 0).tolist()
    assert list(torch.load(written / REST)["state_dict"]) == ["sam.rest"]


def test_a_part_that_is_missing_is_named(written: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "step.ckpt"
    shutil.copytree(written, damaged)
    (damaged / "shard_00001_of_00002.pt").unlink()
    with pytest.raises(UserError, match=r"is not whole: shard_00001_of_00002\.pt is missing \(1 of 2 parts\)"):
        read_checkpoint(damaged)


def test_a_part_that_is_cut_short_is_named(written: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "step.ckpt"
    shutil.copytree(written, damaged)
    part = damaged / "shard_00000_of_00002.pt"
    part.write_bytes(part.read_bytes()[:300])
    with pytest.raises(UserError, match=r"shard_00000_of_00002\.pt cannot be read, it is damaged or cut short"):
        read_checkpoint(damaged)
