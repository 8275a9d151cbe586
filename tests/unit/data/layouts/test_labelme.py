"""labelme's shapes, drawn on a photograph of 20 x 30 pixels."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from anymask.data.layouts.labelme import LabelmeLayout
from anymask.data.packing import Photograph
from anymask.data.records import decode_image
from anymask.drawing import jpeg
from anymask.errors import UserError
from anymask.masks import decode, rle_from_json

SIZE = (20, 30)
PHOTOGRAPH = jpeg(np.full((*SIZE, 3), 90, dtype=np.uint8))


def _saved(picture: np.ndarray[Any, Any], kind: str, **more: Any) -> bytes:
    data = io.BytesIO()
    Image.fromarray(picture).save(data, kind, **more)
    return data.getvalue()


BRUSH = base64.b64encode(_saved(np.array([[255, 0], [255, 255]], dtype=np.uint8), "png")).decode()


def _shape(kind: str, points: list[list[float]], **more: Any) -> dict[str, Any]:
    return {"label": "dog", "points": points, "group_id": None, "shape_type": kind, "flags": {}, **more}


def _box(y0: int, y1: int, x0: int, x1: int) -> np.ndarray[Any, Any]:
    bitmap = np.zeros(SIZE, dtype=bool)
    bitmap[y0:y1, x0:x1] = True
    return bitmap


def _read(folder: Path, *shapes: dict[str, Any], **more: Any) -> Photograph:
    content = {
        "version": "5.4.1",
        "imagePath": "a.jpg",
        "imageHeight": SIZE[0],
        "imageWidth": SIZE[1],
        "shapes": shapes,
    }
    (folder / "a.json").write_text(json.dumps(content | more))
    layout = LabelmeLayout(folder, folder)
    (item,) = layout.items().values()
    return layout.read(item)


def _bitmaps(photograph: Photograph) -> list[np.ndarray[Any, Any]]:
    return [decode(rle_from_json(entry["segmentation"], SIZE)) for entry in photograph.annotations]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.jpg").write_bytes(PHOTOGRAPH)
    return tmp_path


def test_shapes_with_an_inside_are_objects(folder: Path) -> None:
    photograph = _read(
        folder,
        _shape("polygon", [[2, 3], [8, 3], [8, 9], [2, 9]]),
        _shape("rectangle", [[20, 10], [10, 4]]),
        _shape("circle", [[15, 10], [15, 12]]),
        _shape("mask", [[5, 6], [6, 7]], mask=BRUSH),
        _shape("line", [[1, 1], [2, 2]]),
        _shape("point", [[1, 1]]),
    )
    polygon, rectangle, circle, mask = _bitmaps(photograph)
    assert np.array_equal(polygon, _box(3, 9, 2, 8))
    assert np.array_equal(rectangle, _box(4, 10, 10, 20))
    assert np.array_equal(circle, _box(8, 12, 14, 16) | _box(9, 11, 13, 17))  # four wide, without its corners
    assert np.argwhere(mask).tolist() == [[6, 5], [7, 5], [7, 6]]
    assert photograph.left_out == {"points and lines": 2, "empty masks": 0}
    assert photograph.file == PHOTOGRAPH


def test_shapes_of_a_group_are_one_object(folder: Path) -> None:
    first, second = [[0.0, 0.0], [4.0, 4.0]], [[10.0, 10.0], [14.0, 14.0]]
    photograph = _read(
        folder,
        _shape("rectangle", first, group_id=1),
        _shape("rectangle", second, group_id=1),
        _shape("rectangle", second, group_id=1, label="cat"),
        _shape("rectangle", first),
    )
    dog, cat, alone = _bitmaps(photograph)
    assert np.array_equal(dog, _box(0, 4, 0, 4) | _box(10, 14, 10, 14))
    assert np.array_equal(cat, _box(10, 14, 10, 14))
    assert np.array_equal(alone, _box(0, 4, 0, 4))


def test_shapes_are_cut_off_at_the_edge(folder: Path) -> None:
    photograph = _read(
        folder,
        _shape("polygon", [[20, 10], [90, 10], [90, 60], [20, 60]]),
        _shape("rectangle", [[-50, -50], [3, 2]]),
        _shape("oriented_rectangle", [[2, 3], [8, 3], [8, 9], [2, 9]]),
        _shape("rectangle", [[40, 40], [50, 50]]),
    )
    polygon, rectangle, oriented = _bitmaps(photograph)
    assert np.array_equal(polygon, _box(10, 20, 20, 30))
    assert np.array_equal(rectangle, _box(0, 2, 0, 3))
    assert np.array_equal(oriented, _box(3, 9, 2, 8))
    assert photograph.left_out == {"points and lines": 0, "empty masks": 1}


def test_a_photograph_that_exif_turns_is_turned(tmp_path: Path) -> None:
    """labelme shows it upright, and that is where its users draw."""
    sideways = np.zeros((30, 20, 3), dtype=np.uint8)
    sideways[0, :, 0] = 255  # its top row, which is the right column when turned clockwise
    exif = Image.Exif()
    exif[0x0112] = 6  # "rotate by 90 degrees, clockwise"
    (tmp_path / "a.png").write_bytes(_saved(sideways, "png", exif=exif))
    photograph = _read(tmp_path, _shape("rectangle", [[29, 0], [30, 20]]), imagePath="a.png")
    turned = decode_image(photograph.file)
    assert np.array_equal(turned[..., 0] == 255, _bitmaps(photograph)[0])


def test_the_photograph_inside_goes_before_the_file(folder: Path) -> None:
    inside = jpeg(np.full((*SIZE, 3), 40, dtype=np.uint8))
    photograph = _read(folder, imageData=base64.b64encode(inside).decode(), imageHeight=None, imageWidth=None)
    assert photograph.file == inside
    assert photograph.image == {"height": 20, "width": 30, "file_name": "a.jpg"}


def test_the_photograph_may_be_inside_the_file(tmp_path: Path) -> None:
    photograph = _read(tmp_path, imagePath="..\\elsewhere\\a.jpg", imageData=base64.b64encode(PHOTOGRAPH).decode())
    assert photograph.file == PHOTOGRAPH


@pytest.mark.parametrize(
    ("shape", "more", "sentence"),
    [
        (_shape("polygon", [[2, 3], [1e5, 3], [8, 9]]), {}, "shape 0 of .*a.json has the corner"),
        (_shape("circle", [[2, 3], [1e200, 3]]), {}, "shape 0 of .*a.json has the corner"),
        (_shape("polygon", [[2, 3], [4], [8, 9]]), {}, r"shape 0 of .*a.json has the corner \[4.0\]"),
        (_shape("rectangle", [[2, 3]]), {}, "is a rectangle of 1 points; it has two"),
        (_shape("mask", [[5, 6], [6, 7]], mask="?"), {}, "is not base64"),
        (_shape("mask", [[5, 6], [6, 7]], mask="AAAA"), {}, "is not a picture that can be read"),
        (_shape("mask", [[29, 6], [30, 7]], mask=BRUSH), {}, r"has a mask of \(2, 2\) at \(29, 6\), outside"),
        (_shape("point", [[1, 1]]), {"imageHeight": 21}, r"has \(21, 30\) pixels \(height, width\); it has \(20, 30\)"),
        (_shape("point", [[1, 1]]), {"imageData": "AAAA"}, "the photograph of .*a.json is not a picture"),
        (_shape("point", [[1, 1]]), {"shapes": 3}, "is not a file of labelme"),
        (_shape("point", [[1, 1]]), {"imagePath": "../../b.jpg"}, "has no imageData, and there is no photograph"),
    ],
)
def test_what_is_wrong_is_told(folder: Path, shape: dict[str, Any], more: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        _read(folder, shape, **more)
