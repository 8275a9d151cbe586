"""Says before the first step how often each source will be drawn, and after every epoch how often it was."""

from __future__ import annotations

from collections import Counter
from typing import Any

import lightning as L
import torch
from rich.console import Console
from rich.table import Table

from anymask.data.mixture import Mixture
from anymask.structures import Batch
from anymask.training.sam_module import SamModule

__all__ = ["MixtureTable"]


class MixtureTable(L.Callback):
    """Counts draws by source, over all processes; the counts are part of the checkpoint.

    An epoch is a number of samples, ``epoch_samples`` or as many as there are. Nothing but these counts goes by it.
    """

    def __init__(self, mixture: Mixture, *, epoch_samples: int | None = None) -> None:
        self.mixture = mixture
        self.epoch_samples = epoch_samples or sum(part.samples for part in mixture.parts)
        self.seen: Counter[str] = Counter()  # by this process since it began
        self._before: Counter[str] = Counter()  # by all, when it began
        self._at_epoch: Counter[str] = Counter()  # what all had seen when this epoch began
        self._epochs = 0

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if trainer.is_global_zero:
            Console().print(self._table(Counter()))

    def on_train_batch_start(self, trainer: L.Trainer, module: L.LightningModule, batch: Batch, batch_idx: int) -> None:
        self.seen.update(batch.sources)
        if self._before.total() + self.seen.total() * trainer.world_size >= (self._epochs + 1) * self.epoch_samples:
            self._end_epoch(trainer, module)

    def on_train_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        seen = self._seen_by_all(trainer)
        if trainer.is_global_zero:
            Console().print(self._table(seen))

    def _end_epoch(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        assert isinstance(module, SamModule)
        seen = self._seen_by_all(trainer)
        shares = _shares(Counter({source: number - self._at_epoch[source] for source, number in seen.items()}))
        self._epochs, self._at_epoch = seen.total() // self.epoch_samples, seen
        module.tell({"data/epoch": self._epochs} | {f"data/seen/{source}": share for source, share in shares.items()})
        if trainer.is_global_zero:
            expected = self.mixture.by_source().items()
            told = [f"{source} {shares[source]:.1%} (expected {share:.1%})" for source, (_, share) in expected]
            line = f"epoch {self._epochs}, {seen.total():,} samples: {', '.join(told)}"
            Console().print(line, highlight=False, soft_wrap=True)

    def _seen_by_all(self, trainer: L.Trainer) -> Counter[str]:
        sources = list(self.mixture.by_source())
        counts = torch.tensor([self.seen[source] for source in sources], device=trainer.strategy.root_device)
        summed = trainer.strategy.reduce(counts, reduce_op="sum")
        assert isinstance(summed, torch.Tensor)
        return Counter({source: self._before[source] + n for source, n in zip(sources, summed.tolist(), strict=True)})

    def _table(self, seen: Counter[str]) -> Table:
        table = Table("source", "samples", "expected", "seen", title="What is drawn")
        shares = _shares(seen)
        for source, (samples, share) in self.mixture.by_source().items():
            table.add_row(source, f"{samples:,}", f"{share:.1%}", f"{shares[source]:.1%}" if shares else "")
        return table

    def on_save_checkpoint(self, trainer: L.Trainer, module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint["mixture_table"] = {
            "seen": dict(self._seen_by_all(trainer)),
            "epochs": self._epochs,
            "at_epoch": dict(self._at_epoch),
        }

    def on_load_checkpoint(self, trainer: L.Trainer, module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        stored = checkpoint["mixture_table"]
        self._before, self._at_epoch = Counter(stored["seen"]), Counter(stored["at_epoch"])
        self._epochs = stored["epochs"]


def _shares(seen: Counter[str]) -> dict[str, float]:
    total = seen.total()
    return {source: number / total for source, number in seen.items()} if total else {}
