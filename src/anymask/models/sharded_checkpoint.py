"""A checkpoint of a model that is sharded: a folder to which every process writes its own part, at the same time.

    step_0001000.ckpt/
        rest.pt                    what every process has: counters, schedules, replicated weights (by the first one)
        shard_00000_of_00008.pt    rows of the sharded tensors, by name: one after another they are the whole tensor

These are plain files of torch, read without unpickling code, by any number of processes. (torch's own distributed
checkpoints hold a pickle.) The folder gets its name when all parts are on the disk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, Shard

from anymask.atomic import discard, put_in_place
from anymask.errors import UserError
from anymask.models.torch_files import write_torch_file

__all__ = ["REST", "read_sharded", "write_sharded"]

REST = "rest.pt"
Gather = Callable[[str], list[str]]
"""What each process gives to all of them."""


def write_sharded(checkpoint: dict[str, Any], path: Path, *, rank: int, world: int, gather: Gather) -> None:
    """Write Lightning's ``checkpoint``, of which large tensors may be DTensors; every process calls it.

    Raises UserError in all of them where one could not write; what was at ``path`` before is still there.
    """
    part = path.with_name(f".{path.name}.part")
    if rank == 0:
        discard(part)
    gather("")
    error = ""
    try:
        part.mkdir(parents=True, exist_ok=True)
        shards = {name: tensor.to_local() for name, _, tensor in _tensors(checkpoint) if isinstance(tensor, DTensor)}
        write_torch_file(shards, part / _name(rank, world))
        if rank == 0:
            write_torch_file(_without_shards(checkpoint) | {"shards": world}, part / REST)
    except OSError as failure:
        error = f"process {rank}: {failure.strerror}"
    if errors := [each for each in gather(error) if each]:
        if rank == 0:
            discard(part)
        raise UserError(f"the checkpoint {path} could not be written, the one before it is whole: {'; '.join(errors)}")
    if rank == 0:
        put_in_place(part, path)
    gather("")


def read_sharded(path: Path, read: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    """The whole checkpoint as a single process would have written it; ``read`` reads a file of torch.

    Raises UserError where a part is missing.
    """
    checkpoint = read(path / REST)
    world = checkpoint.pop("shards", 0)
    files = [path / _name(rank, world) for rank in range(world)]
    if missing := [file.name for file in files if not file.is_file()]:
        raise UserError(f"{path} is not whole: {missing[0]} is missing ({len(missing)} of {world} parts)")
    parts = [read(file) for file in files]
    for name in parts[0] if parts else ():
        _holder(checkpoint, name)[name.rpartition("/")[2]] = torch.cat([part[name] for part in parts])
    return checkpoint


def _name(rank: int, world: int) -> str:
    return f"shard_{rank:05d}_of_{world:05d}.pt"


def _tensors(checkpoint: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any], Tensor]]:
    """Weights and what the optimiser keeps of each, with a name and the dictionary that holds it."""
    weights = checkpoint["state_dict"]
    yield from ((f"state_dict/{name}", weights, tensor) for name, tensor in weights.items())
    for number, optimiser in enumerate(checkpoint.get("optimizer_states", [])):
        for parameter, state in optimiser["state"].items():
            for key, value in state.items():
                if isinstance(value, Tensor):
                    yield f"optimizer_states/{number}/{parameter}/{key}", state, value


def _without_shards(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """A copy, as deep as tensors are taken out of it."""
    own = dict(checkpoint) | {"state_dict": dict(checkpoint["state_dict"])}
    own["optimizer_states"] = [
        optimiser | {"state": {parameter: dict(state) for parameter, state in optimiser["state"].items()}}
        for optimiser in checkpoint.get("optimizer_states", [])
    ]
    for name, holder, tensor in list(_tensors(own)):
        if isinstance(tensor, DTensor):
            assert tensor.placements == (Shard(0),), f"{name} is cut otherwise than by rows"
            del holder[name.rpartition("/")[2]]
    return own


def _holder(checkpoint: dict[str, Any], name: str) -> dict[Any, Any]:
    """The dictionary that a name of ``_tensors`` belongs into."""
    kind, *places = name.split("/")
    held: dict[Any, Any] = checkpoint[kind] if kind == "state_dict" else checkpoint[kind][int(places[0])]["state"]
    return held if kind == "state_dict" else held.setdefault(int(places[1]), {})
