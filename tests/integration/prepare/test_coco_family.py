"""Data sets whose sites distribute COCO's form, or LVIS's, on folders laid out as they do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from anymask.masks import decode
from anymask.structures import Sample

Run = Callable[..., str]
SamplesOf = Callable[[Path], dict[str, Sample]]
Photograph = Callable[..., bytes]

SIZE = (20, 30)
BOX = [[2.0, 3.0, 12.0, 3.0, 12.0, 9.0, 2.0, 9.0]]  # columns 2 to 11, rows 3 to 8
SITES = {  # below the root: the annotations, the folder of the photographs, and a name there as the annotations have it
    "timberseg": ("coco_annotation.json", "", "images/{}.png"),
    "zerowaste": ("labels.json", "data", "{}.PNG"),
    "ndispark": ("train_coco_annotations.json", "imgs", "{}.jpg"),
    "pidray": ("annotations/xray_test_hard.json", "hard", "{}.png"),
    "trashcan": ("instances_train_trashcan.json", "train", "{}.jpg"),
}


def _box() -> np.ndarray[Any, Any]:
    bitmap = np.zeros(SIZE, dtype=bool)
    bitmap[3:9, 2:12] = True
    return bitmap


def _write(path: Path, content: bytes | dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())


def _photograph(data: bytes, ending: str) -> bytes:
    if ending == "jpg":
        return data
    return cv2.imencode(".png", cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))[1].tobytes()


def _instances(*names: str, first: int = 1) -> dict[str, Any]:
    images: list[dict[str, Any]] = [
        {"id": first + n, "file_name": name, "height": SIZE[0], "width": SIZE[1]} for n, name in enumerate(names)
    ]
    objects = [
        {"id": 10 + image["id"], "image_id": image["id"], "category_id": 1, "segmentation": BOX, "iscrowd": 0}
        for image in images
    ]
    return {"images": images, "annotations": objects, "categories": [{"id": 1, "name": "thing"}]}


@pytest.mark.parametrize("name", SITES)
def test_a_site_that_distributes_cocos_form(
    run: Run, samples_of: SamplesOf, draw_photograph: Photograph, tmp_path: Path, name: str
) -> None:
    annotations, folder, pattern = SITES[name]
    names = [pattern.format(letter) for letter in "abc"]
    content = _instances(*names)
    content["annotations"][1]["iscrowd"] = 1
    del content["annotations"][2]
    _write(tmp_path / "site" / annotations, content)
    for number, photograph in enumerate(names):
        data = _photograph(draw_photograph(SIZE, number), pattern[-3:])
        _write(tmp_path / "site" / folder / photograph, data)
    printed = run(name, "--root", tmp_path / "site", "--out", tmp_path / "out", "--expect-masks", 1)
    assert "1 photographs, 1 masks; left out: 1 crowd regions, 2 photographs without masks" in printed
    assert "the paper evaluates on" in printed
    (sample,) = samples_of(tmp_path / "out").values()
    assert sample.key == ("images_a" if name == "timberseg" else "a")
    assert np.array_equal(decode(sample.masks[0]), _box())


def test_plittersdorf_has_three_splits(
    run: Run, samples_of: SamplesOf, draw_photograph: Photograph, tmp_path: Path
) -> None:
    for split in ("train", "val", "test"):
        _write(tmp_path / "p" / f"{split}.json", _instances(f"{split}/1.jpg"))
        _write(tmp_path / "p/images" / split / "1.jpg", draw_photograph(SIZE))
    run("plittersdorf", "--root", tmp_path / "p", "--out", tmp_path / "out", "--expect-images", 3)
    assert sorted(samples_of(tmp_path / "out")) == ["test_1", "train_1", "val_1"]


def test_lvis_of_version_05_has_its_photographs_by_their_address(
    run: Run, samples_of: SamplesOf, draw_photograph: Photograph, tmp_path: Path
) -> None:
    content = _instances("COCO_val2014_000000000009.jpg")
    content["images"][0] |= {
        "coco_url": "http://images.cocodataset.org/val2017/000000000009.jpg",
        "neg_category_ids": [],
        "not_exhaustive_category_ids": [],
    }
    _write(tmp_path / "lvis_v0.5_val.json", content)
    _write(tmp_path / "coco/val2017/000000000009.jpg", draw_photograph(SIZE))
    given = ("lvis", "--annotations", tmp_path / "lvis_v0.5_val.json", "--images", tmp_path / "coco")
    assert "drawn by the hashes" in run(*given, "--out", tmp_path / "drawn")
    for name, options in (("all", ["--all"]), ("v1", ["--version", "v1"])):
        assert "the paper" not in run(*given, *options, "--out", tmp_path / name)
        assert list(samples_of(tmp_path / name)) == ["000000000009"]


def test_a_photograph_that_leaves_its_folder_is_refused(
    refused: Run, draw_photograph: Photograph, tmp_path: Path
) -> None:
    _write(tmp_path / "secret.jpg", draw_photograph(SIZE))
    for name in ("../secret.jpg", str(tmp_path / "secret.jpg")):
        _write(tmp_path / "site/train_coco_annotations.json", _instances(name))
        (tmp_path / "site/imgs").mkdir(exist_ok=True)
        assert f"has a photograph {name!r}, which is no file or" in refused("ndispark", "--root", tmp_path / "site")


def test_what_a_packing_would_say_of_an_empty_or_absent_file(refused: Run, tmp_path: Path) -> None:
    assert "is not a COCO instances file" in refused("ndispark", "--root", tmp_path)
    _write(tmp_path / "train_coco_annotations.json", {"images": [], "annotations": []})
    assert "no photograph is left for the shards out of 0" in refused("ndispark", "--root", tmp_path)
