"""Data sets with a picture of numbers for each photograph, on folders laid out as their sites do."""

from __future__ import annotations

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
Photograph = Callable[..., bytes]
Labels = np.ndarray[Any, Any]

SIZE = (6, 8)


def _labels(**boxes: tuple[int, int, int, int]) -> Labels:
    """Numbers (``_7=(rows and columns)``) on 0; later ones lie above."""
    labels = np.zeros(SIZE, dtype=np.int32)
    for number, (y0, y1, x0, x1) in boxes.items():
        labels[y0:y1, x0:x1] = int(number.removeprefix("_"))
    return labels


TWO = _labels(_1=(0, 2, 0, 3), _7=(3, 6, 4, 8))
PARTS = _labels(_2=(0, 1, 0, 1)) + _labels(_2=(5, 6, 7, 8))  # one object in two corners


def _write(path: Path, data: bytes | Labels) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(data, bytes):
        path.write_bytes(data)
    elif data.ndim == 3:
        cv2.imwrite(str(path), cv2.cvtColor(data.astype(np.uint8), cv2.COLOR_RGB2BGR))
    else:
        cv2.imwrite(str(path), data.astype(np.uint16 if data.max() > 255 else np.uint8))


def _palette(path: Path, labels: Labels) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.new("P", SIZE[::-1])
    picture.putdata(labels.ravel().tolist())
    picture.putpalette([value for index in range(256) for value in (index, 255 - index, 7)])
    picture.save(path)


def _bitmaps(sample: Sample) -> list[Labels]:
    return [decode(mask) for mask in sample.masks]


def _assert_objects(sample: Sample, labels: Labels, numbers: list[int]) -> None:
    """The masks are those of the numbers, in their order."""
    found = _bitmaps(sample)
    assert len(found) == len(numbers)
    for bitmap, number in zip(found, numbers, strict=True):
        assert np.array_equal(bitmap, labels == number)


def test_ppdls_finds_labels_at_any_depth_and_takes_colours_for_numbers(
    run: Run, samples_of: SamplesOf, draw_photograph: Photograph, tmp_path: Path
) -> None:
    root = tmp_path / "Plant"
    colours = np.zeros((*SIZE, 3), dtype=np.uint8)
    colours[TWO == 1], colours[TWO == 7] = (255, 0, 0), (0, 0, 9)
    for name, labels in (("Ara2012/ara2012_plant001", TWO), ("Tobacco/tobacco_plant002", colours)):
        photograph = cv2.imdecode(np.frombuffer(draw_photograph(SIZE), np.uint8), cv2.IMREAD_COLOR)
        _write(root / f"{name}_rgb.png", cv2.imencode(".png", photograph)[1].tobytes())
        _write(root / f"{name}_label.png", labels)
    printed = run("ppdls", "--root", root, "--out", tmp_path / "out")
    assert "2 photographs, 4 masks" in printed
    assert "182 photographs with 2347 masks; here there are 2 and 4: this is not quite the paper's set" in printed
    samples = samples_of(tmp_path / "out")
    _assert_objects(samples["Ara2012_ara2012_plant001_rgb"], TWO, [1, 7])
    _assert_objects(samples["Tobacco_tobacco_plant002_rgb"], TWO, [1, 7])


def test_ishape_takes_an_object_in_two_parts_as_one(
    run: Run, samples_of: SamplesOf, draw_photograph: Photograph, tmp_path: Path
) -> None:
    wire, log = 1000 * PARTS, 1000 * TWO
    for subset, labels in (("wire", wire), ("log", log)):
        _write(tmp_path / "ishape" / subset / "val/image/0.jpg", draw_photograph(SIZE))
        _write(tmp_path / "ishape" / subset / "val/instance_map/0.png", labels)
        _write(tmp_path / "ishape" / subset / "train/instance_map/1.png", labels)  # of another split
    printed = run("ishape", "--root", tmp_path / "ishape", "--out", tmp_path / "out")
    assert "drawn by the hashes of their names" in printed
    samples = samples_of(tmp_path / "out")
    assert sorted(samples) == ["log_val_image_0", "wire_val_image_0"]
    _assert_objects(samples["wire_val_image_0"], wire, [2000])


def test_egohos_takes_the_papers_sources(
    run: Run, refused: Run, samples_of: SamplesOf, draw_photograph: Photograph, tmp_path: Path
) -> None:
    for name in ("ego4d_1", "thu-read_2", "epic_3"):
        _write(tmp_path / "egohos/train/image" / f"{name}.jpg", draw_photograph(SIZE))
        _write(tmp_path / "egohos/train/label" / f"{name}.png", TWO)
    run("egohos", "--root", tmp_path / "egohos", "--out", tmp_path / "out")
    assert sorted(samples_of(tmp_path / "out")) == ["train_image_ego4d_1", "train_image_thu-read_2"]
    assert "begins with gtea" in refused("egohos", "--root", tmp_path / "egohos", "--names", "gtea")


def test_ibd_and_gtea(run: Run, samples_of: SamplesOf, draw_photograph: Photograph, tmp_path: Path) -> None:
    for photograph, labels in (("i/a.jpg", "l/a.png"), ("g/Images/v/b.jpg", "g/Masks/v/b.png")):
        _write(tmp_path / photograph, draw_photograph(SIZE))
        _write(tmp_path / labels, TWO)
    run("ibd", "--images", tmp_path / "i", "--labels", tmp_path / "l", "--out", tmp_path / "ibd")
    run("gtea", "--root", tmp_path / "g", "--out", tmp_path / "gtea")
    _assert_objects(samples_of(tmp_path / "ibd")["a"], TWO, [1, 7])
    _assert_objects(samples_of(tmp_path / "gtea")["Images_v_b"], TWO, [1, 7])


def test_dram_has_a_mask_for_each_class_and_does_not_count_void(
    run: Run, samples_of: SamplesOf, draw_photograph: Photograph, tmp_path: Path
) -> None:
    colours = np.zeros((*SIZE, 3), dtype=np.uint8)
    colours[TWO == 1], colours[TWO == 7], colours[2] = (192, 128, 128), (128, 0, 128), (224, 224, 192)
    _write(tmp_path / "DRAM/test/realism/a.jpg", draw_photograph(SIZE))
    _write(tmp_path / "DRAM/labels/realism/a.png", colours)
    run("dram", "--root", tmp_path / "DRAM", "--out", tmp_path / "out")
    sample = samples_of(tmp_path / "out")["test_realism_a"]
    assert sorted(bitmap.sum() for bitmap in _bitmaps(sample)) == [6, 12]
    void = np.zeros(SIZE, dtype=bool)
    void[2] = True
    assert all(ignore is not None and np.array_equal(decode(ignore), void) for ignore in sample.ignore)


def test_cityscapes_is_panoptic(run: Run, samples_of: SamplesOf, draw_photograph: Photograph, tmp_path: Path) -> None:
    """Road 7, sky 23, two cars 26000 and 26001, a crowd of persons 24, void 4 and rail track 10."""
    labels = np.full(SIZE, 7)
    labels[0], labels[1, :4], labels[1, 4:] = 23, 26000, 26001
    labels[2, :2], labels[2, 2:4], labels[2, 4:6] = 24, 4, 10
    photograph = cv2.imdecode(np.frombuffer(draw_photograph(SIZE), np.uint8), cv2.IMREAD_COLOR)
    name = "val/bonn/bonn_000001_000019"
    _write(tmp_path / f"leftImg8bit/{name}_leftImg8bit.png", cv2.imencode(".png", photograph)[1].tobytes())
    _write(tmp_path / f"gtFine/{name}_gtFine_instanceIds.png", labels)
    printed = run("cityscapes", "--root", tmp_path, "--out", tmp_path / "out")
    assert "1 photographs, 4 masks; left out: 1 crowds of a class" in printed
    (sample,) = samples_of(tmp_path / "out").values()
    _assert_objects(sample, labels, [7, 23, 26000, 26001])
    assert sample.ignore[0] is not None
    assert np.array_equal(decode(sample.ignore[0]), np.isin(labels, [4, 10]))


def test_voc_counts_by_the_palettes_index_and_leaves_its_border_undecided(
    run: Run, refused: Run, samples_of: SamplesOf, draw_photograph: Photograph, tmp_path: Path
) -> None:
    labels = _labels(_255=(0, 3, 0, 4), _1=(0, 2, 0, 3), _2=(4, 6, 0, 8))
    _write(tmp_path / "VOC/JPEGImages/2007_1.jpg", draw_photograph(SIZE))
    _palette(tmp_path / "VOC/SegmentationObject/2007_1.png", labels)
    _write(tmp_path / "VOC/ImageSets/Segmentation/val.txt", b"2007_1\n")
    run("voc", "--root", tmp_path / "VOC", "--out", tmp_path / "out")
    sample = samples_of(tmp_path / "out")["2007_1"]
    _assert_objects(sample, labels, [1, 2])
    assert sample.ignore[1] is not None
    assert np.array_equal(decode(sample.ignore[1]), labels == 255)
    _write(tmp_path / "VOC/ImageSets/Segmentation/train.txt", b"../../secret\n")
    assert "lists '../../secret', which leaves the folder" in refused(
        "voc", "--root", tmp_path / "VOC", "--split", "train"
    )


def test_sbd_reads_its_matlab_files(
    run: Run, refused: Run, samples_of: SamplesOf, draw_photograph: Photograph, tmp_path: Path
) -> None:
    _write(tmp_path / "sbd/img/a.jpg", draw_photograph(SIZE))
    _write(tmp_path / "sbd/val.txt", b"a\n")
    (tmp_path / "sbd/inst").mkdir()
    savemat(tmp_path / "sbd/inst/a.mat", {"GTinst": {"Segmentation": TWO.astype(np.uint8), "Categories": [3, 5]}})
    run("sbd", "--root", tmp_path / "sbd", "--out", tmp_path / "packed")
    _assert_objects(samples_of(tmp_path / "packed")["a"], TWO, [1, 7])
    (tmp_path / "sbd/inst/a.mat").write_bytes(b"MATLAB 5.0" + bytes(200))
    assert "a.mat is not a file of objects of SBD" in refused("sbd", "--root", tmp_path / "sbd")


def test_davis_takes_videos_or_frames(
    run: Run, samples_of: SamplesOf, draw_photograph: Photograph, tmp_path: Path
) -> None:
    for frame in ("bear/00000", "bear/00001", "swan/00000"):
        _write(tmp_path / "DAVIS/JPEGImages/480p" / f"{frame}.jpg", draw_photograph(SIZE))
        _palette(tmp_path / "DAVIS/Annotations/480p" / f"{frame}.png", TWO)
    _write(tmp_path / "DAVIS/ImageSets/2017/val.txt", b"bear\n")
    _write(tmp_path / "frames.txt", b"swan/00000\nbear/00001\n")
    root = ("--root", tmp_path / "DAVIS")
    run("davis", *root, "--videos", "ImageSets/2017/val.txt", "--out", tmp_path / "videos")
    run("davis", *root, "--frames", tmp_path / "frames.txt", "--out", tmp_path / "frames")
    assert sorted(samples_of(tmp_path / "videos")) == ["bear_00000", "bear_00001"]
    assert sorted(samples_of(tmp_path / "frames")) == ["bear_00001", "swan_00000"]
    _assert_objects(samples_of(tmp_path / "frames")["swan_00000"], TWO, [1, 7])


def test_hypersim_leaves_out_the_papers_volumes(
    run: Run, samples_of: SamplesOf, draw_photograph: Photograph, tmp_path: Path
) -> None:
    h5py = pytest.importorskip("h5py")
    for scene in ("ai_001_001", "ai_020_001"):
        images = tmp_path / "hypersim" / scene / "images"
        _write(images / "scene_cam_00_final_preview/frame.0003.tonemap.jpg", draw_photograph(SIZE))
        objects = images / "scene_cam_00_geometry_hdf5/frame.0003.semantic_instance.hdf5"
        objects.parent.mkdir()
        with h5py.File(objects, "w") as file:
            file["dataset"] = np.where(TWO == 0, -1, TWO).astype(np.int16)
    run("hypersim", "--root", tmp_path / "hypersim", "--out", tmp_path / "out")
    samples = samples_of(tmp_path / "out")
    assert list(samples) == ["ai_001_001_images_scene_cam_00_final_preview_frame_0003_tonemap"]
    _assert_objects(next(iter(samples.values())), TWO, [1, 7])


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        (np.ones((6, 9)), "the mask's size (6, 9) is not the image's"),
        (b"no picture", "a.png is not a picture that can be read"),
        (b"\x89PNG\r\n\x1a\n" + bytes(20), "a.png is not a picture that can be read"),
    ],
)
def test_label_pictures_that_do_not_belong_are_refused(
    refused: Run, draw_photograph: Photograph, tmp_path: Path, labels: Labels | bytes, sentence: str
) -> None:
    _write(tmp_path / "i/a.jpg", draw_photograph(SIZE))
    _write(tmp_path / "l/a.png", labels)
    told = refused("ibd", "--images", tmp_path / "i", "--labels", tmp_path / "l")
    assert sentence in told or "the photograph is (6, 8) pixels (height, width), the annotation says (6, 9)" in told


def test_a_label_picture_that_is_too_large_is_not_decoded(
    refused: Run, draw_photograph: Photograph, tmp_path: Path
) -> None:
    _write(tmp_path / "i/a.jpg", draw_photograph(SIZE))
    (tmp_path / "l").mkdir()
    Image.new("1", (30_000, 3_000)).save(tmp_path / "l/a.png")
    told = refused("ibd", "--images", tmp_path / "i", "--labels", tmp_path / "l")
    assert "30000 x 3000 pixels, over the limit" in told
