from __future__ import annotations

from typing import Any

import pytest
from torch import nn

from anymask.errors import UserError
from anymask.models.sam import ARCHITECTURES
from anymask.planning.parameters import parameters, table
from anymask.planning.workload import architecture
from tests.unit.planning.metering import model


def count(module: nn.Module, *, trained: bool = False) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad or not trained)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_counts_are_those_of_the_model(name: str) -> None:
    sam, counts = model(name), parameters(ARCHITECTURES[name])
    assert counts.encoder == count(sam.image_encoder)
    assert counts.others == count(sam.prompt_encoder) + count(sam.mask_decoder)
    assert counts.block == max(count(block) for block in sam.image_encoder.blocks)
    assert counts.encoder_rest == count(sam.image_encoder) - count(sam.image_encoder.blocks)
    assert counts.trained == counts.all == count(sam)
    products = [m for m in sam.modules() if isinstance(m, nn.Linear | nn.Conv2d | nn.ConvTranspose2d)]
    assert counts.cast == sum(count(product) for product in products)


@pytest.mark.parametrize("options", [{"image_size": 512}, {"image_size": 96, "click_rounds": 9}])
def test_other_sizes(options: dict[str, Any]) -> None:
    assert parameters(architecture("vit_b", **options)).all == count(model("vit_b", **options))


def test_every_part_has_its_name() -> None:
    sam = model("tiny")
    named = {name.removesuffix(".weight").removesuffix(".bias") for name, _ in sam.named_parameters()}
    positions = {name for name in named if "rel_pos_" in name}
    assert set(table(ARCHITECTURES["tiny"])) == (named - positions) | {name[:-2] for name in positions}


@pytest.mark.parametrize(
    "frozen",
    [
        ["image_encoder"],
        ["image_encoder.blocks.1", "mask_decoder.transformer.layers.0.mlp"],
        ["image_encoder.neck.1", "prompt_encoder.mask_downscaling", "mask_decoder"],
        ["image_encoder", "image_encoder.blocks.0"],
    ],
)
def test_frozen_parts_do_not_train(frozen: list[str]) -> None:
    sam = model("tiny")
    for name in frozen:
        sam.get_submodule(name).requires_grad_(False)
    counts = parameters(ARCHITECTURES["tiny"], frozen)
    assert counts.all == count(sam)
    assert counts.trained_encoder == count(sam.image_encoder, trained=True)
    assert counts.trained == count(sam, trained=True)


def test_a_part_that_is_not_there() -> None:
    with pytest.raises(UserError, match=r"cannot freeze 'image_encoder\.blocks\.4'"):
        parameters(ARCHITECTURES["tiny"], ["image_encoder.blocks.4"])


@pytest.mark.parametrize(
    ("name", "size", "said"), [("vit_g", None, "unknown model 'vit_g'"), ("tiny", 100, "100 is not")]
)
def test_an_architecture_that_is_not_there(name: str, size: int | None, said: str) -> None:
    with pytest.raises(UserError, match=said):
        architecture(name, image_size=size)
