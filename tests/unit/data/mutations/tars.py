"""Tars that are damaged at random, or on purpose by members that mislead."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from tests.unit.data.mutations.damage import EXTREME, Make, damaged
from tests.unit.data.mutations.good import record


@dataclass(frozen=True, slots=True)
class TarCase:
    """A hostile tar: ``whole`` records lie before the damage, or beside one that hurts no other."""

    name: str
    data: bytes
    whole: frozenset[str]
    counted: bool = False  # whether a defect must be reported


def header(name: bytes, size: int | bytes, kind: bytes = b"0") -> bytes:
    """Of a member, with the right sum whatever it says."""
    field = size if isinstance(size, bytes) else b"%011o\0" % size
    block = bytearray(name[:100].ljust(100, b"\0") + b"0000644\0" + b"0000000\0" * 2 + field + b"0" * 11 + b"\0")
    block += b" " * 8 + kind + b"\0" * 100 + b"ustar\x0000"
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block.ljust(512, b"\0"))


def member(name: bytes, data: bytes, kind: bytes = b"0") -> bytes:
    return header(name, len(data), kind) + data + b"\0" * (-len(data) % 512)


def pax(**said: bytes) -> bytes:
    """A PAX header; a dot of a key is written as two underscores."""
    return member(b"pax", b"".join(_pax_line(key.replace("__", "."), value) for key, value in said.items()), b"x")


def _pax_line(key: str, value: bytes) -> bytes:
    line = b" " + key.encode() + b"=" + value + b"\n"
    length = next(n for n in range(len(line), len(line) + 9) if n == len(line) + len(str(n)))
    return str(length).encode() + line


def base_256(number: int) -> bytes:
    return (b"\x80" if number >= 0 else b"\xff") + (number % 256**11).to_bytes(11)


_SPARSE = {"GNU__sparse__major": b"1", "GNU__sparse__minor": b"0", "GNU__sparse__realsize": b"600"}
_JPG = member(b"n.jpg", b"1")

ISOLATED: dict[str, Make] = {
    "a name that leaves the folder": lambda: member(b"../../n.jpg", b"1"),
    "an absolute name": lambda: member(b"/etc/n.jpg", b"1"),
    "a NUL in a name": lambda: pax(path=b"n\0n.jpg") + _JPG,
    "an escape in a name": lambda: member(b"\x1b[2Jn.jpg", b"1"),
    "a name of 100,000 letters": lambda: pax(path=b"n" * 100_000 + b".jpg") + _JPG,
    "a GNU name of 100,000 letters": lambda: member(b"././@LongLink", b"n" * 100_000 + b".jpg\0", b"L") + _JPG,
    "a symbolic link": lambda: header(b"n.jpg", 0, b"2"),
    "a hard link": lambda: header(b"n.jpg", 0, b"1"),
    "a device": lambda: header(b"n.jpg", 0, b"3"),
    "a type that nobody knows": lambda: header(b"n.jpg", 512, b"Z") + b"1" * 512,
    "a sparse file": lambda: header(b"n.jpg", 512, b"S") + b"1" * 512,
    "a sparse file of PAX 0.1": lambda: pax(GNU__sparse__size=b"9999", GNU__sparse__map=b"0,1") + _JPG,
    "a sparse file whose size is a word": lambda: pax(GNU__sparse__size=b"x", GNU__sparse__map=b"0,1") + _JPG,
    "a sparse file of PAX 1.0": lambda: pax(**_SPARSE) + member(b"n.jpg", b"1\n0\n512\n".ljust(1024, b"\0")),
    "a sparse map of words": lambda: pax(**_SPARSE) + member(b"n.jpg", b"abc\n0\n512\n".ljust(1024, b"\0")),
    "a sparse map without end": lambda: pax(**_SPARSE) + member(b"n.jpg", b"9999999999\n0\n".ljust(1024, b"\0")),
    "an empty photograph": lambda: member(b"n.jpg", b"") + member(b"n.json", b"{}"),
    "a second photograph": lambda: member(b"n.jpg", b"1") + member(b"n.jpg", b"2") + member(b"n.json", b"{}"),
}
"""Members that hurt no other, and must be counted."""

FATAL: dict[str, Make] = {
    "a size below zero": lambda: header(b"n.jpg", base_256(-512)),
    "a size below zero, further back": lambda: header(b"n.jpg", base_256(-4096)),
    "a size of 2^62": lambda: header(b"n.jpg", base_256(2**62)),
    "a size of 2^70": lambda: header(b"n.jpg", base_256(2**70)),
    "a size of 8 GB": lambda: header(b"n.jpg", 2**33 - 1),
    "a size that is no number": lambda: header(b"n.jpg", b"zzzzzzzzzzz\0"),
    "a PAX header of 8 GB": lambda: header(b"pax", base_256(2**33), b"x"),
    "a PAX header of 2^62 bytes": lambda: header(b"pax", base_256(2**62), b"x"),
    "a PAX header below zero": lambda: header(b"pax", base_256(-1), b"x"),
    "a global PAX header of 8 GB": lambda: header(b"pax", base_256(2**33), b"g"),
    "a GNU name of 8 GB": lambda: header(b"././@LongLink", base_256(2**33), b"L"),
    "a PAX size below zero": lambda: pax(size=b"-512") + _JPG,
    "a PAX size far below zero": lambda: pax(size=b"-" + b"9" * 30) + _JPG,
    "a PAX size of 4,000 digits": lambda: pax(size=b"9" * 4000) + _JPG,
    "a PAX size of 5,000 digits": lambda: pax(size=b"9" * 5000) + _JPG,
    "a PAX line that claims 10^20 bytes": lambda: member(b"pax", b"99999999999999999999 path=x\n", b"x") + _JPG,
    "a PAX line of no byte": lambda: member(b"pax", b"0 path=x\n", b"x") + _JPG,
    "a PAX header of digits": lambda: member(b"pax", b"1" * 400_000, b"x") + _JPG,
    "a block that is no header": lambda: b"x" * 512,
    "the end of another tar": lambda: b"\0" * 1024,
}
"""Headers behind which nothing is found; what comes before must be read, and the loss be counted."""

HARMLESS: dict[str, Make] = {
    "2,000 PAX headers in a row": lambda: pax(path=b"q.txt") * 2000 + _JPG,
    "2,000 folders": lambda: header(b"folder/", 0, b"5") * 2000,
    "a file that is none of ours": lambda: member(b"readme.txt", b"1" * 700),
    "a name that is no UTF-8": lambda: member(b"n\xff\xfe.jpg", b"1"),
    "a PAX header for all": lambda: member(b"pax", _pax_line("comment", b"hello"), b"g"),
}


def tars(seed: int, number: int) -> Iterator[TarCase]:
    """Four records in each, g0 to g3."""
    chance = random.Random(seed)
    parts = [_tar_of(f"g{i}", record(i)) for i in range(4)]
    keys = [f"g{i}" for i in range(4)]
    ends = [sum(map(len, parts[: i + 1])) for i in range(4)]
    good = b"".join(parts) + b"\0" * 1024
    on_purpose = [(name, make, group) for group in (ISOLATED, FATAL, HARMLESS) for name, make in group.items()]
    for turn in range(number):
        if turn < 4 * len(on_purpose):
            name, make, group = on_purpose[turn // 4]
            place = 1 + turn % 4
            data = b"".join([*parts[:place], make(), *parts[place:], b"\0" * 1024])
            whole = frozenset(keys[:place] if group is FATAL else keys)
            is_end = name == "the end of another tar" and place == 4
            yield TarCase(f"{name}, before record {place}", data, whole, group is not HARMLESS and not is_end)
        else:
            data, at = damaged(good, chance) if turn % 2 else _damaged_header(good, chance)
            yield TarCase(f"damage {turn}", data, frozenset(k for k, end in zip(keys, ends, strict=True) if end <= at))


def _tar_of(key: str, files: dict[str, bytes]) -> bytes:
    return b"".join(member(f"{key}.{ending}".encode(), data) for ending, data in files.items())


def _damaged_header(data: bytes, chance: random.Random) -> tuple[bytes, int]:
    """A field is changed and the sum made right, for a reader that looks no further."""
    headers = [at for at in range(0, len(data), 512) if data[at + 257 : at + 262] == b"ustar"]
    at = chance.choice(headers)
    block = bytearray(data[at : at + 512])
    field, length = chance.choice(((0, 100), (124, 12), (124, 12), (156, 1), (257, 8), (345, 155)))
    for _ in range(chance.randint(1, 4)):
        block[field + chance.randrange(length)] = chance.choice((*EXTREME, *b"x2L5gS/.9", chance.randrange(256)))
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return data[:at] + bytes(block) + data[at + 512 :], at
