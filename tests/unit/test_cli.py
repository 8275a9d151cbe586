"""The configuration: every experiment composes to typed values, with the paper's numbers where it claims them."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from anymask import cli
from anymask.cli import CONF
from anymask.configuration import typed
from anymask.errors import UserError
from anymask.models.sam import ARCHITECTURES
from anymask.settings import Training
from anymask.training.optim import learning_rate_factor

DATA = ["data.train=[{path: x}]", "data.held_out=y"]


@pytest.fixture(autouse=True)
def _conf() -> Iterator[None]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield


def composed(*overrides: str) -> DictConfig:
    return compose("train", overrides=list(overrides))


@pytest.mark.parametrize("path", sorted((CONF / "experiment").glob("*.yaml")), ids=lambda path: path.stem)
def test_experiments_compose(path) -> None:  # type: ignore[no-untyped-def]
    shards = [] if path.stem in ("sample", "sa_mini") else DATA
    settings = typed(composed(f"experiment={path.stem}", *shards), Training)
    assert settings.name == path.stem
    assert settings.model.name in ARCHITECTURES
    assert f"experiment={path.stem}" in path.read_text() or path.stem == "sample"  # the command stands at the top


@pytest.mark.parametrize(
    ("name", "steps", "images", "lr", "layer_decay", "drop_path"),
    [
        ("vit_b", 180_000, 128, 8e-4, 0.6, 0.6),
        ("vit_l", 180_000, 128, 4e-4, 0.8, 0.4),
        ("vit_h", 90_000, 256, 8e-4, 0.8, 0.4),
    ],
)
def test_paper_experiments(name: str, steps: int, images: int, lr: float, layer_decay: float, drop_path: float) -> None:
    """SAM, appendix A."""
    settings = typed(composed(f"experiment=paper_{name}", *DATA), Training)
    assert settings.model.name == name
    assert settings.model.drop_path == drop_path
    assert settings.trainer.steps == settings.optim.steps == steps
    assert settings.trainer.images_per_step == images
    assert (settings.optim.lr, settings.optim.layer_decay, settings.optim.weight_decay) == (lr, layer_decay, 0.1)
    assert settings.optim.betas == (0.9, 0.999)
    assert settings.optim.warmup == 250
    assert settings.data.transform.masks_per_image == 64
    assert settings.data.oversample == {"manual": 10, "semi_automatic": 10, "automatic": 1}
    assert len(settings.module.rounds) == 11
    assert (settings.module.loss.focal, settings.module.loss.dice, settings.module.loss.iou) == (20, 1, 1)
    assert settings.module.first_prompt.weights == {"point": 0.5, "box": 0.5}


def test_paper_schedule_drops_where_it_did() -> None:
    optim = typed(composed("experiment=paper_vit_h", *DATA), Training).optim
    factors = [learning_rate_factor(optim, step) for step in (249, 59_999, 60_000, 86_665, 86_666)]
    assert factors == pytest.approx([1, 1, 0.1, 0.1, 0.01])


def test_module_variants() -> None:
    sam2 = typed(composed("module=sam2"), Training).module
    assert len(sam2.rounds) == 8
    assert sam2.rounds.ambiguous == "single_point"
    assert sam2.rounds.from_truth == 0.1
    assert sam2.first_prompt.box_noise.kind == "uniform"
    assert sam2.first_prompt.box_noise.share == 0.1
    assert not sam2.matching.include_iou
    assert len(typed(composed("module=single"), Training).module.rounds) == 1


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optim.lr=fast", "optim.lr='fast': Expected `float`, got `str`"),
        ("trainer.steps=0", "trainer.steps=0: Expected `int` >= 1"),
        ("trainer.devices=0", "trainer.devices=0"),
        ("trainer.strategy=zero", "trainer.strategy='zero': Invalid enum value"),
        ("trainer.precision=64", "trainer.precision=64"),
        ("module.rounds.click=left", "module.rounds.click='left': Invalid enum value"),
        ("+optim.momentum=0.9", "there is no setting optim.momentum"),
        ("point_to_mask.floors=[moon]", "moon"),
        ("data.loading.images_per_batch=0", "data.loading.images_per_batch=0"),
        ("data.transform.masks_per_image=0", "data.transform.masks_per_image=0: Expected `int` >= 1"),
        ("data.transform.loss_size=0", "data.transform.loss_size=0: Expected `int` >= 1"),
        ("data.train=[{path: x, weight: -1}]", "data.train[0].weight=-1: Expected `float` >= 0.0"),
        ("data.train=[{path: x, wight: 3}]", "there is no setting data.train[0].wight"),
        ("seed=-1", "seed=-1: Expected `int` >= 0"),
        ("trainer.accelerator=tpu", "trainer.accelerator='tpu': Invalid enum value"),
        ("optim.lr=0", "optim.lr=0: Expected `float` > 0.0"),
        ("module.ema_decay=1", "module.ema_decay=1: Expected `float` < 1.0"),
    ],
)
def test_wrong_values_are_named(override: str, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        typed(composed(override), Training)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("+data.oversample.human=3", "data.oversample has a key that means nothing: Invalid enum value 'human'"),
        ("optim.steps=5", "the learning rate is planned for optim.steps=5, less than trainer.steps=2200"),
    ],
)
def test_a_mistake_without_a_value_of_its_own_is_one_sentence(override: str, sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        typed(composed(override), Training)
    assert str(caught.value) == sentence


def test_a_resumed_run_follows_what_is_changed(tmp_path: Path) -> None:
    """A schedule that was planned for the old number of steps would rise again at its end."""
    cli._record(composed("name=first", "trainer.steps=4"), tmp_path / "first")
    changes = ["resume=first", "trainer.steps=9"]
    HydraConfig.instance().set_config(compose("train", overrides=changes, return_hydra_config=True))
    folder, cfg = cli._resumed(composed(f"resume={tmp_path / 'first'}"))
    settings = typed(cfg, Training)
    assert folder == tmp_path / "first"
    assert (settings.name, settings.trainer.steps, settings.optim.steps) == ("first", 9, 9)
    cli._record(cfg, folder)
    stored = OmegaConf.load(folder / "config.yaml")
    assert isinstance(stored, DictConfig)
    again = typed(stored, Training)
    assert (again.trainer.steps, again.optim.steps, again.resume) == (9, 9, None)
    assert (tmp_path / "latest").resolve() == folder


def _checkpointed(folder: Path, step: int) -> None:
    (folder / "checkpoints").mkdir(parents=True)
    torch.save({"global_step": step}, folder / "checkpoints" / f"step_{step:07d}.ckpt")


def test_a_finished_run_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _checkpointed(tmp_path, 4)
    settings = typed(composed("trainer.steps=4"), Training)
    assert (cli._checkpoint_to_go_on_from(tmp_path, settings) or ("", 0))[1] == 4
    assert "this run is finished, its 4 steps are done" in capsys.readouterr().out


def test_a_run_cannot_go_back(tmp_path: Path) -> None:
    _checkpointed(tmp_path, 4)
    with pytest.raises(UserError, match=r"has done 4 steps: it cannot go on to trainer.steps=3"):
        cli._checkpoint_to_go_on_from(tmp_path, typed(composed("trainer.steps=3"), Training))


def test_missing_values_are_named() -> None:
    with pytest.raises(UserError, match=r"^give a value for data\.held_out=…, data\.train=…$"):
        typed(composed("data=shards"), Training)


@pytest.mark.parametrize(("rank", "whose"), [(0, ""), (3, "process 3: ")])
def test_a_full_disk_is_one_sentence(monkeypatch: pytest.MonkeyPatch, rank: int, whose: str) -> None:
    monkeypatch.setenv("RANK", str(rank))

    def fill() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/data/metrics.csv")

    with pytest.raises(SystemExit, match=f"^error: {whose}/data/metrics.csv could not be written: No space left"):
        cli._answer_mistakes(fill)


def test_what_is_no_full_disk_is_ours_to_mend() -> None:
    with pytest.raises(FileNotFoundError):
        cli._answer_mistakes(lambda: open("/nowhere/at/all").close())
