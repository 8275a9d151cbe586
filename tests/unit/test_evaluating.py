"""What evaluate.py does before anything is measured: its settings, its folder, its device."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from hydra import compose, initialize_config_dir

from anymask.cli import CONF
from anymask.configuration import typed
from anymask.errors import UserError
from anymask.evaluating import device_named, folder_of
from anymask.settings import Evaluation


def evaluation(*overrides: str) -> Evaluation:
    with initialize_config_dir(str(CONF / "evaluate"), version_base="1.3"):
        return typed(compose("evaluate", overrides=list(overrides)), Evaluation)


def test_results_of_two_runs_go_to_two_folders(tmp_path: Path) -> None:
    def name(checkpoint: Path, *more: str) -> str:
        return folder_of(evaluation(f"checkpoint={checkpoint}", *(more or ["data=sa_mini/held_out"]))).name

    (tmp_path / "first").mkdir()
    (tmp_path / "latest").symlink_to("first")
    first, second, latest = (tmp_path / run / "checkpoints" / "final.ckpt" for run in ("first", "second", "latest"))
    assert name(first) == name(latest) == "first_final_point_to_mask_sa_mini_held_out"
    assert name(second) == "second_final_point_to_mask_sa_mini_held_out"
    weights = tmp_path / "vit_b.pth"
    assert name(weights, "data='sa1b/sa_{0..9}.tar'") == "vit_b_point_to_mask_sa1b"
    assert name(weights, "task=proposals", "data=coco/lvis_v1_val.json") == "vit_b_proposals_lvis_v1_val"
    assert name(weights, "task=all", "data=a", "detections=b") == "vit_b_suite"
    alone = folder_of(evaluation("task=edges", "data=BSDS500", "predictions=my_maps"))
    assert alone.name == "edges_my_maps"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_torch_was_not_built_for_is_refused() -> None:
    with pytest.raises(UserError, match="device='cuda' cannot be used: "):
        device_named("cuda")
    assert device_named("auto") == torch.device("cpu")


@pytest.mark.parametrize("name", ["auto", "cuda"])
def test_more_processes_than_gpus_are_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(UserError, match=f"device='{name}': this is process 3 of the machine, and it has 2 GPU"):
        device_named(name)


@pytest.mark.parametrize("name", ["auto", "cuda"])
def test_each_process_has_a_gpu_of_its_own(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    zeros = Mock(return_value=torch.ones(1))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch, "zeros", zeros)
    monkeypatch.setenv("LOCAL_RANK", "1")
    device_named(name)
    zeros.assert_called_once_with(1, device="cuda:1")


def test_a_negative_number_of_workers_is_refused() -> None:
    with initialize_config_dir(str(CONF / "evaluate"), version_base="1.3"):
        cfg = compose("evaluate", overrides=["checkpoint=a", "data=b", "workers=-1"])
    with pytest.raises(UserError, match="workers=-1: Expected `int` >= 0"):
        typed(cfg, Evaluation)


def test_evaluation_takes_any_data() -> None:
    settings = evaluation("checkpoint=a.pth", "data=some/shards")
    assert (settings.checkpoint, settings.data) == ("a.pth", "some/shards")
    assert settings.point_to_mask is not None
    assert settings.point_to_mask.report_at == (1, 2, 3, 5, 9)
