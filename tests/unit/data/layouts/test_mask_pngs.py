"""Which mask belongs to which photograph, and what is a mask."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anymask.data.layouts.mask_pngs import MaskPngs, read_mask
from anymask.data.packing import pack
from anymask.data.shards import ShardSet
from anymask.data.stream import read_samples
from anymask.drawing import jpeg
from anymask.errors import UserError
from anymask.masks import decode
from anymask.structures import Sample

TOP, LEFT = np.zeros((4, 6), dtype=np.uint8), np.zeros((4, 6), dtype=np.uint8)
TOP[0], LEFT[:, 0] = 255, 1


def _write(path: Path, mask: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask).save(path)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for name in ("dog", "dog_2"):
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / "images" / f"{name}.jpg").write_bytes(jpeg(np.zeros((4, 6, 3), dtype=np.uint8)))
    return tmp_path / "images"


@pytest.mark.parametrize(
    "names",
    [
        ("dog/a.png", "dog/b.png", "dog_2/a.png"),
        ("dog_a.png", "dog_b_c.png", "dog_2_a.png"),
        ("dog.png", "dog/b.png", "dog_2.png"),
    ],
)
def test_masks_lie_in_a_folder_or_go_by_their_names(images: Path, tmp_path: Path, names: tuple[str, ...]) -> None:
    for name, mask in zip(names, (TOP, LEFT, TOP), strict=True):
        _write(tmp_path / "masks" / name, mask)
    pack(MaskPngs.of_folders(images, tmp_path / "masks"), tmp_path / "out", source="manual")
    samples = {sample.key: sample for sample in read_samples(ShardSet.open(str(tmp_path / "out")))}
    dog, second = samples["dog"], samples["dog_2"]
    assert isinstance(dog, Sample)
    assert isinstance(second, Sample)
    assert sorted(decode(mask).sum() for mask in dog.masks) == [4, 6]
    assert [decode(mask).sum() for mask in second.masks] == [6]


def test_a_photograph_without_a_mask_is_left_out_and_counted(images: Path, tmp_path: Path) -> None:
    _write(tmp_path / "masks/dog_2_a.png", TOP)
    counts = pack(MaskPngs.of_folders(images, tmp_path / "masks"), tmp_path / "out", source="manual")
    assert str(counts) == "1 photographs, 1 masks; left out: 1 photographs without masks"


def test_a_mask_without_a_photograph_is_refused(images: Path, tmp_path: Path) -> None:
    _write(tmp_path / "masks/cat_1.png", TOP)
    with pytest.raises(UserError, match=r"the mask .*cat_1\.png has no photograph"):
        MaskPngs.of_folders(images, tmp_path / "masks")


def test_a_mask_has_one_level_or_colour(tmp_path: Path) -> None:
    _write(tmp_path / "red.png", np.stack([TOP, 0 * TOP, 0 * TOP], axis=2))
    assert np.array_equal(read_mask(tmp_path / "red.png"), TOP > 0)
    _write(tmp_path / "two.png", np.maximum(TOP, LEFT))
    with pytest.raises(UserError, match=r"two\.png has 2 levels beside black"):
        read_mask(tmp_path / "two.png")
