from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from anymask.errors import UserError
from anymask.models.checkpoints import initialise, load, save
from anymask.models.sam import SINGLE, Architecture, Sam
from anymask.structures import Prompts

SMALL = Architecture(
    image_size=64,
    patch_size=8,
    width=16,
    depth=2,
    heads=2,
    global_blocks=(1,),
    window=3,
    dim=32,
    mlp_dim=16,
    iou_dim=8,
)


def _sam(architecture: Architecture = SMALL, seed: int = 0) -> Sam:
    torch.manual_seed(seed)
    sam = Sam(architecture).eval()
    for name, parameter in sam.named_parameters():
        if "rel_pos" in name:
            torch.nn.init.normal_(parameter)
    return sam


def _assert_equal(sam: Sam, expected: Sam) -> None:
    found, wanted = sam.state_dict(), expected.state_dict()
    assert list(found) == list(wanted)
    assert [name for name in wanted if not torch.equal(found[name], wanted[name])] == []


def _stored(path: Path, weights: dict[str, Any]) -> Path:
    torch.save(weights, path)
    return path


@pytest.mark.parametrize("name", ["sam.pth", "sam.pt", "sam.safetensors", "folder"])
@pytest.mark.parametrize("architecture", [SMALL, replace(SMALL, window=4, depth=3, global_blocks=(0, 2), mlp_dim=24)])
def test_what_was_saved_is_loaded(architecture: Architecture, name: str, tmp_path: Path) -> None:
    sam = _sam(architecture)
    save(sam, tmp_path / name)
    loaded = load(tmp_path / name)
    _assert_equal(loaded, sam)
    assert loaded.architecture == architecture
    assert not loaded.training
    assert all(parameter.requires_grad for parameter in loaded.parameters())
    assert [path.name for path in tmp_path.iterdir()] == [name]  # and no half-written file


def test_a_full_disk_is_told_and_leaves_the_file_before(tmp_path: Path, small_disk: Callable[[int], None]) -> None:
    sam = _sam()
    save(sam, tmp_path / "sam.pth")
    small_disk(1000)
    with pytest.raises(OSError, match="File too large"):
        save(_sam(replace(SMALL, depth=3, global_blocks=(0, 2))), tmp_path / "sam.pth")
    _assert_equal(load(tmp_path / "sam.pth"), sam)
    assert [path.name for path in tmp_path.iterdir()] == ["sam.pth"]


def test_the_file_inside_a_folder_of_transformers_loads_too(tmp_path: Path) -> None:
    sam = _sam()
    save(sam, tmp_path / "folder")
    _assert_equal(load(tmp_path / "folder/model.safetensors"), sam)


def test_click_rounds_survive_a_file_and_have_no_place_in_transformers(tmp_path: Path) -> None:
    sam = _sam(replace(SMALL, click_rounds=4))
    save(sam, tmp_path / "sam.pth")
    _assert_equal(load(tmp_path / "sam.pth"), sam)
    with pytest.raises(UserError, match="no embedding of the click round"):
        save(sam, tmp_path / "folder")


def test_click_rounds_start_from_weights_without_them(tmp_path: Path) -> None:
    source, sam = _sam(seed=1), _sam(replace(SMALL, click_rounds=4), seed=2)
    save(source, tmp_path / "sam.pth")
    own = sam.get_parameter("prompt_encoder.click_round_embed.weight").clone()
    said = initialise(sam, tmp_path / "sam.pth")
    assert said.endswith("1 from random values")
    assert torch.equal(sam.get_parameter("prompt_encoder.click_round_embed.weight"), own)
    assert all(torch.equal(sam.state_dict()[name], tensor) for name, tensor in source.state_dict().items())


def test_a_training_checkpoint_gives_its_average_or_its_model(tmp_path: Path) -> None:
    trained, averaged = _sam(seed=1), _sam(seed=2)
    state = {f"sam.{name}": tensor for name, tensor in trained.state_dict().items()}
    state["val_iou.miou@1.mean_value"] = torch.zeros(())
    path = _stored(tmp_path / "last.ckpt", {"state_dict": state, "global_step": 3, "prompts": [torch.zeros(2)]})
    _assert_equal(load(path), trained)
    state |= {f"ema.{name}": tensor for name, tensor in averaged.state_dict().items()}
    _assert_equal(load(_stored(tmp_path / "averaged.ckpt", {"state_dict": state})), averaged)


def test_weights_in_half_precision_become_float32(tmp_path: Path) -> None:
    half = {name: tensor.half() for name, tensor in _sam().state_dict().items()}
    assert {tensor.dtype for tensor in load(_stored(tmp_path / "half.pth", half)).state_dict().values()} == {
        torch.float32
    }


def _without(weights: dict[str, Tensor]) -> None:
    del weights["mask_decoder.iou_token.weight"]


def _with_more(weights: dict[str, Tensor]) -> None:
    weights["mask_decoder.surprise"] = torch.zeros(1)


def _misshapen(weights: dict[str, Tensor]) -> None:
    weights["image_encoder.neck.1.bias"] = torch.zeros(5)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_without, r"1 missing \(mask_decoder.iou_token.weight\)"),
        (_with_more, r"1 unknown \(mask_decoder.surprise\)"),
        (_misshapen, r"1 of another shape \(image_encoder.neck.1.bias \(5,\) instead of \(32,\)\)"),
    ],
)
def test_a_file_fits_to_the_last_key_and_shape(change: Any, said: str, tmp_path: Path) -> None:
    weights = _sam().state_dict()
    change(weights)
    path = _stored(tmp_path / "sam.pth", weights)
    with pytest.raises(UserError, match=said):
        load(path)
    sam = _sam(seed=1)
    before = {name: tensor.clone() for name, tensor in sam.state_dict().items()}
    with pytest.raises(UserError, match=said):
        initialise(sam, path)
    assert all(torch.equal(tensor, before[name]) for name, tensor in sam.state_dict().items())


class _Trap:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_code_in_a_file_is_never_run(tmp_path: Path) -> None:
    trap = tmp_path / "sprung"
    path = _stored(tmp_path / "sam.pth", {**_sam().state_dict(), "extra": _Trap(trap)})
    with pytest.raises(UserError, match="could run code"):
        load(path)
    assert not trap.exists()
    pickle.loads(pickle.dumps(_Trap(trap)))
    assert trap.exists()  # the trap works


@pytest.mark.parametrize("name", ["sam.pth", "sam.safetensors"])
@pytest.mark.parametrize("kept", [0.0, 0.5, 0.99])
def test_a_file_cut_short_is_refused(name: str, kept: float, tmp_path: Path) -> None:
    path = tmp_path / name
    save(_sam(), path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(UserError, match=f"{name} cannot be read, it is damaged or cut short"):
        load(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([torch.zeros(1)], "is no checkpoint: it holds a list"),
        ({"layer1.weight": torch.zeros(1)}, "holds no SAM: .*layer1.weight"),
        ({"state_dict": {"net.weight": torch.zeros(1)}}, "holds no SAM: .*no tensors"),
        ({"epoch": 3}, "holds no SAM: .*no tensors"),
        ({"model": "vit_b"}, "holds no SAM: .*no tensors"),
        ({"state_dict": [torch.zeros(1)]}, "holds no SAM: .*no tensors"),
    ],
)
def test_other_content_is_told_what_it_is(content: Any, said: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(UserError, match=said):
        load(tmp_path / "other.pth")


@pytest.mark.parametrize(
    "content", [b"hello", b"<html>404</html>", b"\x80", b"version https://git-lfs.github.com/spec\n"]
)
@pytest.mark.parametrize("name", ["page.pth", "page.safetensors"])
def test_a_file_of_another_kind_is_refused(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=rf"{name} (is refused: it is no checkpoint|cannot be read, it is damaged)"):
        load(tmp_path / name)


@pytest.mark.parametrize("name", ["nothing.pth", "nothing.safetensors"])
def test_a_missing_file_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"there is no checkpoint at .*{name}"):
        load(tmp_path / name)


def test_an_empty_folder_is_told_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no model.safetensors and no pytorch_model.bin"):
        load(tmp_path)


def test_an_unknown_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"sam.onnx: it must end in .pth, .pt or .safetensors, or name a folder"):
        save(_sam(), tmp_path / "sam.onnx")


def _mae(sam: Sam) -> dict[str, Tensor]:
    """A masked autoencoder as published, with the encoder of ``sam``."""
    encoder = sam.image_encoder.state_dict()
    kept = {name: encoder[name] for name in encoder if not name.startswith("neck") and "rel_pos" not in name}
    renamed = {name.replace("lin", "fc"): tensor for name, tensor in kept.items()}
    places = renamed["pos_embed"].flatten(1, 2)
    renamed["pos_embed"] = torch.cat([torch.full_like(places[:, :1], 9.0), places], dim=1)
    others = {"cls_token": torch.zeros(1, 1, 16), "mask_token": torch.zeros(1, 1, 8), "norm.weight": torch.ones(16)}
    return (
        renamed | others | {"decoder_blocks.0.norm1.weight": torch.ones(8), "decoder_pos_embed": torch.zeros(1, 65, 8)}
    )


def test_a_masked_autoencoder_starts_the_encoder(tmp_path: Path) -> None:
    source, sam = _sam(seed=1), _sam(seed=2)
    before = {name: tensor.clone() for name, tensor in sam.state_dict().items()}
    path = _stored(tmp_path / "mae.pth", {"model": _mae(source)})
    said = initialise(sam, path)
    taken = {name for name in before if not torch.equal(sam.state_dict()[name], before[name])}
    layers = ("attn.qkv", "attn.proj", "mlp.lin1", "mlp.lin2")
    in_blocks = {f"image_encoder.blocks.{block}.{layer}.weight" for block in (0, 1) for layer in layers}
    below = {f"image_encoder.{name}" for name in ("pos_embed", "patch_embed.proj.weight", "patch_embed.proj.bias")}
    assert taken == below | in_blocks  # biases and norms are 0 and 1 in both
    assert all(torch.equal(sam.state_dict()[name], source.state_dict()[name]) for name in taken)
    assert said.startswith(f"27 of {len(before)} tensors start from {path}")


def test_a_masked_autoencoder_is_no_sam(tmp_path: Path) -> None:
    path = _stored(tmp_path / "mae.pth", {"model": _mae(_sam())})
    with pytest.raises(UserError, match=r"is a masked autoencoder, no SAM: it can start a training \(init_from="):
        load(path)


def test_a_masked_autoencoder_of_another_width_is_refused(tmp_path: Path) -> None:
    path = _stored(tmp_path / "mae.pth", {"model": _mae(_sam())})
    with pytest.raises(UserError, match=r"of another shape \(image_encoder.pos_embed \(1, 8, 8, 16\) instead of"):
        initialise(_sam(replace(SMALL, width=32)), path)


def _with_ramps() -> Sam:
    """Its absolute positions are all 3, its global relative positions the distance itself."""
    sam = _sam()
    with torch.no_grad():
        sam.image_encoder.pos_embed.fill_(3.0)
        sam.get_parameter("image_encoder.blocks.1.attn.rel_pos_h").copy_(torch.arange(-7.0, 8)[:, None].expand(-1, 8))
    return sam


@pytest.mark.parametrize("how", ["load", "initialise"])
@pytest.mark.parametrize(("side", "grid"), [(32, 4), (128, 16)])
def test_tables_are_resized_to_another_image_size(how: str, side: int, grid: int, tmp_path: Path) -> None:
    source = _with_ramps()
    save(source, tmp_path / "sam.pth")
    if how == "load":
        sam = load(tmp_path / "sam.pth", image_size=side)
    else:
        sam = _sam(replace(SMALL, image_size=side), seed=5)
        initialise(sam, tmp_path / "sam.pth")
    table = sam.get_parameter("image_encoder.blocks.1.attn.rel_pos_h")
    span = 2 * grid - 1
    centres = (torch.arange(span) + 0.5) * 15 / span - 0.5 - 7
    torch.testing.assert_close(table, centres.clamp(-7, 7)[:, None].expand(-1, 8), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(sam.image_encoder.pos_embed, torch.full((1, grid, grid, 16), 3.0))
    resized = ("pos_embed", "blocks.1.attn.rel_pos_h", "blocks.1.attn.rel_pos_w")
    for name, tensor in source.state_dict().items():
        assert name.endswith(resized) or torch.equal(sam.state_dict()[name], tensor)
    assert _decodes(sam)


def _decodes(sam: Sam) -> bool:
    images = torch.zeros(1, 3, sam.image_size, sam.image_size, dtype=torch.uint8)
    click = Prompts(
        image_index=torch.tensor([0]), points=torch.ones(1, 1, 2), labels=torch.ones(1, 1, dtype=torch.int64)
    )
    with torch.no_grad():
        decoded = sam.decode(sam.encode(images, torch.tensor([[8, 8]])), click, outputs=SINGLE)
    return decoded.logits.shape == (1, 1, sam.mask_size, sam.mask_size) and bool(decoded.logits.isfinite().all())
