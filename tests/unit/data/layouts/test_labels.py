"""Label pictures to masks, against one comparison for each number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from anymask.data.layouts.labels import LabelPngs, masks_of_labels, photograph_of, read_labels
from anymask.drawing import jpeg
from anymask.errors import UserError
from anymask.masks import encode

labels = hnp.arrays(np.int64, st.tuples(st.integers(1, 7), st.integers(1, 7)), elements=st.integers(-1, 3))


@given(labels)
def test_every_number_has_the_mask_of_its_pixels(picture: np.ndarray[Any, Any]) -> None:
    found = masks_of_labels(picture)
    assert found == {int(number): encode(picture == number) for number in np.unique(picture)}


@pytest.mark.parametrize(
    ("mode", "values", "expected"),
    [
        ("L", [0, 3, 255, 3], [0, 3, 255, 3]),
        ("P", [0, 3, 255, 3], [0, 3, 255, 3]),
        ("1", [0, 1, 1, 0], [0, 1, 1, 0]),
        ("I;16", [0, 3, 40_000, 3], [0, 3, 40_000, 3]),
        ("RGB", [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)], [0, 1, 256, 65_536]),
        ("RGBA", [(0, 0, 0, 9), (1, 0, 0, 0), (0, 1, 0, 7), (0, 0, 1, 255)], [0, 1, 256, 65_536]),
    ],
)
def test_numbers_are_levels_indices_or_colours(
    mode: str, values: list[Any], expected: list[int], tmp_path: Path
) -> None:
    picture = Image.new(mode, (2, 2))
    picture.putdata(values)
    if mode == "P":
        picture.putpalette([255 - index // 3 for index in range(768)])
    picture.save(tmp_path / "labels.png")
    assert read_labels(tmp_path / "labels.png").ravel().tolist() == expected


def test_a_picture_with_fractions_is_none_of_labels(tmp_path: Path) -> None:
    Image.new("F", (2, 2)).save(tmp_path / "labels.tiff")
    with pytest.raises(UserError, match="is no label picture"):
        read_labels(tmp_path / "labels.tiff")


def test_void_numbers_are_no_objects_and_not_counted_for_any(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg(np.zeros((2, 3, 3), dtype=np.uint8)))
    picture = np.array([[0, 1, 1], [9, 8, 2]])
    packed = photograph_of(tmp_path / "a.jpg", picture, background=frozenset({0}), void=frozenset({8, 9}))
    assert packed.image == {"width": 3, "height": 2, "file_name": "a.jpg"}
    assert [entry["id"] for entry in packed.annotations] == [1, 2]
    undecided = encode(picture >= 8)
    assert all(entry["ignore"]["counts"] == undecided.counts.decode() for entry in packed.annotations)


def test_folders_whose_names_do_not_match_are_refused(tmp_path: Path) -> None:
    for name in ("i/a.jpg", "i/b.jpg", "l/a.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(UserError, match=r"the photograph .*b\.jpg has no annotation"):
        LabelPngs.of_folders(tmp_path / "i", tmp_path / "l")
