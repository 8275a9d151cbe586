from __future__ import annotations

import json
from pathlib import Path
from unittest.mock import Mock

import lightning as L

from anymask.structures import Batch, Skipped
from anymask.training.callbacks import BadSamples
from anymask.training.sam_module import SamModule


class Run:
    """A trainer that counts steps, and what was told at each."""

    def __init__(self, folder: Path) -> None:
        self.callback = BadSamples(folder)
        self.trainer = Mock(spec=L.Trainer, global_step=0, world_size=1, log_every_n_steps=1, is_global_zero=True)
        self.module = Mock(spec=SamModule, tell=self._tell)
        self.told: list[tuple[int, float]] = []

    def _tell(self, figures: dict[str, float]) -> None:
        self.told.append((self.trainer.global_step, figures["data/bad_samples"]))

    def batch(self, *keys: str, steps: int) -> None:
        """One batch, ``keys`` passed over in it, after which ``steps`` are done."""
        batch = Mock(spec=Batch, skipped=tuple(Skipped("a.tar", key, "torn") for key in keys))
        self.callback.on_train_batch_start(self.trainer, self.module, batch, 0)
        self.trainer.global_step = steps
        self.callback.on_train_batch_end(self.trainer, self.module, None, batch, 0)


def _lines(folder: Path) -> list[tuple[int, str]]:
    path = folder / "bad_samples.jsonl"
    return [(line["step"], line["key"]) for line in map(json.loads, path.read_text().splitlines())]


def test_the_count_is_told_once_with_the_step_that_the_samples_belong_to(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.batch(steps=1)
    run.batch("a", "b", steps=1)  # accumulated
    run.batch(steps=2)
    run.batch("c", steps=2)  # the loss was not finite
    run.batch(steps=3)
    assert run.told == [(2, 2), (3, 3)]
    assert _lines(tmp_path) == [(2, "a"), (2, "b"), (3, "c")]


def test_a_run_that_goes_on_writes_nothing_twice(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.batch("a", steps=1)
    state = {"global_step": 1}
    run.callback.on_save_checkpoint(run.trainer, run.module, state)
    run.batch("b", steps=2)
    run.batch("c", steps=2)
    with run.callback.path.open("a") as file:
        file.write('{"step": 3, "sha')  # killed
    again = Run(tmp_path)
    again.trainer.global_step = 1
    again.callback.on_load_checkpoint(again.trainer, again.module, state)
    again.batch("b", steps=2)
    again.batch("c", steps=3)
    assert again.told == [(2, 2), (3, 3)]
    assert _lines(tmp_path) == [(1, "a"), (2, "b"), (3, "c")]


def test_a_loss_that_was_not_finite_is_written_down(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.batch(steps=1)
    run.callback.on_nonfinite_loss(run.trainer, ["sa_1", "sa_2"])
    assert [key for _, key in _lines(tmp_path)] == ["sa_1", "sa_2"]


def test_a_run_without_bad_samples_leaves_no_file(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.batch(steps=1)
    run.callback.on_load_checkpoint(run.trainer, run.module, {"global_step": 1, "bad_samples": 0})
    assert run.told == []
    assert not list(tmp_path.iterdir())
