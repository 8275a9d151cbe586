"""What sets it apart from other folders of label pictures, for each site; and what is refused."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from anymask.masks import decode
from anymask.structures import Sample

Run = Callable[..., str]
SamplesOf = Callable[[Path], dict[str, Sample]]
Draw = Callable[..., bytes]
Labels = np.ndarray[Any, Any]

SIZE = (6, 8)


def _labels(**boxes: tuple[int, int, int, int]) -> Labels:
    """Numbers (``_7=(rows and columns)``) on 0; later ones lie above."""
    labels = np.zeros(SIZE, dtype=np.int32)
    for number, (y0, y1, x0, x1) in boxes.items():
        labels[y0:y1, x0:x1] = int(number.removeprefix("_"))
    return labels


TWO = _labels(_1=(0, 2, 0, 3), _7=(3, 6, 4, 8))


def _write(path: Path, data: bytes | Labels) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(data, bytes):
        path.write_bytes(data)
    else:
        cv2.imwrite(str(path), data.astype(np.uint16 if data.max() > 255 else np.uint8))


def _assert_objects(sample: Sample, labels: Labels, numbers: list[int]) -> None:
    assert [decode(mask).tolist() for mask in sample.masks] == [(labels == number).tolist() for number in numbers]


def test_ishape_numbers_below_1000_are_no_objects(
    run: Run, samples_of: SamplesOf, draw_photograph: Draw, tmp_path: Path
) -> None:
    """A wire in two corners, another one, and 26, which is what Cityscapes calls all that was not told apart."""
    labels = _labels(_1000=(0, 1, 0, 1), _1002=(3, 4, 0, 8), _26=(4, 5, 0, 8))
    labels[5, 7] = 1000
    _write(tmp_path / "wire/val/image/0.jpg", draw_photograph(SIZE))
    _write(tmp_path / "wire/val/instance_map/0.png", labels)
    run("ishape", "--root", tmp_path, "--out", tmp_path / "out")
    _assert_objects(samples_of(tmp_path / "out")["wire_val_image_0"], labels, [1000, 1002])


def test_dram_has_its_labels_in_a_folder_of_their_own(
    run: Run, refused: Run, samples_of: SamplesOf, draw_photograph: Draw, tmp_path: Path
) -> None:
    labels = _labels(_15=(0, 2, 0, 3), _3=(3, 6, 4, 8), _255=(5, 6, 0, 8))
    for name in ("realism/winslow-homer/the-boat", "unseen/rococo/george-morland/47588"):
        _write(tmp_path / "DRAM" / "test" / f"{name}.jpg", draw_photograph(SIZE))
        _write(tmp_path / "DRAM" / "labels" / f"{name}.png", labels)
    _write(tmp_path / "DRAM" / "train/realism/winslow-homer/other.jpg", draw_photograph(SIZE))  # has no labels
    run("dram", "--root", tmp_path / "DRAM", "--out", tmp_path / "out")
    samples = samples_of(tmp_path / "out")
    keys = ["test_realism_winslow-homer_the-boat", "test_unseen_rococo_george-morland_47588"]
    assert sorted(samples) == keys
    for sample in samples.values():
        _assert_objects(sample, labels, [3, 15])
        assert all(ignore is not None and np.array_equal(decode(ignore), labels == 255) for ignore in sample.ignore)
    (tmp_path / "DRAM/test/realism/winslow-homer/the-boat.jpg").unlink()
    assert "the-boat.png has no photograph" in refused("dram", "--root", tmp_path / "DRAM")


def test_streets_has_polygons(run: Run, samples_of: SamplesOf, draw_photograph: Draw, tmp_path: Path) -> None:
    shape = {"name": "polygon", "all_points_x": [4, 9, 9, 4], "all_points_y": [3, 3, 6, 6]}
    region = {"shape_attributes": shape, "region_attributes": {"vehicle_type": "car"}}
    about = {"fileref": "", "base64_img_data": "", "file_attributes": {}, "size": 1}
    content = {
        "a-1.jpg1": about | {"filename": "a-1.jpg", "regions": {"0": region}},
        "a-2.jpg1": about | {"filename": "a-2.jpg", "regions": {}},
    }
    _write(tmp_path / "v/annotations/vehicle-annotations.json", json.dumps(content).encode())
    for name in ("a-1", "a-2"):
        _write(tmp_path / f"v/images/{name}.jpg", draw_photograph((20, 30)))
    printed = run("streets", "--root", tmp_path / "v", "--out", tmp_path / "out")
    assert "1 photographs, 1 masks; left out: 1 photographs without masks" in printed
    (mask,) = samples_of(tmp_path / "out")["a-1"].masks
    bitmap = np.zeros((20, 30), dtype=bool)
    bitmap[3:6, 4:9] = True
    assert np.array_equal(decode(mask), bitmap)


def test_cityscapes_takes_each_object_by_its_class_and_number(
    run: Run, samples_of: SamplesOf, draw_photograph: Draw, tmp_path: Path
) -> None:
    labels = _labels(_7=(0, 6, 0, 8), _24000=(0, 1, 0, 8), _33012=(1, 2, 0, 8), _29001=(2, 3, 0, 8), _9=(3, 4, 0, 8))
    name = "val/bonn/bonn_000001_000019"
    _write(tmp_path / f"leftImg8bit/{name}_leftImg8bit.png", draw_photograph(SIZE))
    _write(tmp_path / f"gtFine/{name}_gtFine_instanceIds.png", labels)
    run("cityscapes", "--root", tmp_path, "--out", tmp_path / "out")
    (sample,) = samples_of(tmp_path / "out").values()
    assert sample.mask_ids == (7, 24000, 33012)
    assert sample.ignore[0] is not None
    assert np.array_equal(decode(sample.ignore[0]), np.isin(labels, [29001, 9]))  # a caravan and parking are void


# ---- what is refused ----


@pytest.fixture
def davis(draw_photograph: Draw, tmp_path: Path) -> Path:
    _write(tmp_path / "DAVIS/JPEGImages/480p/bear/00000.jpg", draw_photograph(SIZE))
    _write(tmp_path / "DAVIS/Annotations/480p/bear/00000.png", TWO)
    return tmp_path / "DAVIS"


@pytest.mark.parametrize(
    ("option", "names", "sentence"),
    [
        ("--frames", "bear/00001", "00001.png"),
        ("--frames", "bear/../../../x", "which leaves the folder"),
        ("--frames", "bear/00000\nbear/00000", "two photographs have the name 'bear_00000'"),
        ("--frames", "", "lists no names"),
        ("--videos", "swan", "there is no label picture of swan"),
        ("--videos", "/JPEGImages/480p/bear/00000.jpg", "which leaves the folder"),  # a list of the 2016 edition
    ],
)
def test_davis_lists_that_do_not_fit_are_refused(
    refused: Run, davis: Path, tmp_path: Path, option: str, names: str, sentence: str
) -> None:
    (tmp_path / "list.txt").write_text(names)
    assert sentence in refused("davis", "--root", davis, option, tmp_path / "list.txt")


def test_a_photograph_that_is_missing_is_told(refused: Run, davis: Path, tmp_path: Path) -> None:
    (davis / "JPEGImages/480p/bear/00000.jpg").unlink()
    (tmp_path / "list.txt").write_text("bear/00000")
    told = refused("davis", "--root", davis, "--frames", tmp_path / "list.txt")
    assert told == f"there is no photograph {davis / 'JPEGImages/480p/bear/00000.jpg'}"


def test_a_photograph_in_place_of_labels_is_told(refused: Run, draw_photograph: Draw, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    for name in ("i", "l"):
        (tmp_path / name).mkdir()
        Image.fromarray(noise).save(tmp_path / name / "a.png")
    told = refused("ibd", "--images", tmp_path / "i", "--labels", tmp_path / "l")
    assert "numbers or colours are more than the 10000 that labels may have" in told


@pytest.mark.parametrize(
    "content",
    [{"other": 1}, {"GTinst": 3}, {"GTinst": {"Segmentation": np.zeros((2, 2, 2), dtype=np.uint8)}}],
)
def test_sbd_files_in_another_form_are_refused(
    refused: Run, draw_photograph: Draw, tmp_path: Path, content: dict[str, Any]
) -> None:
    _write(tmp_path / "sbd/img/a.jpg", draw_photograph(SIZE))
    _write(tmp_path / "sbd/val.txt", b"a\n")
    (tmp_path / "sbd/inst").mkdir()
    savemat(tmp_path / "sbd/inst/a.mat", content)
    assert "a.mat is not a file of objects of SBD" in refused("sbd", "--root", tmp_path / "sbd")


@pytest.fixture
def hypersim(draw_photograph: Draw, tmp_path: Path) -> Path:
    """A frame whose objects are yet to be written."""
    images = tmp_path / "hypersim/ai_001_001/images"
    _write(images / "scene_cam_00_final_preview/frame.0003.tonemap.jpg", draw_photograph(SIZE))
    objects = images / "scene_cam_00_geometry_hdf5/frame.0003.semantic_instance.hdf5"
    objects.parent.mkdir()
    return objects


@pytest.mark.parametrize(
    ("name", "shape", "kind"),
    [
        ("dataset", (6, 8, 3), "i2"),
        ("dataset", (6, 8), "f4"),
        ("other", (6, 8), "i2"),
        ("dataset", (2**20, 2**20), "i2"),
    ],
)
def test_hypersim_files_in_another_form_are_refused(
    refused: Run, hypersim: Path, name: str, shape: tuple[int, ...], kind: str
) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(hypersim, "w") as file:
        file.create_dataset(name, shape, kind, chunks=True)  # nothing of it is written: it takes no space
    told = refused("hypersim", "--root", hypersim.parents[3])
    assert "semantic_instance.hdf5 is not a file of objects of Hypersim" in told


def test_hypersim_damaged(refused: Run, hypersim: Path) -> None:
    pytest.importorskip("h5py")
    hypersim.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(300))
    assert "is not a file of objects of Hypersim" in refused("hypersim", "--root", hypersim.parents[3])


def test_hypersim_says_what_to_install(refused: Run, hypersim: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hypersim.write_bytes(b"")
    monkeypatch.setitem(sys.modules, "h5py", None)
    told = refused("hypersim", "--root", hypersim.parents[3])
    assert told == "Hypersim's files need h5py: pip install h5py"
