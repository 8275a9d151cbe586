from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch

from anymask.evaluation import provenance
from anymask.evaluation.provenance import code_commit, hardware, sha256_of


def test_a_folder_of_transformers_is_told_by_its_weights(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert sha256_of(tmp_path) is None
    (tmp_path / "model.safetensors").write_bytes(b"abc")
    assert sha256_of(tmp_path) == sha256_of(tmp_path / "model.safetensors")
    assert sha256_of(tmp_path / "absent.pth") is None


def test_weights_that_were_changed_have_another_hash(tmp_path: Path) -> None:
    """It is remembered for the next data set of an evaluation, not for other weights under the same name."""
    weights = tmp_path / "model.pth"
    weights.write_bytes(b"abc")
    assert sha256_of(weights) == sha256_of(weights) == hashlib.sha256(b"abc").hexdigest()
    weights.write_bytes(b"abcd")
    assert sha256_of(weights) == hashlib.sha256(b"abcd").hexdigest()


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_the_commit_is_a_whole_hash_that_says_whether_the_code_was_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*words: str) -> str:
        settings = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
        return subprocess.run(
            ["git", *settings, *words], cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout

    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "code.py"))
    assert code_commit() is None
    (tmp_path / "code.py").write_text("1")
    git("init")
    git("add", ".")
    git("commit", "-m", "first")
    assert code_commit() == git("rev-parse", "HEAD").strip()
    (tmp_path / "code.py").write_text("2")
    assert code_commit() == git("rev-parse", "HEAD").strip() + "-dirty"


def test_without_git_the_commit_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_: Any, **__: Any) -> None:
        raise FileNotFoundError("git")

    monkeypatch.setattr(subprocess, "run", absent)
    assert code_commit() is None


def test_a_processor_is_told_with_its_threads() -> None:
    assert re.search(r"\S.*, \d+ of \d+ threads$", hardware(torch.device("cpu")))
