from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from anymask.errors import UserError
from anymask.training.checkpointing import AtomicCheckpointIO, newest_checkpoint, remove_parts


def write(folder: Path, step: int) -> Path:
    path = folder / "checkpoints" / f"step_{step:07d}.ckpt"
    AtomicCheckpointIO().save_checkpoint({"global_step": step, "weights": torch.arange(1000)}, path)
    return path


def test_the_newest_is_taken(tmp_path: Path) -> None:
    for step in (900, 1000, 50):
        write(tmp_path, step)
    assert newest_checkpoint(tmp_path) == (tmp_path / "checkpoints" / "step_0001000.ckpt", 1000)


@pytest.mark.parametrize("left", [0, 10, 3000])
def test_a_damaged_one_is_named_and_passed_over(tmp_path: Path, left: int) -> None:
    whole, damaged = write(tmp_path, 1), write(tmp_path, 2)
    damaged.write_bytes(damaged.read_bytes()[:left])
    with pytest.warns(UserWarning, match="step_0000002.ckpt .*; the checkpoint before it is taken"):
        assert newest_checkpoint(tmp_path) == (whole, 1)


def test_a_run_that_has_written_none_begins_anew(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path) is None


def test_a_full_disk_is_told_and_leaves_the_one_before(tmp_path: Path, small_disk: Callable[[int], None]) -> None:
    path = write(tmp_path, 7)
    small_disk(100_000)
    with pytest.raises(UserError, match=r"step_0000007\.ckpt could not be written, .* is whole: File too large"):
        AtomicCheckpointIO().save_checkpoint({"global_step": 8, "weights": torch.zeros(100_000)}, path)
    assert AtomicCheckpointIO().load_checkpoint(path)["global_step"] == 7
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_what_a_killed_run_had_begun_to_write_is_removed(tmp_path: Path) -> None:
    path = write(tmp_path, 7)
    for part in (path.with_name(".step_0000008.ckpt.4711.part"), tmp_path / ".summary.json.4711.part"):
        part.write_bytes(b"half")
    (tmp_path / "metrics.csv").write_text("step,name,value\n")
    remove_parts(tmp_path)
    assert {file.name for file in tmp_path.rglob("*")} == {"checkpoints", path.name, "metrics.csv"}
