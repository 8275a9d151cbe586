"""Headers that are drawn by hand, byte by byte; tars of real programs are in ``test_shard_index.py``."""

from __future__ import annotations

import io

import pytest

from anymask.data.tar_headers import DamagedTar, Member, read_members
from tests.unit.data.mutations.tars import base_256, header, member, pax

END = b"\0" * 1024


def _read(*parts: bytes) -> list[Member]:
    return list(read_members(io.BytesIO(b"".join([*parts, END]))))


def test_contents_lie_behind_their_headers_in_whole_blocks() -> None:
    assert _read(member(b"a.jpg", b"1" * 513), header(b"folder/", 0, b"5"), header(b"a.json", 0, b"2")) == [
        Member("a.jpg", "file", 512, 513),
        Member("folder/", "folder", 2048, 0),
        Member("a.json", "other", 2560, 0),
    ]


def test_a_size_may_be_of_base_256() -> None:
    (found,) = _read(header(b"a.jpg", base_256(600)) + b"1" * 1024)
    assert (found.offset, found.size) == (512, 600)


def test_a_long_name_is_that_of_the_next_member_alone() -> None:
    name = b"n" * 150 + b".jpg"
    gnu = member(b"././@LongLink", name + b"\0", b"L")
    for long in (gnu, pax(path=name)):
        first, second = _read(long, member(b"cut", b"1"), member(b"b.jpg", b"2"))
        assert (first.name, first.offset) == (name.decode(), 1536)
        assert second.name == "b.jpg"


def test_what_goes_on_behind_its_end_is_no_long_name() -> None:
    (found,) = _read(member(b"a.jpg", b"\xff\xd8\xff\xe0\0\x10JFIF", b"L"), member(b"a.json", b"{}"))
    assert (found.name, found.offset) == ("a.json", 1536)


def test_a_pax_header_may_give_the_size() -> None:
    first, second = _read(pax(size=b"700"), header(b"a.jpg", 0) + b"1" * 1024, member(b"b.jpg", b"2"))
    assert (first.offset, first.size) == (1536, 700)
    assert (second.name, second.offset) == ("b.jpg", 3072)


def test_a_sparse_file_is_passed_over_with_all_of_its_map() -> None:
    old = bytearray(header(b"a.jpg", 512, b"S"))
    old[482] = 1  # one more block of the map
    old[148:156] = b" " * 8
    old[148:156] = b"%06o\0 " % sum(old)
    first, second = _read(bytes(old), b"\0" * 512, b"1" * 512, member(b"b.jpg", b"2"))
    assert (first.kind, first.offset) == ("other", 1024)
    assert (second.name, second.offset) == ("b.jpg", 2048)


def test_a_tar_ends_with_zeros() -> None:
    whole = member(b"a.jpg", b"1")
    assert len(list(read_members(io.BytesIO(whole + b"\0" * 512)))) == 1
    for cut, reason in (
        (whole, "the tar has no end, it is cut off at byte 1024"),
        (whole[:700], "the tar has no end, it is cut off at byte 700"),
        (whole + b"x", "there is no header at byte 1024"),
        (whole + END + whole, "the tar ends at byte 1024 and more follows"),
    ):
        found = read_members(io.BytesIO(cut))
        assert next(found).name == "a.jpg"
        with pytest.raises(DamagedTar, match=reason):
            next(found)
