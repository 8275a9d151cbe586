"""The training step: what it changes, what it leaves alone, and what it does with a loss that is not finite."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch

from anymask.data.datamodule import Loading, ShardsDataModule
from anymask.data.mixture import Mixture
from anymask.data.shards import ShardSet
from anymask.data.transforms import ToExample
from anymask.errors import UserError
from anymask.losses import LossWeights
from anymask.matching import Matching
from anymask.models.sam import Sam, build
from anymask.planning.workload import Workload, architecture
from anymask.prompts import FirstPrompt
from anymask.rounds import Rounds
from anymask.training.optim import Optimisation
from anymask.training.sam_module import SamModule
from tests.unit.planning.metering import real_step

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:lightning", "ignore:.*LeafSpec.*")

Module = Callable[..., SamModule]


@pytest.fixture
def module() -> Module:
    def make(**settings: Any) -> SamModule:
        torch.manual_seed(0)
        return SamModule(
            build("tiny", image_size=64),
            optimisation=Optimisation(steps=10, lr=1e-3, warmup=1),
            rounds=Rounds(clicks=1, round_without_click=False, last_without_click=False),
            first_prompt=FirstPrompt(),
            loss_weights=LossWeights(),
            matching=Matching(),
            **settings,
        )

    return make


@pytest.fixture
def fit(tiny_shards: Path) -> Callable[..., L.Trainer]:
    def fit(
        module: SamModule, batches: int, callbacks: Sequence[L.Callback] = (), images: int = 2, **settings: Any
    ) -> L.Trainer:
        shards = ShardSet.open(str(tiny_shards))
        data = ShardsDataModule(
            Mixture.of([shards], oversample={}),
            shards,
            ToExample(image_size=64, loss_size=16),
            Loading(images_per_batch=images, workers=0, validation_images=1),
            batches=batches,
            seed=0,
        )
        options: dict[str, Any] = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False} | settings
        trainer = L.Trainer(
            max_epochs=1,
            callbacks=list(callbacks),
            num_sanity_val_steps=0,
            enable_progress_bar=False,
            enable_model_summary=False,
            **options,
        )
        trainer.fit(module, data)
        return trainer

    return fit


def weights(sam: Sam) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in sam.state_dict().items()}


def changed(before: dict[str, torch.Tensor], sam: Sam) -> set[str]:
    return {name for name, tensor in sam.state_dict().items() if not torch.equal(before[name], tensor)}


class PoisonedEncoder:
    """Gives NaN in the calls that are named, from 0."""

    def __init__(self, sam: Sam, calls: Sequence[int]) -> None:
        self.encode, self.calls, self.call = sam.encode, calls, -1

    def __call__(self, *arguments: Any) -> torch.Tensor:
        self.call += 1
        return self.encode(*arguments) * (float("nan") if self.call in self.calls else 1.0)


class Listener(L.Callback):
    def __init__(self) -> None:
        self.keys: list[list[str]] = []

    def on_nonfinite_loss(self, trainer: L.Trainer, keys: list[str]) -> None:
        self.keys.append(list(keys))


def test_a_step_changes_every_part(module: Module, fit: Callable[..., L.Trainer]) -> None:
    ours = module()
    before = weights(ours.sam)
    trainer = fit(ours, batches=2)
    assert trainer.global_step == 2
    parts = {name.split(".")[0] for name in changed(before, ours.sam)}
    assert parts == {"image_encoder", "prompt_encoder", "mask_decoder"}
    assert "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix" not in changed(before, ours.sam)


def test_frozen_parts_keep_their_weights(module: Module, fit: Callable[..., L.Trainer]) -> None:
    ours = module(freeze=["image_encoder", "prompt_encoder.mask_downscaling"])
    before = weights(ours.sam)
    fit(ours, batches=2)
    moved = changed(before, ours.sam)
    assert moved
    assert not [name for name in moved if name.startswith(("image_encoder", "prompt_encoder.mask_downscaling"))]


def test_freezing_what_is_not_there_is_refused(module: Module) -> None:
    with pytest.raises(UserError, match="cannot freeze 'encoder'"):
        module(freeze=["encoder"])


def test_freezing_everything_is_refused(module: Module) -> None:
    with pytest.raises(UserError, match="nothing is left to train"):
        module(freeze=["image_encoder", "prompt_encoder", "mask_decoder"])


def test_prompts_lot_by_lot_have_the_same_gradients() -> None:
    """Three at a time, decoded again on the way back, in the place of all five at once."""
    gradients = []
    for at_once in (None, 3):
        torch.manual_seed(0)
        shape = architecture("tiny", image_size=64)
        work = Workload(
            architecture=shape, images=1, masks_per_image=5, rounds=Rounds(clicks=2), prompts_at_once=at_once
        )
        ours, batch = real_step(build("tiny", image_size=64), work)
        ours.training_step(batch, 0)
        gradients.append({name: p.grad for name, p in ours.sam.named_parameters() if p.grad is not None})
    assert len(gradients[0]) > 100
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-4, atol=1e-5)


def test_average_follows_the_weights(module: Module, fit: Callable[..., L.Trainer]) -> None:
    ours = module(ema_decay=0.75)
    start = copy.deepcopy(ours.sam)
    fit(ours, batches=1)
    for before, now, average in zip(start.parameters(), ours.sam.parameters(), ours.best.parameters(), strict=True):
        torch.testing.assert_close(average, 0.75 * before + 0.25 * now)


def test_accumulated_batches_are_one_step(module: Module, fit: Callable[..., L.Trainer]) -> None:
    assert fit(module(accumulate=3), batches=6).global_step == 2


def test_one_batch_of_four_gives_the_gradient_of_two_of_two(module: Module, fit: Callable[..., L.Trainer]) -> None:
    """Of the mean over all objects: the photographs have two to four, so that a mean of means would be another."""
    gradients: list[torch.Tensor] = []

    class Record(L.Callback):
        def on_before_optimizer_step(self, trainer: L.Trainer, pl: L.LightningModule, optimiser: Any) -> None:
            gradients.append(torch.cat([p.grad.flatten() for p in pl.parameters() if p.grad is not None]))

    for images, batches in ((4, 1), (2, 2)):
        ours = module(accumulate=batches, clip_norm=1e9)
        ours.first_prompt = FirstPrompt(weights={"tight_box": 1.0})  # nothing is left to chance
        ours.rounds = replace(ours.rounds, click="centre")
        fit(ours, batches=batches, images=images, callbacks=[Record()])
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-4 * float(gradients[0].abs().max()))


def test_a_loss_that_is_not_finite_changes_nothing(module: Module, fit: Callable[..., L.Trainer]) -> None:
    ours, listener = module(), Listener()
    ours.sam.encode = PoisonedEncoder(ours.sam, [1])  # type: ignore[assignment]
    trainer = fit(ours, batches=3, callbacks=[listener])
    assert trainer.global_step == 2  # of three
    assert len(listener.keys) == 1
    assert len(listener.keys[0]) == 2
    assert all(key.startswith("sa_") for key in listener.keys[0])
    assert all(parameter.isfinite().all() for parameter in ours.sam.parameters())


def test_losses_that_are_never_finite_end_the_run(module: Module, fit: Callable[..., L.Trainer]) -> None:
    ours = module(max_nonfinite=3)
    before = weights(ours.sam)
    ours.sam.encode = PoisonedEncoder(ours.sam, range(100))  # type: ignore[assignment]
    with pytest.raises(UserError, match=r"not finite 3 times in a row, last for sa_\d, sa_\d"):
        fit(ours, batches=10)
    assert not changed(before, ours.sam)


def test_mixed_precision_steps(module: Module, fit: Callable[..., L.Trainer]) -> None:
    ours = module()
    before = weights(ours.sam)
    fit(ours, batches=2, precision="bf16-mixed")
    assert changed(before, ours.sam)
    assert all(p.dtype == torch.float32 and p.isfinite().all() for p in ours.sam.parameters())


def test_one_image_can_be_learned(module: Module, fit: Callable[..., L.Trainer]) -> None:
    """The loss of a model that sees the same few scenes falls."""
    losses: list[float] = []

    class Record(L.Callback):
        def on_train_batch_end(self, trainer: L.Trainer, *rest: Any) -> None:
            losses.append(float(trainer.callback_metrics["loss"]))

    fit(module(), batches=40, callbacks=[Record()])
    assert sum(losses[-5:]) < 0.75 * sum(losses[:5])
