from __future__ import annotations

from unittest.mock import Mock

import lightning as L
import torch

from anymask.structures import Batch
from anymask.training.callbacks import Throughput
from anymask.training.sam_module import SamModule


def test_a_line_is_written_once_for_a_step_that_is_due() -> None:
    """The step stands still while batches are accumulated, and when a run goes on it begins at a step that has one."""
    told: list[tuple[int, set[str]]] = []
    trainer = Mock(spec=L.Trainer, global_step=4, log_every_n_steps=2)
    module = Mock(spec=SamModule, device=torch.device("cpu"))
    module.tell = lambda figures: told.append((trainer.global_step, set(figures)))
    batch = Mock(spec=Batch, keys=("a", "b"), boxes=[0] * 5)
    throughput = Throughput()
    throughput.on_train_start(trainer, module)
    for number in range(1, 13):  # three batches a step
        throughput.on_train_batch_start(trainer, module, batch, number)
        trainer.global_step = 4 + number // 3
        throughput.on_train_batch_end(trainer, module, None, batch, number)
    assert [step for step, _ in told] == [6, 8]
    assert told[0][1] >= {"throughput/samples", "throughput/masks", "throughput/waiting_for_data", "memory/host_gib"}
