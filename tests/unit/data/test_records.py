from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
import simplejpeg

from anymask.data import records
from anymask.data.records import BadSample, RawSample, decode_image, parse, source_of
from anymask.masks import decode, encode, rle_to_json

Draw = Callable[..., dict[str, bytes]]


def _raw(files: dict[str, bytes]) -> RawSample:
    return RawSample("shard.tar", "sa_3", files)


def _edited(files: dict[str, bytes], edit: Callable[[dict[str, Any]], object]) -> RawSample:
    record = json.loads(files["json"])
    edit(record)
    return _raw({**files, "json": json.dumps(record).encode()})


def test_a_sample_keeps_what_was_stored(draw_record: Draw) -> None:
    files = draw_record(3, "semi_automatic")
    sample = parse(_raw(files), "automatic")
    assert (sample.key, sample.shard, sample.source) == ("sa_3", "shard.tar", "semi_automatic")
    assert np.array_equal(sample.image, simplejpeg.decode_jpeg(files["jpg"], fastdct=False, fastupsample=False))
    assert sample.crop == (0, 0, 64, 48)
    assert sample.mask_ids[:2] == (30, 31)
    assert len(sample.mask_ids) == len(sample.masks) == len(sample.ignore)
    rectangle, ellipse = decode(sample.masks[0]), decode(sample.masks[1])
    assert rectangle.sum() == 20 * 30
    assert ellipse.sum() == (ellipse & rectangle).sum()


def test_a_record_that_names_no_source_is_of_the_default_one(draw_record: Draw) -> None:
    files = draw_record(0, None)
    assert parse(_raw(files), "manual").source == "manual"
    assert source_of(_raw(files), "manual") == "manual"


def test_the_source_is_told_without_decoding_anything_else(draw_record: Draw) -> None:
    assert source_of(_raw(draw_record(0, "semi_automatic")), "manual") == "semi_automatic"
    assert source_of(_raw({"json": b'{"source": "manual", "image": 7}'}), "automatic") == "manual"
    for damaged in ({}, {"json": b"{"}, {"json": b'{"source": "mine"}'}, {"json": b'{"source": "\xb0"}'}):
        assert source_of(_raw(damaged), "automatic") == "automatic"


def test_what_an_evaluation_must_not_count_comes_with_its_mask(draw_record: Draw) -> None:
    band = np.zeros((48, 64), dtype=bool)
    band[:3] = True
    raw = _edited(draw_record(0), lambda r: r["annotations"][1].update(ignore=rle_to_json(encode(band))))
    ignore = parse(raw, "manual").ignore
    assert ignore[0] is None
    assert ignore[1] is not None
    assert np.array_equal(decode(ignore[1]), band)


def test_a_png_is_read_as_rgb_with_or_without_alpha(draw_record: Draw) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    bgr = rgb[..., ::-1]
    opaque = cv2.imencode(".png", bgr)[1].tobytes()
    with_alpha = cv2.imencode(".png", np.dstack([bgr, np.full((48, 64), 9, np.uint8)]))[1].tobytes()
    sample = parse(_raw({"png": opaque, "json": draw_record(0)["json"]}), "manual")
    assert np.array_equal(sample.image, rgb)
    assert np.array_equal(decode_image(with_alpha), rgb)


def test_a_grey_jpeg_is_read_as_rgb() -> None:
    grey = np.full((8, 9, 1), 77, dtype=np.uint8)
    image = decode_image(simplejpeg.encode_jpeg(grey, colorspace="GRAY"))
    assert image.shape == (8, 9, 3)
    assert np.abs(image.astype(int) - 77).max() <= 1


def test_a_box_may_leave_the_photograph_by_a_rounding_pixel(draw_record: Draw) -> None:
    raw = _edited(draw_record(0), lambda r: r["annotations"][0].update(bbox=[-0.6, 0, 65.2, 48.4]))
    assert len(parse(raw, "manual").masks) >= 2


def test_a_truncated_jpeg_is_bad_wherever_it_is_cut(draw_record: Draw) -> None:
    files = draw_record(0)
    for part in (0, 1, 5, 20, len(files["jpg"]) // 2, len(files["jpg"]) - 20):
        with pytest.raises(BadSample, match="the photograph cannot be decoded"):
            parse(_raw({**files, "jpg": files["jpg"][:part]}), "manual")


def test_a_truncated_png_is_bad_wherever_it_is_cut(draw_record: Draw) -> None:
    photograph = cv2.imencode(".png", np.zeros((48, 64, 3)))[1].tobytes()
    for part in (30, len(photograph) // 2, len(photograph) - 12):  # the last 12 bytes only say that it ends
        with pytest.raises(BadSample, match="the photograph is cut short"):
            parse(_raw({"png": photograph[:part], "json": draw_record(0)["json"]}), "manual")


def test_a_png_may_have_any_chunks_that_lie_in_it_and_something_behind_its_end() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    photograph = cv2.imencode(".png", rgb[..., ::-1])[1].tobytes()
    text = struct.pack(">I", 3) + b"tEXt" + b"a\0b" + struct.pack(">I", zlib.crc32(b"tEXta\0b"))
    assert np.array_equal(decode_image(photograph[:33] + text + photograph[33:] + b"behind"), rgb)


def test_a_png_chunk_that_claims_more_than_the_file_is_not_believed() -> None:
    """OpenCV would take a gigabyte for these 150 bytes."""
    photograph = cv2.imencode(".png", np.zeros((48, 64, 3)))[1].tobytes()
    at = photograph.index(b"IDAT") - 4
    with pytest.raises(BadSample, match="the photograph is cut short"):
        decode_image(photograph[:at] + struct.pack(">I", 2**30 - 1) + photograph[at + 4 :])


def test_a_huge_photograph_is_not_decoded(monkeypatch: pytest.MonkeyPatch, draw_record: Draw) -> None:
    monkeypatch.setattr(records, "MAX_PIXELS", 48 * 64 - 1)
    for photograph in (draw_record(0)["jpg"], cv2.imencode(".png", np.zeros((48, 64, 3)))[1].tobytes()):
        with pytest.raises(BadSample, match="64 x 48 pixels is over the limit"):
            decode_image(photograph)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "the annotation is broken"),
        (b'{"image": {"width": 64, "he', "the annotation is broken"),
        (b"[1, 2]", "the annotation is broken"),
        (
            b'{"source": "\xb0", "image": {"width": 64, "height": 48}, "annotations": []}',
            "the annotation is broken.*utf-8",
        ),
        (b'{"image": {"width": 64}, "annotations": []}', "missing required field `height`"),
        (b'{"image": {"width": "64", "height": 48}, "annotations": []}', "Expected `int`"),
        (b'{"image": {"width": 64, "height": 48}}', "missing required field `annotations`"),
        (b'{"image": {"width": 64, "height": 48}, "annotations": []}', "there is no mask"),
        (b'{"image": {"width": 48, "height": 64}, "annotations": []}', r"the photograph is \(48, 64\)"),
        (b'{"source": "mine", "image": {"width": 64, "height": 48}, "annotations": []}', "the source 'mine' is none"),
        (b'{"annotations": ' + b"[" * 100_000, "the annotation is broken"),
    ],
)
def test_a_broken_annotation_is_bad(draw_record: Draw, text: bytes, reason: str) -> None:
    with pytest.raises(BadSample, match=reason):
        parse(_raw({**draw_record(0), "json": text}), "manual")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"segmentation": {"size": [48, 63], "counts": "0"}}, r"the mask's size \(48, 63\) is not the image's"),
        ({"segmentation": {"size": [48, 64], "counts": [48, 64]}}, "the runs add up to 112 pixels"),
        ({"segmentation": [[0, 0, 9, 0, 9, 9]]}, "not a run-length code"),
        ({"bbox": [60, 0, 10, 5]}, "lies outside the photograph"),
        ({"bbox": [0, 40, 5, 20]}, "lies outside the photograph"),
        ({"bbox": [-5, 0, 10, 5]}, "lies outside the photograph"),
        ({"bbox": [1, 2, 3]}, "is not x, y, width, height"),
        ({"ignore": {"size": [1, 1], "counts": "1"}}, r"the mask's size \(1, 1\)"),
    ],
)
def test_a_mask_that_does_not_fit_the_photograph_is_bad(draw_record: Draw, change: object, reason: str) -> None:
    raw = _edited(draw_record(0), lambda record: record["annotations"][1].update(change))
    with pytest.raises(BadSample, match=reason):
        parse(raw, "manual")


@pytest.mark.parametrize(("missing", "reason"), [("jpg", "there is no photograph"), ("json", "there is no annotation")])
def test_half_a_pair_is_bad(draw_record: Draw, missing: str, reason: str) -> None:
    files = draw_record(0)
    del files[missing]
    with pytest.raises(BadSample, match=reason):
        parse(_raw(files), "manual")
