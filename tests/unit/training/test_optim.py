from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch

from anymask.models.sam import Architecture, Sam
from anymask.training.optim import Optimisation, layer_scale, learning_rate_factor, parameter_groups

DEPTH = 2


def _sam() -> Sam:
    torch.manual_seed(0)
    return Sam(
        Architecture(
            image_size=16,
            patch_size=8,
            width=8,
            depth=DEPTH,
            heads=2,
            global_blocks=(1,),
            window=1,
            dim=32,
            mlp_dim=8,
            iou_dim=8,
        )
    )


def _groups(sam: Sam) -> list[dict[str, Any]]:
    return parameter_groups(sam, depth=DEPTH, lr=0.8, layer_decay=0.5, weight_decay=0.1)


def _settings(sam: Sam) -> dict[str, tuple[float, float]]:
    """(learning rate, weight decay) that each parameter ends up with."""
    names = {parameter: name for name, parameter in sam.named_parameters()}
    return {names[p]: (group["lr"], group["weight_decay"]) for group in _groups(sam) for p in group["params"]}


def test_each_parameter_is_in_exactly_one_group() -> None:
    sam = _sam()
    seen = Counter(parameter for group in _groups(sam) for parameter in group["params"])
    assert set(seen) == set(sam.parameters())
    assert set(seen.values()) == {1}


def test_frozen_parameters_are_in_none() -> None:
    sam = _sam()
    sam.image_encoder.requires_grad_(False)
    assert set(_settings(sam)) == {name for name, _ in sam.named_parameters() if not name.startswith("image_encoder")}


def test_learning_rates_fall_from_layer_to_layer() -> None:
    rates = {name: rate for name, (rate, _) in _settings(_sam()).items()}
    assert rates["image_encoder.pos_embed"] == pytest.approx(0.1)
    assert rates["image_encoder.patch_embed.proj.weight"] == pytest.approx(0.1)
    assert rates["image_encoder.blocks.0.attn.qkv.weight"] == pytest.approx(0.2)
    assert rates["image_encoder.blocks.1.mlp.lin2.bias"] == pytest.approx(0.4)
    assert rates["image_encoder.neck.0.weight"] == pytest.approx(0.8)
    assert rates["mask_decoder.iou_token.weight"] == pytest.approx(0.8)
    assert set(rates.values()) == {0.1, 0.2, 0.4, 0.8}


@pytest.mark.parametrize(
    ("name", "depth", "decay", "scale"),
    [
        ("image_encoder.patch_embed.proj.weight", 32, 0.8, 0.8**33),
        ("image_encoder.blocks.31.norm1.weight", 32, 0.8, 0.8),
        ("image_encoder.blocks.1.norm1.weight", 12, 0.6, 0.6**11),
        ("mask_decoder.transformer.layers.0.norm1.weight", 12, 0.6, 1.0),
    ],
)
def test_layer_scale_of_published_models(name: str, depth: int, decay: float, scale: float) -> None:
    assert layer_scale(name, depth, decay) == pytest.approx(scale)


def test_biases_norms_and_position_tables_do_not_decay() -> None:
    decays = {name: decay for name, (_, decay) in _settings(_sam()).items()}
    spared = {name for name, decay in decays.items() if decay == 0}
    tables = {name for name in decays if "pos_embed" in name or "rel_pos" in name}
    norms = {name for name in decays if ".norm" in name or ".neck.1." in name or ".neck.3." in name}
    assert spared >= tables | norms | {name for name in decays if name.endswith("bias")}
    weights = set(decays) - spared
    assert {"image_encoder.blocks.0.attn.qkv.weight", "mask_decoder.mask_tokens.weight"} <= weights
    assert {decays[name] for name in weights} == {0.1}


@pytest.mark.parametrize(("steps", "first", "second"), [(90_000, 60_000, 86_666), (180_000, 120_000, 173_332)])
def test_the_rate_warms_up_and_drops_twice(steps: int, first: int, second: int) -> None:
    optimisation = Optimisation(steps=steps)
    factors = [learning_rate_factor(optimisation, step) for step in (0, 249, 250, first - 1, first, second - 1, second)]
    assert factors == pytest.approx([1 / 250, 1, 1, 1, 0.1, 0.1, 0.01])


def test_a_cosine_ends_at_nothing() -> None:
    optimisation = Optimisation(steps=110, warmup=10, decay="cosine")
    factors = [learning_rate_factor(optimisation, step) for step in (0, 10, 60, 110, 200)]
    assert factors == pytest.approx([0.1, 1.0, 0.5, 0.0, 0.0], abs=1e-9)  # and does not rise again


def test_the_schedule_moves_the_rate_of_every_group() -> None:
    sam = _sam()
    optimisation = Optimisation(steps=4, lr=0.8, layer_decay=0.5, warmup=2, drops=(0.75,))
    optimiser, schedule = optimisation.build(sam, DEPTH)
    rates = []
    for _ in range(4):
        rates.append(sorted({group["lr"] for group in optimiser.param_groups}))
        optimiser.step()
        schedule.step()
    full = [0.1, 0.2, 0.4, 0.8]
    expected = [[rate * factor for rate in full] for factor in (0.5, 1, 1, 0.1)]
    assert [pytest.approx(row) for row in expected] == rates
