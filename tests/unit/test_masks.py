from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from pycocotools import mask as coco_mask

from anymask.masks import Lattice, area, box, decode, encode, encode_runs, rle_from_json, rle_to_json, runs
from anymask.structures import Rle

Bitmap = np.ndarray[Any, np.dtype[np.bool_]]

BITMAPS = npst.arrays(np.bool_, npst.array_shapes(min_dims=2, max_dims=2, max_side=12))
RUNS = st.lists(st.integers(0, 40) | st.integers(0, 5_000_000), min_size=1, max_size=12)


def _coco(bitmap: Bitmap) -> dict[str, Any]:
    code: dict[str, Any] = coco_mask.encode(np.asfortranarray(bitmap, dtype=np.uint8))
    return code


def _drawn(picture: str) -> Bitmap:
    return np.array([[letter == "#" for letter in line] for line in picture.split()])


def test_runs_are_counted_column_by_column_from_the_outside() -> None:
    counts = runs(encode(_drawn(".##. .#.. ....")))
    assert counts.tolist() == [3, 2, 1, 1, 5]


@settings(max_examples=60)
@given(BITMAPS)
def test_a_bitmap_is_decoded_as_by_pycocotools(bitmap: Bitmap) -> None:
    code = _coco(bitmap)
    rle = Rle(bitmap.shape, code["counts"])
    assert np.array_equal(decode(rle), bitmap)
    assert encode(bitmap) == rle
    assert area(runs(rle)) == coco_mask.area(code) == bitmap.sum()


@settings(max_examples=60)
@given(RUNS)
@example([0, 1])
@example([1 << 30, 1, 1 << 30, 1])
def test_runs_of_any_length_are_read_as_pycocotools_wrote_them(counts: list[int]) -> None:
    total = sum(counts)
    code = coco_mask.frPyObjects({"size": [total, 1], "counts": counts}, total, 1)["counts"]
    assert runs(Rle((total, 1), code)).tolist() == counts


@settings(max_examples=200)
@given(BITMAPS, st.booleans())
def test_runs_inside_are_encoded_as_their_bitmap(bitmap: Bitmap, by_column: bool) -> None:
    """Also where a run that goes on in the next column is given in two pieces."""
    line = bitmap.T.ravel()
    starts = [i for i in np.flatnonzero(line) if i == 0 or not line[i - 1] or (by_column and i % len(bitmap) == 0)]
    ends = [next((j for j in range(i + 1, len(line)) if not line[j] or j in starts), len(line)) for i in starts]
    code = encode_runs(np.array(starts, dtype=np.int64), np.array(ends, dtype=np.int64), bitmap.shape)
    assert code == encode(bitmap)


@settings(max_examples=60)
@given(BITMAPS)
def test_a_box_is_that_of_pycocotools(bitmap: Bitmap) -> None:
    x, y, width, height = coco_mask.toBbox(_coco(bitmap)).astype(int).tolist()
    assert box(runs(encode(bitmap)), len(bitmap)) == (x, y, x + width, y + height)


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        ("... ... ...", (0, 0, 0, 0)),
        ("... ..# ...", (2, 1, 3, 2)),
        ("..# ... #..", (0, 0, 3, 3)),
        ("### ### ###", (0, 0, 3, 3)),
        (".#. ... ...", (1, 0, 2, 1)),
    ],
)
def test_a_box_leaves_out_its_right_and_lower_edge(picture: str, expected: tuple[int, ...]) -> None:
    assert box(runs(encode(_drawn(picture))), 3) == expected


def test_runs_of_no_pixel_do_not_widen_a_box() -> None:
    assert box(np.array([1, 0, 3, 1, 1, 0, 3]), 3) == (1, 1, 2, 2)


@settings(max_examples=100)
@given(BITMAPS, st.data())
def test_a_lattice_is_the_bitmap_at_chosen_rows_and_columns(bitmap: Bitmap, data: st.DataObject) -> None:
    rows, columns = (
        np.array(data.draw(st.lists(st.integers(0, side - 1), min_size=1, max_size=15))) for side in bitmap.shape
    )
    lattice = Lattice(bitmap.shape, rows, columns)
    assert np.array_equal(lattice.bitmap(runs(encode(bitmap))), bitmap[rows][:, columns])
    assert np.array_equal(lattice.bitmap(runs(encode(~bitmap))), ~bitmap[rows][:, columns])


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (b"", "damaged"),
        (b"1 2", "damaged"),  # a blank is no digit
        (b"1\xff", "damaged"),
        (b"4P", "damaged"),  # ends within a count
        (b"PPPPPPPP0", "more than 8 digits"),
        (b"13", "add up to 4 pixels, the size 2 x 3 to 6"),
        (b"O7", "outside 0 to 6 pixels"),  # -1 and 7
    ],
)
def test_a_damaged_code_is_refused_with_the_reason(code: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        runs(Rle((2, 3), code))


@settings(max_examples=300)
@given(st.binary(max_size=12) | st.text("0123456789:;<=>?@APQRoOp", max_size=9).map(str.encode))
def test_any_text_is_a_mask_of_the_right_size_or_a_value_error(code: bytes) -> None:
    rle = Rle((2, 3), code)
    try:
        bitmap = decode(rle)
    except ValueError:
        return
    assert bitmap.shape == (2, 3)
    assert bitmap.sum() == coco_mask.area({"size": [2, 3], "counts": code})


@settings(max_examples=30)
@given(BITMAPS)
def test_json_holds_a_mask_compressed_or_as_numbers(bitmap: Bitmap) -> None:
    rle = encode(bitmap)
    size = (bitmap.shape[0], bitmap.shape[1])
    assert rle_from_json(rle_to_json(rle), size) == rle
    assert rle_from_json({"size": list(size), "counts": runs(rle).tolist()}, size) == rle


@pytest.mark.parametrize(
    ("segmentation", "reason"),
    [
        ({"size": [3, 2], "counts": "06"}, r"the mask's size \(3, 2\) is not the image's \(2, 3\)"),
        ({"size": [2, 3]}, "not a run-length code"),
        ({"size": [2, None], "counts": "06"}, "not a run-length code"),
        ([[0, 0, 2, 0, 2, 2]], "not a run-length code"),
        (None, "not a run-length code"),
        ({"size": [2, 3], "counts": [1, 2]}, "add up to 3 pixels"),
        ({"size": [2, 3], "counts": [7, -1]}, "not run lengths"),
        ({"size": [2, 3], "counts": 6}, "not run lengths"),
    ],
)
def test_json_that_is_no_mask_is_refused_with_the_reason(segmentation: object, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        rle_from_json(segmentation, (2, 3))
