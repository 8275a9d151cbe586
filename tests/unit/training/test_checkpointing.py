from __future__ import annotations

from pathlib import Path

import pytest
import torch

from anymask.errors import UserError
from anymask.training.checkpointing import AtomicCheckpointIO, newest_checkpoint


def write(folder: Path, step: int) -> Path:
    path = folder / "checkpoints" / f"step_{step:07d}.ckpt"
    AtomicCheckpointIO().save_checkpoint({"step": step, "weights": torch.arange(1000)}, path)
    return path


def test_the_newest_is_taken(tmp_path: Path) -> None:
    for step in (900, 1000, 50):
        write(tmp_path, step)
    assert newest_checkpoint(tmp_path).name == "step_0001000.ckpt"


@pytest.mark.parametrize("left", [0, 10, 3000])
def test_a_damaged_one_is_named_and_passed_over(tmp_path: Path, left: int) -> None:
    whole, damaged = write(tmp_path, 1), write(tmp_path, 2)
    damaged.write_bytes(damaged.read_bytes()[:left])
    with pytest.warns(UserWarning, match="step_0000002.ckpt .*; the checkpoint before it is taken"):
        assert newest_checkpoint(tmp_path) == whole


def test_where_there_is_none_it_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no checkpoint to go on from \(0 were tried\)"):
        newest_checkpoint(tmp_path)


def test_a_write_that_fails_leaves_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, 7)

    def full_disk(content: object, part: Path) -> None:
        part.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(OSError, match="No space left"):
        AtomicCheckpointIO().save_checkpoint({"step": 8}, path)
    assert AtomicCheckpointIO().load_checkpoint(path)["step"] == 7
    assert [file.name for file in path.parent.iterdir()] == [path.name]
