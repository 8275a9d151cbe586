"""Files of torch that are written so that a full disk is told as one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

__all__ = ["write_torch_file"]


def write_torch_file(content: dict[str, Any], path: Path) -> None:
    """Raises OSError with the system's reason: torch's own writer knows only that it failed."""
    with path.open("wb") as file:
        try:
            torch.save(content, file)
        except RuntimeError as error:
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise
        file.flush()
        os.fsync(file.fileno())
