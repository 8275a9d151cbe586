"""Gradients of all processes to one step: summed, divided by the objects of all, clipped by their common norm.

A sharded parameter (FSDP2's DTensor) has a gradient that is summed and cut already: its backward pass does that. All
others are replicas, whose gradients are summed here, once a step. They are not left to DistributedDataParallel, which
sums at the end of *a* backward pass; a training step goes back once for each round, and then through the encoder.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

__all__ = ["LossScale", "local", "normalise_and_clip", "sum_over_processes"]

BUCKET = 2**25
"""Elements that are sent together: many small messages wait more than they transfer."""


def sum_over_processes(parameters: Sequence[nn.Parameter]) -> None:
    """Give every replica the sum of its gradients, made in float32. A parameter that no process used keeps none.

    Every process calls it with the same parameters, whichever of them its own objects used.
    """
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return
    used = torch.tensor([p.grad is not None for p in parameters], dtype=torch.uint8)
    dist.all_reduce(used, op=dist.ReduceOp.MAX)  # on the CPU: nothing waits for the device
    replicas = [p for p, is_used in zip(parameters, used.tolist(), strict=True) if is_used and not _is_sharded(p)]
    for parameter in replicas:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    sent = []
    for bucket in _buckets(p.grad for p in replicas if p.grad is not None):
        flat = torch.cat([gradient.flatten() for gradient in bucket]).float()
        sent.append((bucket, flat, dist.all_reduce(flat, async_op=True)))
    for bucket, flat, work in sent:
        work.wait()
        parts = flat.split([gradient.numel() for gradient in bucket])
        torch._foreach_copy_(bucket, [part.view_as(own) for part, own in zip(parts, bucket, strict=True)])


def normalise_and_clip(
    parameters: Iterable[nn.Parameter], *, objects: Tensor | float, clip_norm: float
) -> Float[Tensor, ""]:
    """Sums over objects to their mean, then clipped by the norm of all; returns the norm before, the same everywhere.

    A norm that is not finite leaves gradients of no use: the step is to be left out.
    """
    with_gradient = [p for p in parameters if p.grad is not None]
    gradients = [local(p.grad) for p in with_gradient if p.grad is not None]
    torch._foreach_div_(gradients, objects)
    norms = torch.stack(torch._foreach_norm(gradients)).float()
    is_shard = torch.tensor([_is_sharded(p) for p in with_gradient], device=norms.device)
    squares = torch.stack([norms[~is_shard].square().sum(), norms[is_shard].square().sum()])
    if any(map(_is_sharded, with_gradient)):
        dist.all_reduce(squares[1:])
    norm = squares.sum().sqrt()
    torch._foreach_mul_(gradients, (clip_norm / (norm + 1e-6)).clamp(max=1.0))
    return norm


def local(tensor: Tensor) -> Tensor:
    """The part of a sharded tensor that this process has; another tensor is all there."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def _is_sharded(tensor: Tensor) -> bool:
    return isinstance(tensor, DTensor)


def _buckets(gradients: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    bucket: list[Tensor] = []
    for gradient in gradients:
        bucket.append(gradient)
        if sum(each.numel() for each in bucket) >= BUCKET:
            yield bucket
            bucket = []
    if bucket:
        yield bucket


class LossScale:
    """What a loss is multiplied by, so that gradients in half precision do not vanish (Micikevicius et al. 2018).

    Halved where a gradient was not finite, doubled after ``patience`` steps that went well. torch's GradScaler decides
    by the gradients of each process alone, which differ where they are shards.
    """

    def __init__(self, value: float = 2.0**16, patience: int = 2000) -> None:
        self.value, self.patience = value, patience
        self.good = 0  # steps since it was last changed

    def update(self, *, finite: bool) -> None:
        self.good = self.good + 1 if finite else 0
        if not finite or self.good == self.patience:
            self.value, self.good = self.value * (2.0 if finite else 0.5), 0
