"""The program, from the command line to its page."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from anymask import cli

Say = Callable[..., str]


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Say:
    """``say("key=value", …)``: what the program prints."""

    def say(*arguments: str) -> str:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("COLUMNS", "160")
        monkeypatch.setattr(sys, "argv", ["anymask-plan", *arguments])
        cli.plan()
        assert list(tmp_path.iterdir()) == []
        return capsys.readouterr().out

    return say


def test_a_recipe_without_its_data(say: Say) -> None:
    printed = say("experiment=paper_vit_h", "trainer.nodes=32", "trainer.devices=8", "plan.gpu=h100-sxm")
    assert "1 image x 64 masks x 11 rounds at 1024 px on each of 256 x h100-sxm, bf16-mixed, ddp" in printed
    assert "A step of 256 images" in printed
    assert "90,000 steps" in printed
    assert "fits" in printed


def test_overrides_are_those_of_a_run(say: Say) -> None:
    more = ["module.freeze=[image_encoder]", "data.transform.masks_per_image=8", "module=single", "trainer.steps=10"]
    values = json.loads(say("experiment=paper_vit_b", "plan.json=true", "plan.share=0.5", *more))
    assert values["run"]["rounds"] == 1
    assert values["parameters"]["trained_encoder"] == 0
    assert values["flops_per_second"] == 0.5 * 312e12
    assert values["bytes"]["single"]["encoder"] == 0


@pytest.mark.parametrize(
    ("mistake", "sentence"),
    [
        ("plan.gpu=h1000", "error: plan.gpu='h1000' is not known: there are a10, "),
        ("plan.share=2", "error: plan.share=2: "),
        ("model.name=vit_g", "error: unknown model 'vit_g'"),
        ("module.freeze=[encoder]", "error: cannot freeze 'encoder'"),
        ("trainer.devices=auto", "error: trainer.devices=auto is known only where it trains"),
        ("trainer.steps=0", "error: trainer.steps=0: "),
        (
            "trainer.images_per_step=3 data.loading.images_per_batch=2",
            "error: trainer.images_per_step=3 is no multiple",
        ),
    ],
)
def test_a_mistake_is_one_sentence(say: Say, mistake: str, sentence: str) -> None:
    with pytest.raises(SystemExit) as left:
        say(*mistake.split())
    assert str(left.value).startswith(sentence)
    assert "\n" not in str(left.value)
