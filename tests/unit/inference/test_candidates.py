from __future__ import annotations

import numpy as np
import pytest
import torch

from anymask.geometry import Frame
from anymask.inference.candidates import Candidates, Measured, picked
from anymask.inference.postprocess import image_logits
from anymask.masks import decode

FRAME = Frame((10, 20, 110, 70), 64)


def candidates(number: int, first: int = 0) -> Candidates:
    """Masks whose every value tells which one it is: ``first``, ``first`` + 1, ..."""
    names = np.arange(first, first + number)
    return Candidates(
        frame=FRAME,
        logits=torch.from_numpy(names).float()[:, None, None].expand(number, 16, 16).clone(),
        ious=names.astype(np.float32),
        stability=names.astype(np.float32),
        boxes=np.repeat(names[:, None], 4, axis=1),
        points=np.repeat(names[:, None], 2, axis=1).astype(np.float64),
        origins=np.repeat(names[:, None], 2, axis=1),
    )


def names(found: Candidates) -> list[int]:
    """The names, the same in every field."""
    own = [int(name) for name in found.logits[:, 0, 0]]
    assert len(found) == len(own)
    for field in (found.ious, found.stability, found.boxes[:, 3], found.points[:, 1], found.origins[:, 1]):
        assert field.tolist() == own
    return own


@pytest.mark.parametrize("rows", [[], [2], [3, 0, 1]])
def test_rows_come_in_the_order_asked_for(rows: list[int]) -> None:
    assert names(candidates(4).rows(np.array(rows, dtype=np.int64))) == rows


@pytest.mark.parametrize("rows", [[], [4], [6, 0, 3, 2], [5, 4, 3, 2, 1, 0]])
def test_rows_are_numbered_through_all_parts(rows: list[int]) -> None:
    parts = [candidates(0), candidates(3), candidates(0, 3), candidates(4, 3), candidates(0, 7)]
    wanted = np.array(rows, dtype=np.int64)
    together, number = Measured.room_for(9, FRAME), 0
    for part in parts:
        together.write(part, number)
        number += len(part)
    assert together.ious.tolist() == [*range(7), 0, 0]
    assert names(Candidates.of(together.rows(wanted), picked([part.logits for part in parts], wanted))) == rows


def test_none() -> None:
    nothing = Candidates.of(Measured.room_for(0, FRAME), torch.zeros(0, 16, 16))
    assert names(nothing) == []
    assert nothing.encode((100, 200)) == []
    assert list(nothing.image_logits(margin=2)) == []


def drawn() -> Candidates:
    """A blob in the middle of the crop, one in its corner and an empty mask."""
    y, x = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    logits = torch.stack([3 - torch.hypot(y - 4, x - 8), 4 - torch.hypot(y, x), -1 - y])
    masks = (image_logits(logits[:, None], FRAME)[:, 0] > 0).numpy()
    boxes = []
    for mask in masks:
        rows, columns = np.nonzero(mask)
        box = [columns.min(), rows.min(), columns.max(), rows.max()] if mask.any() else [0, 0, 0, 0]
        boxes.append(np.array(box) + FRAME.crop[:2] * 2)
    blank, origins = np.zeros(3, dtype=np.float32), np.zeros((3, 2), dtype=np.int64)
    return Candidates(
        frame=FRAME,
        logits=logits,
        ious=blank,
        stability=blank,
        boxes=np.array(boxes),
        points=np.zeros((3, 2)),
        origins=origins,
    )


@pytest.mark.parametrize("margin", [0, 3, 1000])
def test_image_logits_cover_the_mask_with_a_margin_inside_the_crop(margin: int) -> None:
    found = drawn()
    whole = image_logits(found.logits[:, None], FRAME)[:, 0].numpy()
    x0, y0, x1, y1 = FRAME.crop
    for (values, (row, column)), everywhere, box in zip(found.image_logits(margin), whole, found.boxes, strict=True):
        end = row + values.shape[0], column + values.shape[1]
        assert (column, row) == (max(box[0] - margin, x0), max(box[1] - margin, y0))
        assert end == (min(box[3] + 1 + margin, y1), min(box[2] + 1 + margin, x1))
        np.testing.assert_allclose(values, everywhere[row - y0 : end[0] - y0, column - x0 : end[1] - x0], atol=1e-5)


def test_codes_hold_the_masks_in_the_photograph() -> None:
    found = drawn()
    inside = (image_logits(found.logits[:, None], FRAME)[:, 0] > 0).numpy()
    for rle, mask in zip(found.encode((100, 200)), inside, strict=True):
        bitmap = decode(rle)
        assert np.array_equal(bitmap[20:70, 10:110], mask)
        assert bitmap.sum() == mask.sum()
