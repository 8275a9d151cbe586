"""Against what is alive in a step: on meta tensors with CUDA's kernels and autocast, in a real step, on a real GPU."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.testing._internal.distributed.fake_pg import FakeStore

from anymask.models.sam import ARCHITECTURES, Sam, build
from anymask.planning.activations import Precision, decoder_round, encoder
from anymask.planning.memory import RESERVE, memory
from anymask.planning.parameters import parameters
from anymask.planning.workload import Workload, architecture
from anymask.rounds import Rounds
from anymask.training.parallel import shard
from tests.unit.planning.metering import Alive, as_on_cuda, batch, encode, loss_of, model, real_step, saved_bytes, step

TWO = Rounds(clicks=1, round_without_click=False, last_without_click=False)


def workload(name: str, size: int | None = None, images: int = 1, masks: int = 8, **options: Any) -> Workload:
    given: dict[str, Any] = {"rounds": Rounds(), "images": images, "masks_per_image": masks} | options
    return Workload(architecture=architecture(name, image_size=size), **given)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "bf16-true"])
@pytest.mark.parametrize(
    "work",
    [workload("vit_b"), workload("vit_h", 512, images=2), workload("vit_b", 512, checkpoint_activations=True)],
    ids=["vit_b", "two-images-vit_h", "checkpointed"],
)
def test_what_the_encoder_keeps(work: Workload, precision: Precision) -> None:
    name = next(name for name, known in ARCHITECTURES.items() if known.depth == work.architecture.depth)
    with as_on_cuda(precision):
        sam = model(
            name,
            precision,
            image_size=work.architecture.image_size,
            checkpoint_activations=work.checkpoint_activations,
        )
        measured = saved_bytes(lambda: encode(sam, work.images), sam)
    kept = encoder(work).of(precision)
    if precision == "bf16-mixed":  # the weights in half precision are saved too, where they are not made again
        others = ["image_encoder.blocks"] if work.checkpoint_activations else []
        counts = [parameters(work.architecture, frozen).cast for frozen in (others, ["image_encoder"])]
        kept += 2 * (counts[0] - counts[1])
    assert kept == pytest.approx(measured, rel=0.02)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "bf16-true"])
@pytest.mark.parametrize(("images", "index"), [(1, 0), (2, 0), (1, 1), (2, 9)])  # no masks; few tokens, many
def test_what_a_round_keeps(images: int, index: int, precision: Precision) -> None:
    work = workload("vit_b", 1024, images=images, masks=16)
    shape = work.architecture
    with as_on_cuda(precision):
        sam = model("vit_b", precision)
        dtype = torch.bfloat16 if precision == "bf16-true" else torch.float32
        leaf = torch.zeros(images, shape.dim, shape.grid, shape.grid, device="meta", dtype=dtype, requires_grad=True)
        targets = torch.zeros(work.objects, work.lattice, work.lattice, dtype=torch.bool, device="meta")
        measured = saved_bytes(lambda: loss_of(sam, leaf, work, index, targets), sam)
    assert decoder_round(work, index).of(precision) == pytest.approx(measured, rel=0.03)


@pytest.mark.parametrize(
    ("name", "work", "precision", "accumulate", "average"),
    [
        ("vit_b", workload("vit_b", masks=32, rounds=TWO), "bf16-mixed", 1, False),  # a round is the fullest moment
        ("tiny", workload("tiny", masks=4, rounds=TWO), "bf16-true", 2, True),
        ("tiny", workload("tiny", 64, images=2, rounds=TWO, checkpoint_activations=True), "bf16-mixed", 1, True),
        ("vit_b", workload("vit_b", rounds=TWO, frozen=("image_encoder",)), "bf16-mixed", 1, False),
        ("tiny", workload("tiny", 512, images=2, masks=10, rounds=TWO, loss_size=96), "32-true", 1, False),
        ("vit_h", workload("vit_h", masks=2, rounds=TWO, drop_path=0.4), "bf16-mixed", 1, False),  # the way back is
    ],
    ids=["vit_b", "averaged", "optimiser", "frozen", "tiny", "vit_h"],
)
def test_the_fullest_moment(name: str, work: Workload, precision: Precision, accumulate: int, average: bool) -> None:
    with as_on_cuda(precision), Alive() as alive:
        sam = model(
            name,
            precision,
            image_size=work.architecture.image_size,
            checkpoint_activations=work.checkpoint_activations,
            drop_path=work.drop_path,
        )
        for part in work.frozen:
            sam.get_submodule(part).requires_grad_(False)
        measured = step(sam, work, alive, average=average, accumulate=accumulate)
    planned = memory(work, precision, "single", accumulate=accumulate, average=average)
    assert planned.peak == pytest.approx(measured, rel=0.05)


@pytest.mark.parametrize("at_once", [None, 4])
def test_a_real_step(at_once: int | None) -> None:
    """Of the training step itself, on the CPU; AdamW has no moments there yet."""
    work = workload("tiny", 256, images=2, masks=12, rounds=Rounds(clicks=2), prompts_at_once=at_once)
    module, given = real_step(build("tiny"), work)
    with Alive() as alive:
        for parameter in module.parameters():
            alive.add(parameter)
        module.training_step(given, 0)
    planned = memory(work, "32-true", "single", accumulate=2)
    assert planned.peak - planned.optimiser == pytest.approx(alive.most, rel=0.15)


@pytest.mark.parametrize("frozen", [(), ("image_encoder.blocks",)])
def test_weights_gradients_and_moments(frozen: tuple[str, ...]) -> None:
    work = workload("tiny", 64, rounds=TWO, frozen=frozen)
    sam = build("tiny", image_size=64)
    for part in frozen:
        sam.get_submodule(part).requires_grad_(False)
    optimiser = torch.optim.AdamW([p for p in sam.parameters() if p.requires_grad])
    batch(sam, work)
    optimiser.step()
    planned = memory(work, "32-true", "single")
    assert planned.weights == sum(p.nbytes for p in sam.parameters())
    moments = [t for state in optimiser.state.values() for name, t in state.items() if name != "step"]
    # The one mask that was decoded has a network of its own, three others had no gradient in the end.
    assert planned.optimiser == pytest.approx(sum(t.nbytes for t in moments), rel=0.01)


def test_shards_are_parts_of_the_encoder() -> None:
    work = workload("vit_b")
    alone, of_eight = (memory(work, "32-true", "fsdp", processes=number) for number in (1, 8))
    counts = parameters(work.architecture)
    assert alone.weights - of_eight.weights == pytest.approx(4 * counts.encoder * 7 / 8)
    assert alone.optimiser - of_eight.optimiser == pytest.approx(8 * counts.encoder * 7 / 8)
    assert of_eight.encoder == alone.encoder
    assert memory(work, "32-true", "ddp", processes=8) == memory(work, "32-true", "single")


class AliveWithShards(Alive):
    """FSDP empties a storage and fills it again, so that each is asked for its size after every operation."""

    def __init__(self) -> None:
        super().__init__()
        self.storages: dict[int, Any] = {}

    def add(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        self.storages[storage._cdata] = weakref.ref(storage)
        sizes = {key: found.nbytes() for key, ref in self.storages.items() if (found := ref()) is not None}
        self.storages = {key: self.storages[key] for key in sizes}
        self.now = sum(sizes.values())
        self.most = max(self.most, self.now)


@pytest.fixture
def eight_processes() -> Iterator[Any]:
    """This one and seven that nobody runs: what they would send is not looked at."""
    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=8)
    yield init_device_mesh("cpu", (8,))
    dist.destroy_process_group()


@pytest.mark.filterwarnings("ignore:FSDP2-wrapped module:UserWarning")
@pytest.mark.parametrize("checkpointed", [False, True])
def test_the_fullest_moment_with_shards(eight_processes: Any, checkpointed: bool) -> None:
    work = workload("tiny", 128, masks=4, rounds=TWO, checkpoint_activations=checkpointed)
    sam = build("tiny", image_size=128, checkpoint_activations=checkpointed)
    shard(sam.image_encoder, eight_processes)
    with AliveWithShards() as alive:
        for parameter in sam.parameters():
            alive.add(parameter.to_local() if hasattr(parameter, "to_local") else parameter)
        batch(sam, work)
    planned = memory(work, "32-true", "fsdp", processes=8)
    assert planned.peak - planned.optimiser == pytest.approx(alive.most, rel=0.15)


def _left_by_a_step(sam: Sam, *, mixed: bool) -> int:
    """Bytes, while autocast is still on."""
    with AliveWithShards() as alive, torch.autocast("cpu", torch.bfloat16, enabled=mixed):
        embeddings = encode(sam, 1)
        embeddings.backward(torch.ones_like(embeddings))
        del embeddings
        alive.add(torch.zeros(0))
        left = alive.now
    for parameter in sam.parameters():
        parameter.grad = None
    return left


@pytest.mark.filterwarnings("ignore:FSDP2-wrapped module:UserWarning")
@pytest.mark.parametrize("half", [None, torch.bfloat16])
def test_blocks_that_are_gathered_in_half_precision_leave_no_copies(
    eight_processes: Any, half: torch.dtype | None
) -> None:
    """With checkpointing too autocast's copies outlive the gathered weights, and are as many as without shards."""
    whole, sharded = (build("tiny", image_size=64, checkpoint_activations=True) for _ in range(2))
    shard(whole.image_encoder, eight_processes)
    shard(sharded.image_encoder, eight_processes, half)
    copies = _left_by_a_step(sharded, mixed=True) - _left_by_a_step(whole, mixed=False)
    counts, others = (parameters(architecture("tiny", image_size=64), frozen) for frozen in ([], ["image_encoder"]))
    assert copies == 2 * (counts.cast - others.cast - (counts.cast_in_blocks if half else 0))


def test_the_reserve_is_on_top() -> None:
    planned = memory(workload("tiny"), "32-true", "single")
    assert planned.needed == pytest.approx(1.05 * planned.peak + RESERVE)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("checkpointed", [False, True])
def test_the_fullest_moment_on_a_gpu(checkpointed: bool, precision: Precision) -> None:
    work = workload("vit_b", masks=16, rounds=TWO, checkpoint_activations=checkpointed)
    sam = build("vit_b", checkpoint_activations=checkpointed).cuda()
    optimiser = torch.optim.AdamW(sam.parameters())
    for _ in range(2):
        torch.cuda.reset_peak_memory_stats()
        with torch.autocast("cuda", torch.bfloat16, enabled=precision == "bf16-mixed"):
            batch(sam, work)
            optimiser.step()
        optimiser.zero_grad()
    assert memory(work, precision, "single").peak == pytest.approx(torch.cuda.max_memory_allocated(), rel=0.15)


def test_more_of_anything_needs_more() -> None:
    work = workload("vit_b", masks=4)
    least = memory(work, "bf16-mixed", "single").peak
    for other in (replace(work, images=2), replace(work, masks_per_image=8), replace(work, loss_size=512)):
        assert memory(other, "bf16-mixed", "single").peak > least
    assert memory(work, "32-true", "single").peak > least
    assert memory(replace(work, checkpoint_activations=True), "bf16-mixed", "single").peak < least
