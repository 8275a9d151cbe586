"""Against torch's own counter, on meta tensors and on a real step."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from anymask.models.sam import build
from anymask.planning.flops import decoder_round, encoder, step
from anymask.planning.workload import Workload, architecture
from anymask.rounds import Rounds
from tests.unit.planning.metering import as_on_cuda, encode, loss_of, model, real_step

ELEVEN = Rounds()


def counted(name: str, work: Workload) -> tuple[float, float]:
    """Of the encoder, forward and in all."""
    sam = model(
        name,
        image_size=work.architecture.image_size,
        drop_path=work.drop_path,
        checkpoint_activations=work.checkpoint_activations,
    )
    for part in work.frozen:
        sam.get_submodule(part).requires_grad_(False)
    with as_on_cuda("32-true"), FlopCounterMode(display=False) as counter:
        embeddings = encode(sam, work.images)
        forward = counter.get_total_flops()
        if embeddings.requires_grad:
            embeddings.backward(torch.empty_like(embeddings))
    return forward, counter.get_total_flops()


@pytest.mark.parametrize(
    ("name", "size", "options"),
    [
        ("tiny", 128, {"images": 2, "checkpoint_activations": True, "drop_path": 0.3}),
        ("vit_b", 1024, {}),
        ("vit_b", 512, {"checkpoint_activations": True}),
        ("vit_b", 224, {"frozen": ("image_encoder.patch_embed", "image_encoder.blocks.0", "image_encoder.neck")}),
        ("tiny", 256, {"frozen": ("image_encoder",)}),
        ("vit_h", 1024, {"checkpoint_activations": True, "drop_path": 0.4}),
    ],
)
def test_the_encoder(name: str, size: int, options: dict[str, Any]) -> None:
    shape = architecture(name, image_size=size)
    given: dict[str, Any] = {"images": 1, "masks_per_image": 1, "rounds": ELEVEN} | options
    work = Workload(architecture=shape, **given)
    assert [work.images * flops for flops in encoder(work)] == pytest.approx(counted(name, work), rel=1e-3)


@pytest.mark.parametrize(
    ("name", "size", "images", "masks", "rounds", "kinds"),
    [
        ("tiny", 256, 3, 2, Rounds(ambiguous="single_point"), ("point", "box_and_point")),
        ("vit_b", 1024, 1, 64, ELEVEN, ("point", "box")),
        ("vit_b", 512, 2, 8, Rounds(feed_previous_mask=False, ambiguous="never"), ("tight_box",)),
        ("vit_b", 512, 2, 8, ELEVEN, ("eroded_mask",)),
    ],
)
@pytest.mark.parametrize("index", [0, 1, 9])  # without masks; with few tokens; with many
def test_a_round_of_the_decoder(
    name: str, size: int, images: int, masks: int, rounds: Rounds, kinds: tuple[str, ...], index: int
) -> None:
    shape = architecture(name, image_size=size)
    work = Workload(architecture=shape, images=images, masks_per_image=masks, rounds=rounds, first_kinds=kinds)
    leaf = torch.zeros(images, shape.dim, shape.grid, shape.grid, device="meta", requires_grad=True)
    targets = torch.zeros(work.objects, work.lattice, work.lattice, dtype=torch.bool, device="meta")
    with as_on_cuda("32-true"), FlopCounterMode(display=False) as counter:
        loss = loss_of(model(name, image_size=size), leaf, work, index, targets)
        forward = counter.get_total_flops()
        loss.backward()
    assert decoder_round(work, index) == pytest.approx((forward, counter.get_total_flops()), rel=1e-3)


@pytest.mark.parametrize("at_once", [None, 3])
def test_a_real_step(at_once: int | None) -> None:
    """The training step itself, on the CPU: its rounds are those that the plan thinks of."""
    fused = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    back = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward
    shape = architecture("tiny", image_size=128)
    work = Workload(architecture=shape, images=2, masks_per_image=3, rounds=Rounds(clicks=2), prompts_at_once=at_once)
    kernels = {
        fused: lambda q, k, v, *_, **__: sdpa_flop_count(q, k, v),
        back: lambda gradient, q, k, v, *_, **__: sdpa_backward_flop_count(gradient, q, k, v),
    }
    module, batch = real_step(build("tiny", image_size=128), work)
    with FlopCounterMode(display=False, custom_mapping=kernels) as counter:
        module.training_step(batch, 0)
    assert step(work).all == pytest.approx(counter.get_total_flops(), rel=0.01)
