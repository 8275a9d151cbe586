"""How several processes train one model: as replicas (ddp), or with the encoder's blocks sharded (fsdp, FSDP2).

         weights of the encoder       prompt encoder, mask decoder     gradients are summed
ddp      all on each GPU              all on each GPU                  once a step (gradients.py)
fsdp     1/n on each GPU, a block     all on each GPU: 4 M of          the encoder's when a block's backward pass
         is gathered when it runs     ViT-H's 641 M                    ends, the others' once a step
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from anymask.models.checkpoints import read_checkpoint
from anymask.models.sharded_checkpoint import write_sharded
from anymask.models.vit import ImageEncoder

__all__ = ["ReplicaStrategy", "ShardStrategy", "backend", "shard", "share_weights"]


class ReplicaStrategy(DDPStrategy):
    """Without DistributedDataParallel, which cannot follow a step of many backward passes (see gradients.py)."""

    def _get_process_group_backend(self) -> str:
        return backend(self.root_device)

    def configure_ddp(self) -> None:
        assert self.lightning_module is not None
        share_weights(self.lightning_module)


class ShardStrategy(ModelParallelStrategy):
    """FSDP2 over all processes. A checkpoint is a folder of shards; what has weights alone is one file.

    Both, and those of other strategies, are gone on from by any number of processes: Lightning's own way confuses the
    states of an optimiser with several groups of parameters.
    """

    def __init__(self, processes: int) -> None:
        super().__init__(data_parallel_size=processes, tensor_parallel_size=1)

    def _get_process_group_backend(self) -> str:
        return backend(self.root_device)

    def lightning_module_state_dict(self) -> dict[str, Any]:
        assert self.model is not None
        return self.model.state_dict()

    def optimizer_state(self, optimizer: Any) -> dict[str, Any]:
        state: dict[str, Any] = optimizer.state_dict()
        return state

    def save_checkpoint(self, checkpoint: dict[str, Any], filepath: Any, storage_options: Any | None = None) -> None:
        if "optimizer_states" in checkpoint:
            write_sharded(checkpoint, Path(filepath), rank=self.global_rank, world=self.world_size, gather=self._gather)
            return
        checkpoint["state_dict"] = {name: _whole(tensor) for name, tensor in checkpoint["state_dict"].items()}
        if self.is_global_zero:
            self.checkpoint_io.save_checkpoint(checkpoint, filepath)
        self.barrier()

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> dict[str, Any]:
        """Give model and optimiser what is theirs, and Lightning the rest."""
        assert self.model is not None
        checkpoint = read_checkpoint(Path(checkpoint_path))
        weights: Mapping[str, Tensor] = checkpoint.pop("state_dict")
        own = self.model.state_dict()
        self.model.load_state_dict({name: _cut_like(own.get(name), tensor) for name, tensor in weights.items()})
        for optimiser, state in zip(self.optimizers, checkpoint.pop("optimizer_states"), strict=True):
            parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
            of_parameters = {
                number: {
                    key: _cut_like(parameters[number], value) if key != "step" else value for key, value in of.items()
                }
                for number, of in state["state"].items()
            }
            optimiser.load_state_dict(state | {"state": of_parameters})
        return checkpoint

    def _gather(self, told: str) -> list[str]:
        given = [""] * self.world_size
        dist.all_gather_object(given, told)
        return given


def _whole(tensor: Any) -> Any:
    return tensor.full_tensor().cpu() if isinstance(tensor, DTensor) else tensor


def _cut_like(own: Any, tensor: Tensor) -> Tensor:
    """This process's part, where its own tensor is sharded; every process has the whole one."""
    if not isinstance(own, DTensor):
        return tensor
    whole = tensor.to(own.device)
    return distribute_tensor(whole, own.device_mesh, own.placements, src_data_rank=None)


def backend(device: torch.device) -> str:
    """What processes agree on without a GPU, they agree on without waiting for it."""
    return "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"


def share_weights(module: nn.Module) -> None:
    """Give every process the weights of the first one."""
    for tensor in chain(module.parameters(), module.buffers()):
        dist.broadcast(tensor.detach(), src=0)


def shard(encoder: ImageEncoder, mesh: DeviceMesh, half: torch.dtype | None = None) -> None:
    """Cut the weights into one part for each process of the mesh; a block is the unit that is gathered.

    ``half``, where autocast computes in it, is what a block's weights are gathered in: half as much is sent, and no
    copies are kept, which would be as large as the whole encoder. Gradients are sums over the processes, as those of
    replicas, in single precision.
    """
    reduced = MixedPrecisionPolicy(reduce_dtype=torch.float32, cast_forward_inputs=False)
    for block in encoder.blocks:
        fully_shard(block, mesh=mesh, mp_policy=replace(reduced, param_dtype=half))
    # What lies around the blocks stays gathered until the way back, if there is one: an average has none.
    has_way_back = any(parameter.requires_grad for parameter in encoder.parameters())
    fully_shard(encoder, mesh=mesh, mp_policy=reduced, reshard_after_forward=not has_way_back)
    for module in encoder.modules():
        if isinstance(module, FSDPModule):
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)  # gloo knows no scaled sum
