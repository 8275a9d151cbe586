"""One record of a shard: a photograph and its annotation in SA-1B's form, checked before anything is believed.

    {"image": {"width": …, "height": …}, "source": "manual",
     "annotations": [{"id": …, "segmentation": {"size": [h, w], "counts": "…"}, "bbox": [x, y, w, h]}]}

``source`` is ours and optional: SA-1B does not say which stage of the data engine a mask comes from. So is ``ignore``
beside a segmentation: pixels that an evaluation must not count. Everything else of SA-1B's annotation is left unread.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import cv2
import msgspec
import numpy as np
import simplejpeg
from jaxtyping import UInt8

from anymask.masks import rle_from_json
from anymask.structures import SOURCES, Rle, Sample, Source

__all__ = ["BadSample", "RawSample", "decode_image", "parse", "source_of"]

MAX_PIXELS = 2**26
"""67 megapixels, which take .8 GB to decode as a progressive JPEG of four colours: more is a decompression bomb."""
MAX_SCANS = 100
"""Of a JPEG. Progressive ones have about ten; the format allows thousands, each of which goes over all pixels."""


class BadSample(ValueError):
    """A record that cannot be used; the message is the reason."""


@dataclass(frozen=True, slots=True)
class RawSample:
    """The files of one key, undecoded, by their endings."""

    shard: str
    key: str
    files: dict[str, bytes]


class _Annotation(msgspec.Struct):
    segmentation: Any
    id: int = -1
    bbox: list[float] | None = None
    ignore: Any = None


class _Image(msgspec.Struct):
    width: int
    height: int


class _Record(msgspec.Struct):
    image: _Image
    annotations: list[_Annotation]
    source: str | None = None


class _OnlySource(msgspec.Struct):
    source: str | None = None


_RECORD = msgspec.json.Decoder(_Record)
_SOURCE = msgspec.json.Decoder(_OnlySource)


def source_of(raw: RawSample, default: Source) -> Source:
    """The stage that a record names, or ``default``; also where the record is damaged, for it to be counted there."""
    try:
        stated = _SOURCE.decode(raw.files["json"]).source
    except (KeyError, ValueError, msgspec.MsgspecError, RecursionError):
        return default
    return stated if stated in SOURCES else default


def parse(raw: RawSample, default_source: Source) -> Sample:
    """Decode the photograph and check the annotation; the masks stay encoded. Raises BadSample with the reason."""
    record = _parse_annotation(raw)
    size = (record.image.height, record.image.width)
    image = _image_of(raw)
    if image.shape[:2] != size:
        raise BadSample(f"the photograph is {image.shape[:2]} pixels (height, width), the annotation says {size}")
    masks = tuple(_rle(annotation.segmentation, size) for annotation in record.annotations)
    for annotation in record.annotations:
        _check_box(annotation.bbox, size)
    if not masks:
        raise BadSample("there is no mask")
    return Sample(
        key=raw.key,
        shard=raw.shard,
        source=default_source if record.source is None else record.source,  # type: ignore[arg-type]
        image=image,
        masks=masks,
        mask_ids=tuple(annotation.id for annotation in record.annotations),
        ignore=tuple(None if a.ignore is None else _rle(a.ignore, size) for a in record.annotations),
        crop=(0, 0, size[1], size[0]),
    )


def _parse_annotation(raw: RawSample) -> _Record:
    if "json" not in raw.files:
        raise BadSample("there is no annotation (json)")
    try:
        record = _RECORD.decode(raw.files["json"])
    except (ValueError, msgspec.MsgspecError) as error:  # the first where a text is no UTF-8
        raise BadSample(f"the annotation is broken: {error}") from None
    except RecursionError:
        raise BadSample("the annotation is broken: it is nested too deeply") from None
    if record.source is not None and record.source not in SOURCES:
        raise BadSample(f"the source {record.source!r} is none of {', '.join(SOURCES)}")
    return record


def _image_of(raw: RawSample) -> UInt8[np.ndarray, "h w 3"]:
    for ending in ("jpg", "jpeg", "png"):
        if ending in raw.files:
            return decode_image(raw.files[ending])
    raise BadSample("there is no photograph (jpg, jpeg or png)")


def decode_image(data: bytes) -> UInt8[np.ndarray, "h w 3"]:
    """RGB of a JPEG or PNG file as stored, whatever its EXIF orientation. Raises BadSample if damaged or huge."""
    if data[:8] == b"\x89PNG\r\n\x1a\n" and len(data) >= 24:
        width, height = struct.unpack(">II", data[16:24])
        _check_pixels(height, width)
        _check_chunks(data)
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
        if decoded is None:
            raise BadSample("the photograph cannot be decoded")
        return decoded
    try:
        height, width, *_ = simplejpeg.decode_jpeg_header(data)
        _check_pixels(height, width)
        if data.count(b"\xff\xda") > MAX_SCANS:
            raise BadSample(f"the photograph has more than {MAX_SCANS} scans")
        return simplejpeg.decode_jpeg(data, colorspace="RGB", fastdct=False, fastupsample=False)
    except BadSample:
        raise
    except (ValueError, RuntimeError) as error:
        raise BadSample(f"the photograph cannot be decoded: {error}") from None
    except KeyError as error:  # of simplejpeg's names
        raise BadSample(f"the photograph cannot be decoded: its chroma subsampling {error} is not known") from None


def _check_chunks(data: bytes) -> None:
    """Of a PNG, up to its end: OpenCV takes the memory that the length of a chunk claims, up to a gigabyte."""
    at, kind = 8, b""
    while kind != b"IEND" and at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        at += 12 + length
    if kind != b"IEND" or at > len(data):
        raise BadSample("the photograph is cut short")


def _check_pixels(height: int, width: int) -> None:
    if height * width > MAX_PIXELS:
        raise BadSample(f"the photograph of {width} x {height} pixels is over the limit of {MAX_PIXELS} pixels")


def _rle(segmentation: Any, size: tuple[int, int]) -> Rle:
    try:
        return rle_from_json(segmentation, size)
    except ValueError as error:
        raise BadSample(str(error)) from None


def _check_box(bbox: list[float] | None, size: tuple[int, int]) -> None:
    """A box that leaves the photograph says that the mask belongs to another one; a pixel is left for rounding."""
    if bbox is None:
        return
    if len(bbox) != 4:
        raise BadSample(f"the box {bbox} is not x, y, width, height")
    x, y, width, height = bbox
    if min(x, y) < -1 or x + width > size[1] + 1 or y + height > size[0] + 1:
        raise BadSample(f"the mask's box {bbox} lies outside the photograph of {size} (height, width)")
