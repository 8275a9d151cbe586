"""Ours beside transformers' and Meta's implementations, the same random weights in all of them."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from anymask.models.checkpoints import load, save
from anymask.models.sam import EVERY, Architecture, Sam, build
from anymask.structures import Label, Prompts

transformers = pytest.importorskip("transformers")

PROGRAM = Path(__file__).resolve().parents[2] / "eval/parity/compare.py"
PARITY = runpy.run_path(str(PROGRAM))

SMALL = Architecture(
    image_size=64,
    patch_size=8,
    width=32,
    depth=4,
    heads=2,
    global_blocks=(1, 3),
    window=3,  # does not divide the grid of 8: windows are padded
    dim=64,
    mlp_dim=64,
    iou_dim=32,
)
PARAMETERS = {"vit_b": 93_735_472, "vit_l": 312_342_832, "vit_h": 641_090_608}


@pytest.fixture(scope="module")
def sam() -> Sam:
    torch.manual_seed(0)
    small: Sam = PARITY["randomise"](Sam(SMALL))
    return small


@pytest.mark.parametrize("reference", ["transformers", "segment-anything"])
def test_every_kind_of_prompt_gets_the_same_answer(sam: Sam, reference: str, tmp_path: Path) -> None:
    if reference == "transformers":
        save(sam, tmp_path / "theirs")
        theirs = PARITY["Transformers"](tmp_path / "theirs")
    else:
        save(sam, tmp_path / "theirs.pth")
        theirs = PARITY["SegmentAnything"](tmp_path / "theirs.pth", sam)
    rows = list(PARITY["compare"](sam, theirs))
    assert len(rows) == 1 + 7 * 2  # the encoder; seven kinds of prompt with one and with three outputs
    assert {row.name: row for row in rows if not max(row.values, row.ious) <= 1e-4} == {}
    assert min(row.spread for row in rows) > 0.1  # values so large that 1e-4 is little


def test_the_program_fails_where_weights_differ(
    sam: Sam, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ours, theirs = tmp_path / "ours.pth", tmp_path / "theirs.pth"
    save(sam, ours)
    for change, status in ((0.0, 0), (0.01, 1)):
        other = load(ours)
        with torch.no_grad():
            other.get_parameter("mask_decoder.iou_prediction_head.layers.2.bias").add_(change)
        save(other, theirs)
        monkeypatch.setattr(sys, "argv", ["compare.py", "--ours", str(ours), "--theirs", str(theirs)])
        with pytest.raises(SystemExit) as stopped:
            runpy.run_path(str(PROGRAM), run_name="__main__")
        assert stopped.value.code == status
    assert "largest difference 1.0e-02" in capsys.readouterr().out


def test_weights_go_to_transformers_and_back(sam: Sam, tmp_path: Path) -> None:
    save(sam, tmp_path / "ours")
    theirs, found = transformers.SamModel.from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not found["missing_keys"]
    assert not found["unexpected_keys"]
    theirs.save_pretrained(tmp_path / "theirs")
    _assert_equal(load(tmp_path / "theirs").state_dict(), sam.state_dict())
    assert load(tmp_path / "theirs").architecture == SMALL


def test_an_official_file_comes_back_to_the_bit(sam: Sam, tmp_path: Path) -> None:
    save(sam, tmp_path / "ours.pth")
    official = PARITY["SegmentAnything"](tmp_path / "ours.pth", sam).model.state_dict()
    torch.save(official, tmp_path / "official.pth")
    save(load(tmp_path / "official.pth"), tmp_path / "again.pth")
    _assert_equal(torch.load(tmp_path / "again.pth", weights_only=True), official)


@pytest.mark.parametrize("name", list(PARAMETERS))
def test_published_models_have_the_published_number_of_parameters(name: str) -> None:
    with torch.device("meta"):
        parameters = sum(parameter.numel() for parameter in build(name).parameters())
    assert parameters == PARAMETERS[name]


@pytest.mark.parametrize("masks", ["none", "some", "all"])
def test_prompts_on_several_images_in_one_call_are_as_one_by_one(sam: Sam, masks: str) -> None:
    draw = torch.Generator().manual_seed(0)
    embeddings = torch.randn(3, SMALL.dim, SMALL.grid, SMALL.grid, generator=draw)
    prompts = Prompts(
        image_index=torch.tensor([2, 0, 0, 0, 2, 1]),
        points=(torch.rand(6, 3, 2, generator=draw) * 64).floor(),
        labels=_ragged_labels(),
        masks=None if masks == "none" else 5 * torch.randn(6, 32, 32, generator=draw),
        has_mask=torch.tensor([True, False, True, False, False, True]) if masks == "some" else None,
    )
    with torch.no_grad():
        together = sam.decode(embeddings, prompts, outputs=EVERY)
        for row in range(6):
            image = int(prompts.image_index[row])
            alone = sam.decode(embeddings[image : image + 1], _alone(prompts, row), outputs=EVERY)
            torch.testing.assert_close(together.logits[row], alone.logits[0], rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(together.ious[row], alone.ious[0], rtol=1e-4, atol=1e-5)


def _ragged_labels() -> Tensor:
    point, box = [Label.FOREGROUND, Label.PADDING, Label.ABSENT], [Label.CORNER_TOP_LEFT, Label.CORNER_BOTTOM_RIGHT]
    clicks = [Label.FOREGROUND, Label.BACKGROUND, Label.PADDING]
    return torch.tensor([point, [*box, Label.ABSENT], clicks, [Label.FOREGROUND, *box], point, clicks])


def _alone(prompts: Prompts, row: int) -> Prompts:
    """One prompt as the only one on the only image, without the empty places of its list of points."""
    present = prompts.labels[row] != Label.ABSENT
    has_mask = prompts.masks is not None and (prompts.has_mask is None or bool(prompts.has_mask[row]))
    return Prompts(
        image_index=torch.tensor([0]),
        points=prompts.points[row : row + 1, present],
        labels=prompts.labels[row : row + 1, present],
        masks=prompts.masks[row : row + 1] if has_mask and prompts.masks is not None else None,
    )


def _assert_equal(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert set(found) == set(expected)
    assert [name for name in expected if not torch.equal(found[name], expected[name])] == []
