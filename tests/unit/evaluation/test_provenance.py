from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch

from anymask.evaluation.provenance import code_commit, hardware, sha256_of


def test_a_folder_of_transformers_is_told_by_its_weights(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert sha256_of(tmp_path) is None
    (tmp_path / "model.safetensors").write_bytes(b"abc")
    assert sha256_of(tmp_path) == sha256_of(tmp_path / "model.safetensors")
    assert sha256_of(tmp_path / "absent.pth") is None


def test_the_commit_is_a_whole_hash_or_unknown() -> None:
    commit = code_commit()
    assert commit is None or re.fullmatch(r"[0-9a-f]{40}(-dirty)?", commit)


def test_without_git_the_commit_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_: Any, **__: Any) -> None:
        raise FileNotFoundError("git")

    monkeypatch.setattr(subprocess, "run", absent)
    assert code_commit() is None


def test_a_processor_is_told_with_its_threads() -> None:
    assert re.search(r"\S.*, \d+ of \d+ threads$", hardware(torch.device("cpu")))
