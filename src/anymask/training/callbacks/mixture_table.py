"""Says before the first step how often each source will be drawn, and at the end how often it was."""

from __future__ import annotations

from collections import Counter
from typing import Any

import lightning as L
from rich.console import Console
from rich.table import Table

from anymask.data.mixture import Mixture
from anymask.structures import Batch

__all__ = ["MixtureTable"]


class MixtureTable(L.Callback):
    """Counts draws by source; the counts are part of the checkpoint."""

    def __init__(self, mixture: Mixture) -> None:
        self.mixture = mixture
        self.seen: Counter[str] = Counter()

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if trainer.is_global_zero:
            Console().print(self._table())

    def on_train_batch_start(self, trainer: L.Trainer, module: L.LightningModule, batch: Batch, batch_idx: int) -> None:
        self.seen.update(batch.sources)

    def on_train_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if trainer.is_global_zero:
            Console().print(self._table())

    def _table(self) -> Table:
        table = Table("source", "samples", "expected", "seen", title="What is drawn")
        total = sum(self.seen.values())
        for source, (samples, share) in self.mixture.by_source().items():
            seen = f"{self.seen[source] / total:.1%}" if total else ""
            table.add_row(source, f"{samples:,}", f"{share:.1%}", seen)
        return table

    def state_dict(self) -> dict[str, Any]:
        return {"seen": dict(self.seen)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.seen = Counter(state_dict["seen"])
