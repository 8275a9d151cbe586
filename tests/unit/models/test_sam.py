from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from anymask.errors import UserError
from anymask.models.sam import AMBIGUOUS, ARCHITECTURES, EVERY, SINGLE, Architecture, Sam, build
from anymask.structures import Label, Prompts

SMALL = Architecture(
    image_size=32, patch_size=8, width=16, depth=2, heads=2, global_blocks=(1,), window=3, dim=32, mlp_dim=16, iou_dim=8
)


def _sam(architecture: Architecture = SMALL) -> Sam:
    torch.manual_seed(0)
    return Sam(architecture).eval()


def _photograph() -> tuple[Tensor, Tensor]:
    images = torch.randint(0, 256, (1, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return images, torch.tensor([[20, 32]])


def _clicks(number: int, points: int = 1) -> Prompts:
    generator = torch.Generator().manual_seed(1)
    return Prompts(
        image_index=torch.zeros(number, dtype=torch.int64),
        points=(torch.rand(number, points, 2, generator=generator) * 32).floor(),
        labels=torch.full((number, points), Label.FOREGROUND),
    )


@pytest.mark.parametrize("name", list(ARCHITECTURES))
def test_names_of_models(name: str) -> None:
    with torch.device("meta"):
        sam = build(name)
    assert (sam.image_size, sam.mask_size) == ((256, 64) if name == "tiny" else (1024, 256))


def test_an_unknown_name_is_told_with_the_known_ones() -> None:
    with pytest.raises(UserError, match="unknown model 'vit_x': there are tiny, vit_b, vit_l, vit_h"):
        build("vit_x")


@pytest.mark.parametrize("size", [100, 0, -16])
def test_an_image_size_must_be_a_multiple_of_the_patch(size: int) -> None:
    with pytest.raises(UserError, match=f"image_size {size} is not a multiple of the patch size 16"):
        build("tiny", image_size=size)


def test_another_image_size() -> None:
    sam = build("tiny", image_size=64).eval()
    with torch.no_grad():
        embeddings = sam.encode(torch.zeros(1, 3, 64, 64, dtype=torch.uint8), torch.tensor([[64, 64]]))
        decoded = sam.decode(embeddings, _clicks(2), outputs=EVERY)
    assert embeddings.shape == (1, sam.architecture.dim, 4, 4)
    assert decoded.logits.shape == (2, 4, 16, 16)


def test_what_stands_in_the_padding_does_not_matter() -> None:
    sam, (images, sizes) = _sam(), _photograph()
    other_padding, other_photograph = images.clone(), images.clone()
    other_padding[:, :, 20:] = 255 - other_padding[:, :, 20:]
    other_photograph[:, :, 19, 31] = 255 - other_photograph[:, :, 19, 31]
    with torch.no_grad():
        embeddings = sam.encode(images, sizes)
        assert torch.equal(sam.encode(other_padding, sizes), embeddings)
        assert not torch.equal(sam.encode(other_photograph, sizes), embeddings)


def test_padding_is_zero_after_normalisation(monkeypatch: pytest.MonkeyPatch) -> None:
    sam, (images, sizes) = _sam(), _photograph()
    images[0, :, 0, 0] = torch.tensor([124, 116, 104])
    seen: list[Tensor] = []

    def encode(pixels: Tensor) -> Tensor:
        seen.append(pixels)
        return torch.zeros(1, 32, 4, 4)

    monkeypatch.setattr(sam.image_encoder, "forward", encode)
    sam.encode(images, sizes)
    expected = torch.tensor([0.325 / 58.395, -0.28 / 57.12, 0.47 / 57.375])
    torch.testing.assert_close(seen[0][0, :, 0, 0], expected, atol=1e-6, rtol=1e-3)
    assert seen[0][:, :, 20:].abs().max() == 0
    assert seen[0][:, :, :20].abs().max() > 1


def test_single_and_ambiguous_outputs_are_parts_of_all() -> None:
    sam, embeddings = _sam(), torch.randn(1, 32, 4, 4, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        single, three, four = (sam.decode(embeddings, _clicks(2), outputs=o) for o in (SINGLE, AMBIGUOUS, EVERY))
    torch.testing.assert_close(torch.cat([single.logits, three.logits], dim=1), four.logits)
    torch.testing.assert_close(torch.cat([single.ious, three.ious], dim=1), four.ious)


@pytest.mark.parametrize("bytes_in_cache", [1, 2**30])
def test_prompts_in_chunks_of_any_size_and_none_at_all(bytes_in_cache: int, monkeypatch: pytest.MonkeyPatch) -> None:
    sam, embeddings = _sam(), torch.randn(1, 32, 4, 4, generator=torch.Generator().manual_seed(2))
    prompts = _clicks(5)
    with torch.no_grad():
        expected = sam.decode(embeddings, prompts, outputs=AMBIGUOUS)
        monkeypatch.setattr("anymask.models.sam._CACHE_BYTES", bytes_in_cache)
        decoded = sam.decode(embeddings, prompts, outputs=AMBIGUOUS)
        nothing = sam.decode(embeddings, prompts.rows(slice(0, 0)), outputs=AMBIGUOUS)
    torch.testing.assert_close(decoded.logits, expected.logits)
    torch.testing.assert_close(decoded.ious, expected.ious)
    assert nothing.logits.shape == (0, 3, 16, 16)
    assert nothing.ious.shape == (0, 3)


def test_absent_points_change_nothing() -> None:
    sam, embeddings, prompts = _sam(), torch.randn(1, 32, 4, 4, generator=torch.Generator().manual_seed(2)), _clicks(3)
    longer = replace(
        prompts,
        points=torch.cat([prompts.points, torch.full((3, 2, 2), 7.0)], dim=1),
        labels=torch.cat([prompts.labels, torch.full((3, 2), Label.ABSENT)], dim=1),
    )
    with torch.no_grad():
        plain, padded = (sam.decode(embeddings, p, outputs=EVERY) for p in (prompts, longer))
    torch.testing.assert_close(padded.logits, plain.logits, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(padded.ious, plain.ious, rtol=1e-4, atol=1e-5)


def test_click_rounds_are_an_option_that_tells_points_apart() -> None:
    embeddings = torch.randn(1, 32, 4, 4, generator=torch.Generator().manual_seed(2))
    prompts = _clicks(1, points=2)
    turned = replace(prompts, points=prompts.points.flip(1))
    for click_rounds, agree in ((0, True), (4, False)):
        sam = _sam(replace(SMALL, click_rounds=click_rounds))
        with torch.no_grad():
            first, second = (sam.decode(embeddings, p, outputs=SINGLE).logits for p in (prompts, turned))
        assert torch.allclose(first, second, atol=1e-6) == agree
    assert not any("click_round" in name for name in _sam().state_dict())
