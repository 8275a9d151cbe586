from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from anymask.data.augmentation import Augmentation
from anymask.data.mixture import seeded
from anymask.data.records import BadSample, RawSample, parse
from anymask.data.transforms import ToExample
from anymask.geometry import Frame, resize_image
from anymask.masks import decode, encode
from anymask.structures import Example, Rle, Sample

Bitmap = np.ndarray[Any, np.dtype[np.bool_]]
Draw = Callable[..., dict[str, bytes]]


def _sample(*bitmaps: Bitmap, crop: tuple[int, int, int, int] | None = None) -> Sample:
    height, width = bitmaps[0].shape
    return _coded_sample(height, width, *map(encode, bitmaps), crop=crop)


def _coded_sample(height: int, width: int, *codes: Rle, crop: tuple[int, int, int, int] | None = None) -> Sample:
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Sample(
        key="sa_1",
        shard="shard.tar",
        source="manual",
        image=image,
        masks=codes,
        mask_ids=tuple(range(len(codes))),
        ignore=(None,) * len(codes),
        crop=crop or (0, 0, width, height),
    )


def _rectangle(size: tuple[int, int], x0: int, y0: int, x1: int, y1: int) -> Bitmap:
    bitmap = np.zeros(size, dtype=bool)
    bitmap[y0:y1, x0:x1] = True
    return bitmap


def _by_box(example: Example) -> dict[tuple[float, ...], torch.Tensor]:
    return {tuple(box.tolist()): target for box, target in zip(example.boxes, example.targets, strict=True)}


@settings(max_examples=40)
@given(st.integers(5, 60), st.integers(5, 60), st.sampled_from([8, 16, 32]), st.integers(0, 2**20))
def test_targets_are_the_whole_masks_at_the_sampled_pixels(height: int, width: int, side: int, seed: int) -> None:
    chance = np.random.default_rng(seed)
    bitmaps = [chance.random((height, width)) < density for density in (0.1, 0.5, 1)]
    x0, y0 = chance.integers(0, (width - 3, height - 3)).tolist()
    sample = _sample(*bitmaps, crop=(x0, y0, width - 1, height - 1))
    rows, columns = Frame(sample.crop, 32).sampled_pixels(side)
    assume(len(rows) and len(columns))  # a strip may lie between two rows of cells
    example = ToExample(image_size=32, loss_size=side, max_area=1.0)(sample, seeded(seed))
    expected = []
    for bitmap in bitmaps:
        target = np.zeros((side, side), dtype=bool)
        target[: len(rows), : len(columns)] = bitmap[np.ix_(rows, columns)]
        if target.any():
            expected.append(target.tobytes())
    assert sorted(target.numpy().tobytes() for target in example.targets) == sorted(expected)


def test_a_small_photograph_is_seen_as_it_is() -> None:
    bitmaps = [_rectangle((2, 4), 0, 0, 1, 2), _rectangle((2, 4), 1, 1, 4, 2)]
    sample = _sample(*bitmaps)
    example = ToExample(image_size=4, loss_size=4)(sample, seeded(0))
    assert _by_box(example).keys() == {(0, 0, 0, 1), (1, 1, 3, 1)}  # first and last pixel
    assert _by_box(example)[0, 0, 0, 1].int().tolist() == [[1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert _by_box(example)[1, 1, 3, 1].int().tolist() == [[0, 0, 0, 0], [0, 1, 1, 1], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert torch.equal(example.image, resize_image(sample.image, Frame.of((2, 4), 4)))
    assert (example.key, example.source, example.size) == ("sa_1", "manual", (2, 4))


def test_boxes_are_in_the_model_frame_and_end_with_the_crop() -> None:
    sample = _sample(_rectangle((30, 40), 5, 4, 36, 12), crop=(10, 2, 30, 12))
    example = ToExample(image_size=40, loss_size=40)(sample, seeded(0))  # 20 x 10 pixels, twice as large
    assert example.boxes.tolist() == [[0, 4, 38, 18]]
    assert example.size == (20, 40)


def test_the_box_of_a_mask_that_the_crop_cuts_is_that_of_what_is_left() -> None:
    """An L: its stem lies in the crop, its foot below. The foot's columns used to count."""
    letter = _rectangle((20, 20), 2, 2, 4, 18) | _rectangle((20, 20), 2, 15, 18, 18)
    example = ToExample(image_size=10, loss_size=10)(_sample(letter, crop=(0, 0, 10, 10)), seeded(0))
    assert example.boxes.tolist() == [[2, 2, 3, 9]]


@settings(max_examples=60)
@given(st.integers(2, 12), st.integers(2, 12), st.integers(0, 2**20))
def test_boxes_end_at_the_first_and_last_pixel_that_the_crop_leaves(height: int, width: int, seed: int) -> None:
    chance = np.random.default_rng(seed)
    bitmap = chance.random((height, width)) < chance.choice([0.05, 0.3, 0.9])
    (x0, x1), (y0, y1) = (sorted(chance.choice(side + 1, 2, replace=False).tolist()) for side in (width, height))
    left = bitmap[y0:y1, x0:x1]
    assume(left.any())
    longest = max(left.shape)  # so that the crop is seen pixel by pixel
    sample = _sample(bitmap, crop=(x0, y0, x1, y1))
    example = ToExample(image_size=longest, loss_size=longest, max_area=1.0)(sample, seeded(0))
    rows, columns = left.nonzero()
    assert example.boxes.tolist() == [[columns.min(), rows.min(), columns.max(), rows.max()]]


def test_masks_that_are_empty_or_over_nine_tenths_are_passed_over() -> None:
    size = (10, 20)
    kept = [_rectangle(size, 0, 0, 18, 10), _rectangle(size, 3, 3, 4, 4)]  # the first: nine tenths exactly
    dropped = [_rectangle(size, 0, 0, 19, 10), np.ones(size, dtype=bool), np.zeros(size, dtype=bool)]
    example = ToExample(image_size=20, loss_size=20)(_sample(*dropped, *kept), seeded(0))
    assert _by_box(example).keys() == {(0, 0, 17, 9), (3, 3, 3, 3)}


def test_a_mask_that_falls_between_the_sampled_pixels_is_passed_over() -> None:
    rows, columns = Frame.of((40, 40), 8).sampled_pixels(8)
    between = _rectangle((40, 40), 0, 0, 2, 2)
    assert not between[np.ix_(rows, columns)].any()
    example = ToExample(image_size=8, loss_size=8)(_sample(between, ~between & (np.arange(40) < 20)), seeded(0))
    assert len(example.targets) == 1


def test_where_no_mask_is_left_the_sample_is_bad() -> None:
    sample = _sample(np.ones((9, 9), dtype=bool), np.zeros((9, 9), dtype=bool))
    with pytest.raises(BadSample, match="no mask is left of 2: empty or over 90% of the image"):
        ToExample(image_size=9, loss_size=9)(sample, seeded(0))


def test_a_damaged_mask_is_found_when_it_is_decoded() -> None:
    sample = _coded_sample(9, 9, Rle((9, 9), b"13"))
    with pytest.raises(BadSample, match="add up to 4 pixels, the size 9 x 9 to 81"):
        ToExample(image_size=9, loss_size=9)(sample, seeded(0))


def test_at_most_so_many_masks_are_taken_at_random() -> None:
    sample = _sample(*(_rectangle((16, 16), x, 0, x + 1, 4) for x in range(16)))
    transform = ToExample(image_size=16, loss_size=16, masks_per_image=5)
    chosen = [frozenset(_by_box(transform(sample, seeded(seed)))) for seed in range(40)]
    assert {len(boxes) for boxes in chosen} == {5}
    assert len(set(chosen)) > 30
    assert len(frozenset.union(*chosen)) == 16
    assert chosen[3] == frozenset(_by_box(transform(sample, seeded(3))))


def test_only_the_masks_that_are_tried_are_decoded() -> None:
    good = encode(_rectangle((9, 9), 0, 0, 4, 4))
    damaged = Rle((9, 9), b"13")
    transform = ToExample(image_size=9, loss_size=9, masks_per_image=1)
    sample = _coded_sample(9, 9, good, damaged)
    outcomes = set()
    for seed in range(20):
        try:
            outcomes.add(len(transform(sample, seeded(seed)).targets))
        except BadSample:
            outcomes.add(0)
    assert outcomes == {0, 1}  # the order decides whether the damaged one is met


def test_a_stored_scene_keeps_its_masks(draw_record: Draw) -> None:
    sample = parse(RawSample("shard.tar", "sa_2", draw_record(2)), "manual")
    example = ToExample(image_size=64, loss_size=64)(sample, seeded(0))
    assert len(example.targets) == len(sample.masks)
    whole = sorted(int(decode(rle).sum()) for rle in sample.masks)
    assert sorted(example.targets.sum(dim=(1, 2)).tolist()) == whole
    assert not example.targets[:, 48:].any()


@settings(max_examples=40)
@given(st.integers(6, 60), st.integers(6, 60), st.integers(0, 2**20))
def test_a_mirrored_view_is_the_view_of_a_mirrored_photograph(height: int, width: int, seed: int) -> None:
    sample = _sample(np.ones((height, width), dtype=bool), crop=(2, 3, width - 1, height))
    mirrored = replace(sample, image=np.ascontiguousarray(sample.image[:, ::-1]), crop=(1, 3, width - 2, height))
    transform = ToExample(image_size=32, loss_size=32, max_area=1.0)
    ours = replace(transform, augmentation=Augmentation(flip=1.0))(sample, seeded(seed))
    expected = transform(mirrored, seeded(seed))
    assert ours.size == expected.size
    assert (ours.image.int() - expected.image.int()).abs().max() <= 1


def test_a_mirrored_mask_lies_where_its_object_is_seen() -> None:
    bitmap = _rectangle((16, 16), 1, 2, 5, 8)
    sample = replace(_sample(bitmap), image=np.where(bitmap[..., None], 255, 0).repeat(3, 2).astype(np.uint8))
    example = ToExample(image_size=16, loss_size=16, augmentation=Augmentation(flip=1.0))(sample, seeded(0))
    assert torch.equal(example.image[0] > 127, example.targets[0])
    assert torch.equal(example.targets[0], torch.from_numpy(bitmap[:, ::-1].copy()))
    assert example.boxes.tolist() == [[11.0, 2.0, 14.0, 7.0]]  # from the first to the last pixel's centre


@pytest.mark.parametrize("scale", [0.25, 0.6, 1.7, 3.0])
def test_masks_stay_on_their_objects_at_any_scale(scale: float) -> None:
    bitmap = _rectangle((48, 64), 8, 8, 56, 40)
    sample = replace(_sample(bitmap), image=np.where(bitmap[..., None], 255, 0).repeat(3, 2).astype(np.uint8))
    augmentation = Augmentation(scale=(scale, scale), flip=0.5)
    for seed in range(20):
        transform = ToExample(image_size=64, loss_size=64, max_area=1.0, augmentation=augmentation)
        example = transform(sample, seeded(seed))
        assert ((example.image[0] > 127) != example.targets[0]).float().mean() < 0.03
        rows, columns = example.targets[0].nonzero().unbind(1)
        around = [columns.min(), rows.min(), columns.max(), rows.max()]
        assert example.boxes[0].tolist() == pytest.approx([float(edge) for edge in around], abs=max(1.0, scale))


def test_where_the_part_drawn_holds_no_mask_the_whole_is_taken() -> None:
    sample = _sample(_rectangle((64, 64), 0, 0, 3, 3))
    transform = ToExample(image_size=32, loss_size=32, augmentation=Augmentation(scale=(8.0, 8.0)))
    assert transform.augmentation.frame(sample.crop, 32, seeded(0)).crop[0] >= 3  # right of it
    assert torch.equal(transform(sample, seeded(0)).image, resize_image(sample.image, Frame.of((64, 64), 32)))
