"""The headers of a tar file one after another, each checked before it is believed.

Python's ``tarfile`` believes them: a size below zero sends it in a circle, a long header that claims gigabytes is given
the memory, one made of digits keeps a regular expression busy for hours, and a chain of them exhausts the stack.
Formats: ustar, GNU's long names and sizes, and PAX (POSIX.1-2001, ``pax``, "ustar Interchange Format").
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

__all__ = ["DamagedTar", "Member", "read_members"]

BLOCK = 512
LONGEST_HEADER = 2**20
"""Bytes of a name or of a PAX header: attributes of a file system may be long, a name is not."""
DIGITS = 19
"""Of a size in a PAX header."""

_FILES, _FOLDER, _WITHOUT_CONTENT = b"\x0007", b"5", b"123456"


class DamagedTar(ValueError):
    """There is no header where one should be; the message says at which byte."""


@dataclass(frozen=True, slots=True)
class Member:
    """What a header says. A sparse file is stored in parts and a link not at all: they are of another kind."""

    name: str  # bytes that are no UTF-8 are written \\xNN
    kind: Literal["file", "folder", "other"]
    offset: int  # of its content
    size: int  # in bytes, as the header claims it


def read_members(file: io.IOBase) -> Iterator[Member]:
    """Every member in order. Raises DamagedTar behind the last one that can be found."""
    length = file.seek(0, io.SEEK_END)
    at, said = 0, dict[bytes, bytes]()  # by the long headers before a member
    while header := _block(file, at, length):
        content, kind, size = at + BLOCK, header[156:157], _number(header[124:136], at)
        if kind in b"xXLKg":
            _check_length(size, content, length)
            said |= _long_header(kind, file.read(size), at)
        else:
            size = _pax_size(said, at) if b"size" in said else size
            if kind == b"S":
                content = _behind_sparse_map(file, header, content)
            yield Member(_name(header, said), _kind(header, said), content, size)
            size = 0 if kind in _WITHOUT_CONTENT else size
            said = {}
        at = content + -(-size // BLOCK) * BLOCK


def _block(file: io.IOBase, at: int, length: int) -> bytes | None:
    """The header at a place; None where the tar ends. It ends with zeros: one that just stops may have gone on."""
    if at >= length:
        raise DamagedTar(f"the tar has no end, it is cut off at byte {length}")
    file.seek(at)
    header: bytes = file.read(BLOCK)
    if not header.strip(b"\0"):
        if file.read(20 * BLOCK).strip(b"\0"):  # a tar is filled up to so many blocks
            raise DamagedTar(f"the tar ends at byte {at} and more follows")
        return None
    field = header[148:156]
    if len(header) < BLOCK or _octal(field) != sum(header) - sum(field) + 8 * ord(" "):
        raise DamagedTar(f"there is no header at byte {at}")
    return header


def _number(field: bytes, at: int) -> int:
    """Octal digits, or behind a byte of 128 a number of base 256."""
    number = int.from_bytes(field[1:]) if field[0] == 0x80 else _octal(field)
    if number is None:
        raise DamagedTar(f"the header at byte {at} has no size")
    return number


def _octal(field: bytes) -> int | None:
    digits = field.partition(b"\0")[0].strip()
    try:
        number = int(digits or b"0", 8)
    except ValueError:
        return None
    return number if number >= 0 else None


def _check_length(size: int, content: int, length: int) -> None:
    if size > min(LONGEST_HEADER, length - content):
        raise DamagedTar(f"the header at byte {content - BLOCK} claims {size} bytes for names")


def _long_header(kind: bytes, payload: bytes, at: int) -> dict[bytes, bytes]:
    """What it says of the next member; the names of links and what holds for all members matter to nobody."""
    if kind == b"L":
        name, _, rest = payload.partition(b"\0")
        return {} if rest.strip(b"\0") else {b"path": name}  # what goes on behind its end is no name
    return _pax_records(payload, at) if kind in b"xX" else {}


def _pax_records(payload: bytes, at: int) -> dict[bytes, bytes]:
    """Lines ``LENGTH KEY=VALUE``, of which the length counts all bytes."""
    records: dict[bytes, bytes] = {}
    begin = 0
    while payload[begin : begin + 1].strip(b"\0"):
        digits = payload[begin : begin + 8].partition(b" ")[0]
        end = begin + int(digits) if digits.isdigit() else 0
        line = payload[begin + len(digits) + 1 : end]
        if end > len(payload) or line[-1:] != b"\n" or b"=" not in line:
            raise DamagedTar(f"the PAX header at byte {at} is damaged")
        key, _, value = line[:-1].partition(b"=")
        records[key] = value
        begin = end
    return records


def _pax_size(said: dict[bytes, bytes], at: int) -> int:
    digits = said[b"size"]
    if not digits.isdigit() or len(digits) > DIGITS:
        raise DamagedTar(f"the PAX header before byte {at} has the size {digits[:DIGITS]!r}")
    return int(digits)


def _behind_sparse_map(file: io.IOBase, header: bytes, content: int) -> int:
    """GNU's old sparse files have more blocks of header as long as a byte says so."""
    goes_on = header[482:483]
    while goes_on.strip(b"\0"):
        file.seek(content)
        goes_on = file.read(BLOCK)[504:505]
        content += BLOCK
    return content


def _name(header: bytes, said: dict[bytes, bytes]) -> str:
    name, prefix = (field.partition(b"\0")[0] for field in (header[:100], header[345:500]))
    if header[257:263] == b"ustar\0" and prefix:  # GNU has other things there
        name = prefix + b"/" + name
    return said.get(b"path", name).decode(errors="backslashreplace")


def _kind(header: bytes, said: dict[bytes, bytes]) -> Literal["file", "folder", "other"]:
    kind = header[156:157]
    if kind == _FOLDER or (kind == b"\0" and header[:100].rstrip(b"\0").endswith(b"/")):
        return "folder"
    is_sparse = any(key.startswith(b"GNU.sparse") for key in said)
    return "file" if kind in _FILES and not is_sparse else "other"
