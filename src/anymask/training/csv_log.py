"""The log of a run as one table that only grows: step, name, value. It survives a kill and goes on after it."""

from __future__ import annotations

import csv
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers.logger import Logger
from lightning_utilities.core.rank_zero import rank_zero_only

from anymask.atomic import write_atomically

__all__ = ["CsvLog"]

HEADER = ("step", "name", "value")


class CsvLog(Logger):
    """Writes ``metrics.csv``. Lightning's own starts a new file when a run goes on, and rewrites it at each save.

    Values are written with all their digits, so that two runs can be compared to the bit.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.path = folder / "metrics.csv"
        if not self.path.exists():
            self.path.write_text(",".join(HEADER) + "\n")

    @property
    def name(self) -> str:
        return "csv"

    @property
    def version(self) -> str:
        return ""

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """The run's configuration lies beside the table."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        with self.path.open("a", newline="") as file:
            csv.writer(file).writerows((step, name, repr(float(value))) for name, value in metrics.items())

    def drop_after(self, step: int) -> None:
        """Forget what was logged after ``step``, the step of the checkpoint that the run goes on from."""
        with self.path.open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["value"] and int(row["step"]) <= step]
        kept = [",".join(HEADER), *(f"{row['step']},{row['name']},{row['value']}" for row in rows)]
        write_atomically(self.path, lambda part: part.write_text("\n".join(kept) + "\n"))
