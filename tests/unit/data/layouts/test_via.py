"""Polygons of the VGG image annotator, on a photograph of 20 x 30 pixels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anymask.data.layouts.via import ViaLayout
from anymask.data.packing import Photograph
from anymask.drawing import jpeg
from anymask.errors import UserError
from anymask.masks import decode, rle_from_json

SIZE = (20, 30)


def _polygon(xs: list[float], ys: list[float], name: str = "polygon") -> dict[str, Any]:
    shape = {"name": name, "all_points_x": xs, "all_points_y": ys}
    return {"shape_attributes": shape, "region_attributes": {"vehicle_type": "car"}}


def _box(y0: int, y1: int, x0: int, x1: int) -> np.ndarray[Any, Any]:
    bitmap = np.zeros(SIZE, dtype=bool)
    bitmap[y0:y1, x0:x1] = True
    return bitmap


BOX = _polygon([2, 8, 8, 2], [3, 3, 9, 9])


def _write(folder: Path, *regions: dict[str, Any], second_version: bool = False, filename: str = "a.jpg") -> None:
    (folder / "images").mkdir(parents=True)
    (folder / "images" / "a.jpg").write_bytes(jpeg(np.full((*SIZE, 3), 90, dtype=np.uint8)))
    of_photograph = {"fileref": "", "size": 999, "filename": filename, "base64_img_data": "", "file_attributes": {}}
    drawn = list(regions) if second_version else {str(number): region for number, region in enumerate(regions)}
    (folder / "via.json").write_text(json.dumps({"a.jpg999": of_photograph | {"regions": drawn}}))


def _read(folder: Path) -> Photograph:
    layout = ViaLayout(((folder / "via.json", folder / "images"),))
    (item,) = layout.items().values()
    return layout.read(item)


def _bitmaps(photograph: Photograph) -> list[np.ndarray[Any, Any]]:
    return [decode(rle_from_json(entry["segmentation"], SIZE)) for entry in photograph.annotations]


@pytest.mark.parametrize("second_version", [False, True])
def test_a_polygon_is_an_object(tmp_path: Path, second_version: bool) -> None:
    open_one = _polygon([10, 12, 12, 10], [4, 4, 8, 8], name="polyline")
    circle = {"shape_attributes": {"name": "circle", "cx": 4, "cy": 4, "r": 2}, "region_attributes": {}}
    two_corners = _polygon([1, 2], [1, 2])
    _write(tmp_path, BOX, circle, open_one, two_corners, second_version=second_version)
    photograph = _read(tmp_path)
    first, second = _bitmaps(photograph)
    assert np.array_equal(first, _box(3, 9, 2, 8))
    assert np.array_equal(second, _box(4, 8, 10, 12))
    assert [entry["id"] for entry in photograph.annotations] == [0, 2]  # the region's own number
    assert photograph.left_out == {"shapes that are no polygons": 1, "empty masks": 1}
    assert photograph.image == {"height": 20, "width": 30, "file_name": "a.jpg"}


def test_what_was_drawn_over_the_edge_is_cut_off(tmp_path: Path) -> None:
    _write(
        tmp_path,
        _polygon([-3, 4, 4, -3], [-2, -2, 5, 5]),
        _polygon([25, 33, 33, 25], [15, 15, 22, 22]),
        _polygon([31, 33, 33], [1, 1, 9]),
    )
    photograph = _read(tmp_path)
    first, second = _bitmaps(photograph)
    assert np.array_equal(first, _box(0, 5, 0, 4))
    assert np.array_equal(second, _box(15, 20, 25, 30))
    assert photograph.left_out["empty masks"] == 1


def test_several_files_have_their_folders_names_in_their_keys(tmp_path: Path) -> None:
    _write(tmp_path / "above", BOX)
    _write(tmp_path / "below", BOX)
    sets = tuple((tmp_path / place / "via.json", tmp_path / place) for place in ("above", "below"))
    assert list(ViaLayout(sets).items()) == ["above_a", "below_a"]


@pytest.mark.parametrize(
    ("region", "filename", "sentence"),
    [
        (_polygon([2, 8, 34], [3, 3, 9]), "a.jpg", r"region 0 of .*a\.jpg has a corner at 34, far outside"),
        (
            _polygon([2, 8, 8], [3, 3, -2.5]),
            "a.jpg",
            r"has a corner at -2\.5, far outside the photograph of \(20, 30\)",
        ),
        (_polygon([2, 8, 8], [3, 3]), "a.jpg", "has 3 x and 2 y of its corners"),
        (BOX, "../../etc/passwd", "has a photograph '../../etc/passwd', which leaves the folder"),
        (BOX, "/etc/passwd", "which leaves the folder"),
        (BOX, "", "which leaves the folder"),
        (BOX, "b.jpg", r"there is no .*b\.jpg"),
        ({"region_attributes": {}}, "a.jpg", "is not a file of the VGG image annotator"),
        (_polygon(["2"], [3]), "a.jpg", "is not a file of the VGG image annotator"),  # type: ignore[list-item]
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, region: dict[str, Any], filename: str, sentence: str) -> None:
    _write(tmp_path, region, filename=filename)
    with pytest.raises(UserError, match=sentence):
        _read(tmp_path)


def test_a_file_in_another_form_is_told(tmp_path: Path) -> None:
    (tmp_path / "via.json").write_text('{"images": [], "annotations": []}')
    with pytest.raises(UserError, match="is not a file of the VGG image annotator"):
        ViaLayout(((tmp_path / "via.json", tmp_path),)).items()
