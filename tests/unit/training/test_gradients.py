"""Against torch's own clipping and plain sums, in one process and in two."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
import torch.distributed as dist
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor

from anymask.training import gradients
from anymask.training.gradients import LossScale, local, normalise_and_clip, sum_over_processes
from tests.processes import in_processes

SHAPES = [(5, 3), (4,), (2, 2, 2)]


def _gradients(seed: int, scale: float = 1.0) -> list[Tensor]:
    chance = torch.Generator().manual_seed(seed)
    return [scale * torch.randn(shape, generator=chance) for shape in SHAPES]


def _parameters(gradients: Sequence[Tensor | None]) -> list[nn.Parameter]:
    parameters = [nn.Parameter(torch.zeros(shape)) for shape in SHAPES]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
    return parameters


@given(seed=st.integers(0, 99), scale=st.floats(1e-3, 1e3), objects=st.floats(1, 64), clip=st.floats(1e-2, 1e2))
def test_clips_as_torch_does(seed: int, scale: float, objects: float, clip: float) -> None:
    ours, theirs = _parameters(_gradients(seed, scale)), _parameters(_gradients(seed, scale / objects))
    norm = normalise_and_clip(ours, objects=objects, clip_norm=clip)
    torch.testing.assert_close(norm, nn.utils.clip_grad_norm_(theirs, clip))
    for own, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(own.grad, other.grad)


def test_a_gradient_that_is_not_finite_shows_in_the_norm() -> None:
    gradients = _gradients(0)
    gradients[1][2] = torch.nan
    assert not torch.isfinite(normalise_and_clip(_parameters(gradients), objects=1.0, clip_norm=1.0))


def _summed(bucket: int) -> list[Tensor | None]:
    """The second process alone uses the third parameter, nobody a fourth."""
    dist.init_process_group("gloo")
    gradients.BUCKET = bucket
    first, second, third = _gradients(dist.get_rank())
    parameters = [*_parameters([first, second, third if dist.get_rank() else None]), nn.Parameter(torch.zeros(2))]
    sum_over_processes(parameters)
    dist.destroy_process_group()
    return [parameter.grad for parameter in parameters]


@pytest.mark.parametrize("bucket", [1, 16, 2**25])
def test_each_process_has_the_sum(bucket: int) -> None:
    one, two = _gradients(0), _gradients(1)
    for first, second, third, unused in in_processes(2, _summed, bucket):
        torch.testing.assert_close(first, one[0] + two[0])
        torch.testing.assert_close(second, one[1] + two[1])
        assert torch.equal(third, two[2])
        assert unused is None


def _clipped() -> tuple[Tensor, list[Tensor]]:
    """The first parameter is sharded, the others are replicas."""
    dist.init_process_group("gloo")
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    first, *others = _gradients(0)
    sharded = nn.Parameter(distribute_tensor(torch.zeros(SHAPES[0]), mesh, [Shard(0)]))
    sharded.grad = distribute_tensor(first, mesh, [Shard(0)])
    parameters = [sharded, *_parameters([first, *others])[1:]]
    norm = normalise_and_clip(parameters, objects=3.0, clip_norm=0.1)
    clipped = [local(sharded.grad), *others]
    dist.destroy_process_group()
    return norm, clipped


@pytest.mark.parametrize("world", [2, 3])
def test_shards_and_replicas_have_one_norm(world: int) -> None:
    alone = _gradients(0)
    norm = normalise_and_clip(_parameters(alone), objects=3.0, clip_norm=0.1)
    told = in_processes(world, _clipped)
    for theirs, _ in told:
        torch.testing.assert_close(theirs, norm)
    torch.testing.assert_close(torch.cat([parts[0] for _, parts in told]), alone[0])
    for _, parts in told:
        torch.testing.assert_close(parts[1:], alone[1:])


def test_a_loss_scale_is_halved_at_once_and_doubled_after_a_while() -> None:
    scale = LossScale(value=8.0, patience=3)
    seen = []
    for finite in (False, True, True, True, True, True, False, True, True, True):
        scale.update(finite=finite)
        seen.append(scale.value)
    assert seen == [4.0, 4.0, 4.0, 8.0, 8.0, 8.0, 4.0, 4.0, 4.0, 8.0]
