"""What is printed and logged of the mixture: expected shares first, then those that were seen."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from unittest.mock import create_autospec

import lightning as L
import pytest
import torch

from anymask.data.mixture import Mixture, MixturePart
from anymask.structures import Batch, Source
from anymask.training.callbacks.mixture_table import MixtureTable
from anymask.training.sam_module import SamModule

MIXTURE = Mixture(
    (
        MixturePart("a", "automatic", "automatic", (), 6, 0.25, "a"),
        MixturePart("m", "manual", "manual", (), 2, 0.75, "m"),
    )
)


class Module(SamModule):
    """Keeps what it is told."""

    def __init__(self) -> None:
        torch.nn.Module.__init__(self)
        self.told: list[dict[str, float]] = []

    def tell(self, figures: Any) -> None:
        self.told.append(dict(figures))


def _trainer(world: int = 1) -> Any:
    strategy = SimpleNamespace(root_device=torch.device("cpu"), reduce=lambda counts, reduce_op: counts * world)
    return create_autospec(L.Trainer, instance=True, is_global_zero=True, world_size=world, strategy=strategy)


def _batch(*sources: Source) -> Batch:
    n = len(sources)
    return Batch(
        images=torch.zeros(n, 3, 2, 2, dtype=torch.uint8),
        sizes=torch.ones(n, 2, dtype=torch.long),
        image_index=torch.arange(n),
        targets=torch.zeros(n, 1, 1, dtype=torch.bool),
        boxes=torch.zeros(n, 4),
        seeds=torch.arange(n),
        keys=("k",) * n,
        sources=sources,
    )


def _play(table: MixtureTable, module: Module, batches: list[tuple[Source, ...]], world: int = 1) -> None:
    for number, sources in enumerate(batches):
        table.on_train_batch_start(_trainer(world), module, _batch(*sources), number)


def test_an_epoch_is_a_number_of_samples_and_each_is_told_by_itself(capsys: pytest.CaptureFixture[str]) -> None:
    table, module = MixtureTable(MIXTURE, epoch_samples=4), Module()
    _play(table, module, [("manual", "manual"), ("manual", "automatic"), ("automatic", "automatic")])
    assert module.told == [{"data/epoch": 1, "data/seen/automatic": 0.25, "data/seen/manual": 0.75}]
    _play(table, module, [("automatic", "manual")])
    assert module.told[1] == {"data/epoch": 2, "data/seen/automatic": 0.75, "data/seen/manual": 0.25}
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "epoch 1, 4 samples: automatic 25.0% (expected 25.0%), manual 75.0% (expected 75.0%)"


def test_all_samples_are_an_epoch_where_nothing_is_said_and_those_of_all_processes_count() -> None:
    table, module = MixtureTable(MIXTURE), Module()
    assert table.epoch_samples == 8
    _play(table, module, [("manual",), ("manual",), ("manual",)], world=2)
    assert module.told == []
    _play(table, module, [("automatic",)], world=2)
    assert module.told == [{"data/epoch": 1, "data/seen/automatic": 0.25, "data/seen/manual": 0.75}]


def test_counts_go_on_from_a_checkpoint() -> None:
    first, module = MixtureTable(MIXTURE, epoch_samples=4), Module()
    _play(first, module, [("manual",) * 3, ("manual",) * 2])
    second = MixtureTable(MIXTURE, epoch_samples=4)
    stored: dict[str, Any] = {}
    first.on_save_checkpoint(_trainer(1), module, stored)
    second.on_load_checkpoint(_trainer(1), module, stored)
    _play(second, module, [("automatic",) * 3])
    assert [told["data/epoch"] for told in module.told] == [1, 2]
    assert module.told[1]["data/seen/automatic"] == 1.0


def test_the_table_has_expected_and_seen_shares(capsys: pytest.CaptureFixture[str]) -> None:
    table, module = MixtureTable(MIXTURE, epoch_samples=100), Module()
    table.on_train_start(_trainer(), module)
    _play(table, module, [("manual", "automatic")])
    table.on_train_end(_trainer(), module)
    before, after = capsys.readouterr().out.split("What is drawn")[1:]
    assert "25.0%" in before
    assert "50.0%" not in before
    assert "50.0%" in after
