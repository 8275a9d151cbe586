"""Label pictures to masks, against one comparison for each number."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from anymask.data.layouts.labels import LabelPngs, check_labels, masks_of_labels, photograph_of, read_labels
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


@pytest.mark.parametrize("channels", [3, 4])
def test_colours_of_16_bits_are_refused_since_half_of_each_would_be_lost(channels: int, tmp_path: Path) -> None:
    """Pillow reads 256 as 1 and 511 as 1."""
    cv2.imwrite(str(tmp_path / "labels.png"), np.full((2, 2, channels), 511, dtype=np.uint16))
    with pytest.raises(UserError, match=r"labels\.png has colours of 16 bits"):
        read_labels(tmp_path / "labels.png")


def test_a_picture_has_as_many_numbers_as_labels_may_have() -> None:
    assert len(masks_of_labels(np.arange(10_000).reshape(100, 100))) == 10_000
    with pytest.raises(UserError, match="10001 numbers or colours are more than the 10000"):
        masks_of_labels(np.arange(10_001).reshape(1, 10_001))


@pytest.mark.parametrize(
    ("shape", "kind", "fits"),
    [
        ((2, 3), "i2", True),
        ((2, 3), "u1", True),
        ((2**13, 2**13), "i8", True),
        ((2**13, 2**13 + 1), "i8", False),
        ((2, 3, 1), "i2", False),
        ((0, 3), "i2", False),
        ((2, 3), "f4", False),
        ((2, 3), "O", False),
    ],
)
def test_an_array_of_labels_has_a_whole_number_for_each_pixel(shape: tuple[int, ...], kind: str, fits: bool) -> None:
    with nullcontext() if fits else pytest.raises(UserError, match="not one of whole numbers for each pixel"):
        check_labels(shape, np.dtype(kind), "it")


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
