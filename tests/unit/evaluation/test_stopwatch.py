from __future__ import annotations

import time

import pytest
import torch
from torch import nn

from anymask.evaluation.stopwatch import Stopwatch


class Slow(nn.Module):
    def forward(self, seconds: float) -> float:
        time.sleep(seconds)
        return seconds


def test_equal_parts_share_the_time() -> None:
    watch = Stopwatch(torch.device("cpu"))
    with watch.measure("whole"), watch.measure("part", parts=4):
        time.sleep(0.02)
    medians = watch.medians()
    assert medians["whole"] >= 20
    assert medians["part"] == pytest.approx(medians["whole"] / 4, rel=0.2)


def test_calls_of_a_module_are_measured_within_the_block_alone() -> None:
    watch, module = Stopwatch(torch.device("cpu")), Slow()
    with watch.measure_calls(module, "slow"):
        module(0.01)
        module(0.03)
        module(0.03)
    module(0.5)
    assert 30 <= watch.medians()["slow"] < 300
    assert not module._forward_hooks
    assert not module._forward_pre_hooks


def test_what_was_not_done_is_not_told() -> None:
    assert Stopwatch(torch.device("cpu")).medians() == {}
