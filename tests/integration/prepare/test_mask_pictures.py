"""Data sets with a picture for each mask, on folders laid out as their sites do."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from anymask.data.shards import ShardSet
from anymask.masks import decode
from anymask.structures import Sample

REAL = Path(__file__).resolve().parents[3] / "../shared/data/eval"
needs_real_data = pytest.mark.skipif(not REAL.is_dir(), reason="the real data sets are not at hand (../shared/data)")

Run = Callable[..., str]
SamplesOf = Callable[[Path], dict[str, Sample]]
Photograph = Callable[..., bytes]
Picture = np.ndarray[Any, Any]

SIZE = (48, 64)


def _rectangle(x0: int, y0: int, x1: int, y1: int) -> Picture:
    bitmap = np.zeros(SIZE, dtype=bool)
    bitmap[y0:y1, x0:x1] = True
    return bitmap


def _write(path: Path, picture: Picture | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(picture, bytes):
        path.write_bytes(picture)
    else:
        cv2.imwrite(str(path), picture.astype(np.uint8))


# ---- BBBC038 ----


@pytest.fixture
def nuclei(tmp_path: Path) -> Path:
    folder = tmp_path / "stage1_train"
    chance = np.random.default_rng(0)
    for name, channels in (("aa", 4), ("bb", 3)):
        _write(folder / name / "images" / f"{name}.png", chance.integers(0, 256, (*SIZE, channels)))
        _write(folder / name / "masks" / "1.png", 255 * _rectangle(3, 4, 9, 8))
        _write(folder / name / "masks" / "2.png", 255 * _rectangle(20, 20, 40, 40))
    return folder


def test_one_png_per_nucleus_becomes_one_mask_and_alpha_is_dropped(
    run: Run, samples_of: SamplesOf, nuclei: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    printed = run("bbbc038", "--images", nuclei, "--all", "--out", out, "--expect-images", 2, "--expect-masks", 4)
    assert printed.strip() == f"{out}: 2 photographs, 4 masks"
    samples = samples_of(out)
    for name, sample in samples.items():
        stored = cv2.imread(str(nuclei / name / "images" / f"{name}.png"), cv2.IMREAD_UNCHANGED)
        assert stored is not None
        assert np.array_equal(sample.image, stored[..., 2::-1])
        assert sample.mask_ids == (0, 1)
        assert np.array_equal(decode(sample.masks[0]), _rectangle(3, 4, 9, 8))
    (shard,) = ShardSet.open(str(out)).shards
    headers = Path(shard.url).read_bytes().split(b"IHDR")[1:]
    assert [header[9] for header in headers] == [2, 2]  # PNG's colour type: RGB without alpha


def test_a_nucleus_that_is_empty_is_left_out_and_counted(run: Run, nuclei: Path, tmp_path: Path) -> None:
    _write(nuclei / "bb" / "masks" / "2.png", 0 * _rectangle(0, 0, 5, 5))
    printed = run("bbbc038", "--images", nuclei, "--out", tmp_path / "out")
    assert "2 photographs, 3 masks; left out: 1 empty masks" in printed
    assert "227 photographs with 10506 masks, drawn in a way that it does not tell" in printed


def test_a_mask_that_is_none_is_refused(refused: Run, nuclei: Path) -> None:
    path = nuclei / "bb" / "masks" / "2.png"
    for grey, sentence in (
        (7 * _rectangle(0, 0, 5, 5) + 9 * _rectangle(9, 9, 12, 12), "2.png has 2 levels beside black; a mask has one"),
        (np.full((9, 9), 255), "2.png is (9, 9) pixels (height, width)"),
    ):
        _write(path, grey)
        assert sentence in refused("bbbc038", "--images", nuclei)
    for damaged in (b"", b"no picture"):
        path.write_bytes(damaged)
        assert "2.png is not a picture that can be read" in refused("bbbc038", "--images", nuclei)


def test_a_folder_without_its_photograph_or_its_masks_is_refused(refused: Run, nuclei: Path) -> None:
    shutil.rmtree(nuclei / "bb" / "masks")
    assert "there is no folder" in refused("bbbc038", "--images", nuclei)
    (nuclei / "bb" / "images" / "bb.png").rename(nuclei / "bb" / "images" / "cc.png")
    assert "there is no photograph bb.png" in refused("bbbc038", "--images", nuclei)
    assert "there is no NAME/images/NAME.png" in refused("bbbc038", "--images", nuclei / "aa")


@pytest.mark.slow
@needs_real_data
def test_dsb2018_56(run: Run, samples_of: SamplesOf, tmp_path: Path) -> None:
    out = tmp_path / "out"
    folder = REAL / "dsb2018_56/stage1_train"
    run("bbbc038", "--images", folder, "--all", "--out", out, "--expect-images", 56, "--expect-masks", 3159)
    masks = {key: len(sample.masks) for key, sample in samples_of(out).items()}
    assert masks == {inner.name: len(list((inner / "masks").iterdir())) for inner in folder.iterdir()}


# ---- GrabCut, Berkeley, DOORS ----


@pytest.fixture
def grabcut(tmp_path: Path, draw_photograph: Photograph) -> Path:
    levels = 128 * _rectangle(8, 8, 32, 32) + 127 * _rectangle(10, 10, 30, 30)
    for name in ("21077", "aa"):
        _write(tmp_path / "grabcut/masks" / f"{name}.png", levels)
        _write(tmp_path / "grabcut/images" / f"{name}.jpg", draw_photograph(SIZE))
    return tmp_path / "grabcut"


def test_the_uncertain_edge_is_not_to_be_counted(
    run: Run, samples_of: SamplesOf, grabcut: Path, tmp_path: Path
) -> None:
    given = ("grabcut", "--images", grabcut / "images", "--masks", grabcut / "masks")
    assert run(*given, "--out", tmp_path / "out").strip() == f"{tmp_path / 'out'}: 2 photographs, 2 masks"
    sample = samples_of(tmp_path / "out")["21077"]
    (mask,), (ignore,) = sample.masks, sample.ignore
    assert ignore is not None
    assert np.array_equal(decode(mask), _rectangle(10, 10, 30, 30))
    assert np.array_equal(decode(ignore), _rectangle(8, 8, 32, 32) & ~_rectangle(10, 10, 30, 30))


def test_bitmaps_as_grabcut_was_first_distributed_become_png(run: Run, samples_of: SamplesOf, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*SIZE, 3))
    _write(tmp_path / "data_GT/flower.bmp", pixels)
    _write(tmp_path / "boundary_GT/flower.bmp", 255 * _rectangle(10, 10, 30, 30))
    run("grabcut", "--images", tmp_path / "data_GT", "--masks", tmp_path / "boundary_GT", "--out", tmp_path / "out")
    (sample,) = samples_of(tmp_path / "out").values()
    assert np.array_equal(sample.image, pixels[..., ::-1])
    assert np.array_equal(decode(sample.masks[0]), _rectangle(10, 10, 30, 30))


def test_a_grabcut_mask_that_does_not_match_is_refused(refused: Run, grabcut: Path) -> None:
    given = ("grabcut", "--images", grabcut / "images", "--masks", grabcut / "masks")
    _write(grabcut / "masks" / "aa.png", 64 * _rectangle(1, 1, 9, 9))
    assert "aa.png has the level 64; a mask has [0, 128, 255]" in refused(*given)
    (grabcut / "masks" / "aa.png").unlink()
    assert "aa.jpg has no annotation" in refused(*given)


@needs_real_data
def test_grabcut_bsd20(run: Run, samples_of: SamplesOf, tmp_path: Path) -> None:
    folder = REAL / "grabcut_bsd20"
    given = ("--images", folder / "images", "--masks", folder / "masks", "--out", tmp_path / "out")
    run("grabcut", *given, "--expect-images", 20, "--expect-masks", 20)
    samples = samples_of(tmp_path / "out")
    (shard,) = ShardSet.open(str(tmp_path / "out")).shards
    stored = Path(shard.url).read_bytes()
    assert all((folder / "images" / f"{key}.jpg").read_bytes() in stored for key in samples)
    assert all(decode(sample.masks[0]).any() for sample in samples.values())


def test_berkeley_has_several_objects_on_a_photograph(
    run: Run, refused: Run, samples_of: SamplesOf, draw_photograph: Photograph, tmp_path: Path
) -> None:
    first, second = _rectangle(1, 1, 9, 9), _rectangle(20, 20, 40, 40)
    for name in ("3096", "12003"):
        _write(tmp_path / "b/images" / f"{name}.jpg", draw_photograph(SIZE))
    for name, mask in (("3096#1", first), ("3096#2", second), ("12003", second)):
        _write(tmp_path / "b/masks" / f"{name}.png", 255 * mask)
    given = ("berkeley", "--images", tmp_path / "b/images", "--masks", tmp_path / "b/masks")
    run(*given, "--out", tmp_path / "packed", "--expect-images", 2, "--expect-masks", 3)
    masks = [decode(mask) for mask in samples_of(tmp_path / "packed")["3096"].masks]
    assert all(map(np.array_equal, masks, [first, second]))
    _write(tmp_path / "b/masks" / "999#1.png", 255 * first)
    assert "999#1.png has no photograph" in refused(*given)


def test_berkeley_may_have_a_photograph_once_for_each_object(
    run: Run, samples_of: SamplesOf, draw_photograph: Photograph, tmp_path: Path
) -> None:
    masks = {"3096#1": _rectangle(1, 1, 9, 9), "3096#2": _rectangle(20, 20, 40, 40)}
    for name, mask in masks.items():
        _write(tmp_path / "b/images" / f"{name}.jpg", draw_photograph(SIZE))
        _write(tmp_path / "b/masks" / f"{name}.png", mask)  # of 0 and 1
    run("berkeley", "--images", tmp_path / "b/images", "--masks", tmp_path / "b/masks", "--out", tmp_path / "packed")
    samples = samples_of(tmp_path / "packed")
    assert {key: len(sample.masks) for key, sample in samples.items()} == {"3096_1": 1, "3096_2": 1}
    assert np.array_equal(decode(samples["3096_2"].masks[0]), masks["3096#2"])


def test_doors_takes_its_first_data_set(run: Run, refused: Run, samples_of: SamplesOf, tmp_path: Path) -> None:
    mask = _rectangle(5, 5, 20, 20)
    for folder in ("DS1/DS", "DS2/DS"):
        for name, boulder in (("TR_0", mask), ("TE1_0", mask), ("V_0", mask & False)):
            _write(tmp_path / "DOORS/Segmentation" / folder / "img" / f"{name}.png", np.full(SIZE, 40))
            _write(tmp_path / "DOORS/Segmentation" / folder / "mask" / f"{name}.png", 255 * boulder)
    printed = run("doors", "--root", tmp_path / "DOORS", "--out", tmp_path / "out")
    assert "2 photographs, 2 masks; left out: 1 empty masks, 1 photographs without masks" in printed
    samples = samples_of(tmp_path / "out")
    assert samples.keys() == {"TR_0", "TE1_0"}
    assert all(np.array_equal(decode(sample.masks[0]), mask) for sample in samples.values())
    (tmp_path / "DOORS/Segmentation/DS1/DS/mask/V_0.png").unlink()
    assert "V_0.png has no annotation" in refused("doors", "--root", tmp_path / "DOORS")


# ---- ADE20K ----


def _coloured(*regions: tuple[int, Picture]) -> Picture:
    """As OpenCV writes it: blue, which numbers the objects, comes first; the class stands in the other two."""
    picture = np.zeros((*SIZE, 3), dtype=np.uint8)
    for number, region in regions:
        picture[region] = (number, 57, 30)
    return picture


def test_ade20k_has_objects_and_parts(
    run: Run, samples_of: SamplesOf, draw_photograph: Photograph, tmp_path: Path
) -> None:
    house, door, sky = _rectangle(0, 20, 40, 48), _rectangle(5, 30, 12, 48), _rectangle(0, 0, 64, 20)
    folder = tmp_path / "validation/urban/street"
    _write(folder / "ADE_val_1.jpg", draw_photograph(SIZE))
    _write(folder / "ADE_val_1_seg.png", _coloured((1, sky), (7, house)))
    _write(folder / "ADE_val_1_parts_1.png", _coloured((7, door)))
    _write(folder / "ADE_val_1" / "instance_000_ADE_val_1.png", 255 * house)
    for number, root in enumerate((tmp_path / "validation", folder)):  # the key, and so the draw, is the same
        out = tmp_path / f"out{number}"
        run("ade20k", "--root", root, "--out", out, "--expect-masks", 3)
        (sample,) = samples_of(out).values()
        assert sample.key == "ADE_val_1"
        assert all(map(np.array_equal, map(decode, sample.masks), [sky, house, door]))


@needs_real_data
def test_ade20k_3(run: Run, samples_of: SamplesOf, tmp_path: Path) -> None:
    run("ade20k", "--root", REAL / "ade20k_3", "--out", tmp_path / "out", "--expect-images", 3)
    samples = samples_of(tmp_path / "out")
    assert sum(len(sample.masks) for sample in samples.values()) == 109 + 30
    for key, sample in samples.items():
        polygons = json.loads((REAL / "ade20k_3" / f"{key}.json").read_bytes())["annotation"]["object"]
        assert len(sample.masks) == len(polygons)
