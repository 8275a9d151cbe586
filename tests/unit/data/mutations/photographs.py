"""Photographs that are damaged at random, or on purpose: bombs, and headers that say what is not so."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Iterator
from functools import cache

import PIL.Image

from tests.unit.data.mutations.damage import Case, Make, damaged
from tests.unit.data.mutations.good import HEIGHT, WIDTH, photograph, saved


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(height: int, width: int, *, pixels: bytes | None = None, before: bytes = b"", depth: int = 8) -> bytes:
    """Black; ``pixels`` are the compressed ones, ``before`` is put between header and pixels."""
    about = struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)
    raw = b"\0" * ((width * 3 * depth // 8 + 1) * height) if pixels is None else b""
    content = zlib.compress(raw, 1) if pixels is None else pixels
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", about) + before + chunk(b"IDAT", content) + chunk(b"IEND", b"")


@cache
def inflating(gigabytes: int) -> bytes:
    """Zeros as a zlib stream: a block that was flushed whole can be repeated."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(b"\0" * 2**24) + packer.flush(zlib.Z_FULL_FLUSH)
    return b"\x78\x9c" + block * (64 * gigabytes)


def progressive(height: int, width: int, scans: int, *, components: int = 1) -> bytes:
    """A black JPEG of any number of scans up to 896 for a component, each of which is allowed where it stands."""

    def segment(marker: int, data: bytes) -> bytes:
        return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data

    blocks = -(-height // 8) * -(-width // 8)
    frame = struct.pack(">BHHB", 8, height, width, components)
    parts = [b"\xff\xd8", segment(0xDB, b"\0" + b"\1" * 64)]
    parts += [segment(0xC2, frame + b"".join(bytes([c, 0x11, 0]) for c in range(1, components + 1)))]
    parts += [segment(0xC4, bytes([table, 1]) + b"\0" * 16) for table in (0, 0x10)]  # one code: 0 is "nothing"
    orders = [(coefficient, low) for coefficient in range(64) for low in range(13, -1, -1)]
    for coefficient, low in orders[:scans]:
        chosen = components if coefficient == 0 else 1
        about = bytes([chosen, *[b for c in range(1, chosen + 1) for b in (c, 0)], coefficient, coefficient])
        about += bytes([(0 if low == 13 else low + 1) << 4 | low])
        parts += [segment(0xDA, about), b"\0" * -(-blocks * chosen // 8)]
    return b"".join([*parts, b"\xff\xd9"])


def _jpeg_that_says(offset: int, said: bytes) -> bytes:
    """Another value in the header of the frame."""
    data = photograph(0)
    at = data.index(b"\xff\xc0") + offset
    return data[:at] + said + data[at + len(said) :]


LARGE = 8192
REFUSED_PHOTOGRAPHS: dict[str, Make] = {
    "nothing": lambda: b"",
    "JPEG of 60,000 x 60,000": lambda: _jpeg_that_says(5, struct.pack(">HH", 60_000, 60_000)),
    "JPEG of 0 rows": lambda: _jpeg_that_says(5, b"\0\0"),
    "JPEG of 12 bits": lambda: _jpeg_that_says(4, b"\x0c"),
    "JPEG of 1 component": lambda: _jpeg_that_says(9, b"\x01"),
    "JPEG of 4:4:1": lambda: _jpeg_that_says(11, b"\x14"),
    "JPEG of 896 scans": lambda: progressive(HEIGHT, WIDTH, 896),
    "JPEG of 896 scans of 16 megapixels": lambda: progressive(4096, 4096, 896),
    "PNG of 60,000 x 60,000": lambda: png(60_000, 60_000, pixels=zlib.compress(b"\0")),
    "PNG of 2^31 columns": lambda: png(1, 2**31 - 1, pixels=b""),
    "PNG of 2^21 columns": lambda: png(1, 2**21),
    "PNG of no pixel": lambda: png(0, 0),
    "PNG of too few pixels": lambda: png(HEIGHT, WIDTH, pixels=zlib.compress(b"\0" * 100)),
    "PNG whose chunk claims a gigabyte": lambda: png(HEIGHT, WIDTH, before=struct.pack(">I", 2**30 - 1) + b"tEXt"),
    "PNG with a second header": lambda: png(
        HEIGHT, WIDTH, before=chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))
    ),
    "PNG that begins with another chunk": lambda: b"\x89PNG\r\n\x1a\n" + chunk(b"tEXt", b"a\0b") + png(8, 8)[8:],
}
OTHER_PHOTOGRAPHS: dict[str, Make] = {
    "PNG that inflates to 2 GB": lambda: png(HEIGHT, WIDTH, pixels=inflating(2)),
    "PNG with a colour profile of 2 GB": lambda: png(HEIGHT, WIDTH, before=chunk(b"iCCP", b"a\0\0" + inflating(2))),
    "PNG with a text of 2 GB": lambda: png(HEIGHT, WIDTH, before=chunk(b"zTXt", b"a\0\0" + inflating(2))),
    "PNG of a million frames": lambda: png(
        HEIGHT,
        WIDTH,
        before=chunk(b"acTL", struct.pack(">II", 10**6, 0))
        + chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 60_000, 60_000, 0, 0, 1, 1, 0, 0)),
    ),
    "JPEG of 99 scans": lambda: progressive(HEIGHT, WIDTH, 99),
}
LARGE_PHOTOGRAPHS: dict[str, Make] = {
    "PNG at the limit": lambda: png(LARGE, LARGE),
    "progressive JPEG of four colours at the limit": lambda: progressive(LARGE, LARGE, 2, components=4),
}


def photographs(seed: int, number: int) -> Iterator[Case]:
    chance = random.Random(seed)
    yield from (Case(name, make(), refused=True) for name, make in REFUSED_PHOTOGRAPHS.items())
    yield from (Case(name, make()) for name, make in OTHER_PHOTOGRAPHS.items())
    yield from (Case(name, make(), size=(LARGE, LARGE)) for name, make in LARGE_PHOTOGRAPHS.items())
    colour = PIL.Image.open(io.BytesIO(photograph(1))).convert("RGB")
    good = [
        photograph(1),
        saved(colour, "JPEG", progressive=True),
        saved(colour.convert("L"), "JPEG"),
        saved(colour.convert("CMYK"), "JPEG"),
        *(saved(colour.convert(mode), "PNG") for mode in ("RGB", "P", "RGBA", "1", "L")),
    ]
    for turn in range(number - len(REFUSED_PHOTOGRAPHS | OTHER_PHOTOGRAPHS | LARGE_PHOTOGRAPHS)):
        data, _ = damaged(good[turn % len(good)], chance)
        for _ in range(turn % 3):
            data = damaged(data, chance)[0] if data else data
        yield Case(f"damage {turn}", data)
