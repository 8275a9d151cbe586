"""COCO's layout: which photographs, by which keys, and what of an annotation becomes a mask."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anymask.data.layouts.coco import CocoLayout, file_key
from anymask.errors import UserError
from anymask.masks import decode, rle_from_json

SIZE = (5, 6)
CORNER = {"size": list(SIZE), "counts": [0, 2, 3, 2, 23]}  # two columns of two pixels, from the upper left


def _write(folder: Path, images: list[dict[str, Any]], objects: list[dict[str, Any]], name: str = "a.json") -> Path:
    sized = [{"id": n, "height": SIZE[0], "width": SIZE[1], **image} for n, image in enumerate(images)]
    numbered = [{"id": n, "image_id": 0, **entry} for n, entry in enumerate(objects)]
    path = folder / name
    path.write_text(json.dumps({"images": sized, "annotations": numbered}))
    return path


def _masks(layout: CocoLayout, key: str) -> tuple[list[Any], dict[str, int]]:
    read = layout.read(layout.items()[key])
    return [decode(rle_from_json(a["segmentation"], SIZE)) for a in read.annotations], read.left_out


def test_what_has_a_pixel_is_a_mask_and_what_has_none_or_is_a_crowd_is_counted(tmp_path: Path) -> None:
    (tmp_path / "p.png").write_bytes(b"not decoded here")
    objects: list[dict[str, Any]] = [
        {"segmentation": CORNER},
        {"segmentation": CORNER, "iscrowd": 1},
        {"segmentation": [[1.0, 1.0, 3.0, 3.0]]},  # two corners
        {"segmentation": []},
        {"segmentation": {"size": list(SIZE), "counts": [30]}, "iscrowd": 1},  # a crowd first of all
        {"segmentation": [[4.0, 3.0, 6.0, 3.0, 6.0, 5.0, 4.0, 5.0]]},
    ]
    layout = CocoLayout.of(_write(tmp_path, [{"file_name": "p.png"}], objects), tmp_path)
    found, left_out = _masks(layout, "p")
    assert left_out == {"crowd regions": 2, "empty masks": 2}
    drawn = np.array([list("110000"), list("110000"), list("000000"), list("000022"), list("000022")])
    assert [np.array_equal(mask, drawn == letter) for mask, letter in zip(found, "12", strict=True)] == [True, True]
    read = layout.read(layout.items()["p"])
    assert [a["id"] for a in read.annotations] == [0, 5]
    assert read.file == b"not decoded here"
    assert read.image == {"image_id": 0, "height": 5, "width": 6, "file_name": "p.png"}


@given(st.integers(0, 4), st.integers(0, 5), st.data())
def test_a_rectangle_of_whole_pixels_is_the_same_mask_as_polygon_and_as_run_lengths(
    tmp_path_factory: pytest.TempPathFactory, y0: int, x0: int, data: st.DataObject
) -> None:
    y1, x1 = data.draw(st.integers(y0 + 1, SIZE[0])), data.draw(st.integers(x0 + 1, SIZE[1]))
    drawn = np.zeros(SIZE, dtype=bool)
    drawn[y0:y1, x0:x1] = True
    columns = drawn.T.ravel().tolist()
    changes = [n for n in range(1, len(columns)) if columns[n] != columns[n - 1]]
    counts = [0] * columns[0] + np.diff([0, *changes, len(columns)]).tolist()
    folder = tmp_path_factory.mktemp("rectangle")
    (folder / "p.jpg").touch()
    objects: list[dict[str, Any]] = [
        {"segmentation": [[x0, y0, x1, y0, x1, y1, x0, y1]]},
        {"segmentation": {"size": list(SIZE), "counts": counts}},
    ]
    found, _ = _masks(CocoLayout.of(_write(folder, [{"file_name": "p.jpg"}], objects), folder), "p")
    assert len(found) == 2
    assert all(np.array_equal(mask, drawn) for mask in found)


def test_keys_are_the_names_in_their_order_and_nothing_is_opened(tmp_path: Path) -> None:
    path = _write(tmp_path, [{"file_name": "b/2.jpg"}, {"file_name": "b/1.x.jpg"}, {"file_name": "a.png"}], [])
    layout = CocoLayout.of(path, tmp_path / "absent")
    items = layout.items()
    assert list(items) == ["a", "b_1_x", "b_2"]
    with pytest.raises(UserError, match=r"there is no photograph .*absent/b/2\.jpg"):
        layout.read(items["b_2"])


def test_several_files_are_one_set_unless_they_share_a_photograph(tmp_path: Path) -> None:
    first = _write(tmp_path, [{"file_name": "1.jpg"}], [], "first.json")
    second = _write(tmp_path, [{"file_name": "2.jpg"}], [], "second.json")
    assert list(CocoLayout(((second, tmp_path), (first, tmp_path))).items()) == ["2", "1"]
    with pytest.raises(UserError, match="two photographs have the name '1'"):
        CocoLayout(((first, tmp_path), (first, tmp_path))).items()


@pytest.mark.parametrize("name", ["..", "../p.jpg", "a/../../p.jpg", "/p.jpg", ".", "./", ""])
def test_a_name_that_is_no_file_below_the_folder_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=r"a\.json has a photograph .*, which is no file or leaves the folder"):
        file_key(name, Path("a.json"))


def test_nor_may_an_address_of_lvis_leave_the_folder(tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").touch()
    (tmp_path / "images").mkdir()
    image = {"coco_url": "http://host/../secret.jpg", "neg_category_ids": []}
    layout = CocoLayout.of(_write(tmp_path, [image], []), tmp_path / "images")
    with pytest.raises(UserError, match=r"has a photograph '\.\./secret\.jpg', which is no file or leaves the folder"):
        layout.items()


@pytest.mark.parametrize(
    ("segmentation", "sentence"),
    [
        ("[[1, 2, NaN, 4, 5, 6]]", "is not a COCO instances file"),
        ("[[1, 2, 3, 4, 5, 6, 7]]", "annotation 0: a polygon has an odd number of coordinates"),
        ("[[1, 2, 3, 4, 5, 1e9]]", "annotation 0: a polygon has a coordinate beyond"),
        ('{"size": [6, 5], "counts": [30]}', "annotation 0: the mask's size"),
        ("null", "annotation 0: Expected `object | array`"),
    ],
)
def test_a_damaged_mask_is_refused_with_its_number(segmentation: str, sentence: str, tmp_path: Path) -> None:
    path = _write(tmp_path, [{"file_name": "p.jpg"}], [{"segmentation": "HERE"}])
    path.write_text(path.read_text().replace('"HERE"', segmentation))
    with pytest.raises(UserError, match=sentence.replace("|", r"\|")):
        CocoLayout.of(path, tmp_path).items()
