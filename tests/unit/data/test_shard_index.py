"""Where the records of a tar lie, as tarfile, webdataset and GNU tar have it, and what is told of those that do not."""

from __future__ import annotations

import gzip
import io
import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from webdataset.tariterators import base_plus_ext, group_by_keys, tar_file_expander

from anymask.data.shard_index import Entry, Index, Place, index_of_tar, key_and_ending, load_index, save_index
from anymask.data.storage import StorageError

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
FILES = {f"{key}.{ending}": f"{key} {ending}".encode() * 90 for key in "abc" for ending in ("jpg", "json")}
"""Three records, each file of more than one block."""


def _tar(path: Path, files: Mapping[str, bytes], *, form: Literal["ustar", "gnu", "pax"] = "pax") -> Path:
    with tarfile.open(path, "w", format=FORMATS[form]) as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def _add(path: Path, name: str, kind: bytes = tarfile.REGTYPE, data: bytes = b"") -> Path:
    with tarfile.open(path, "a") as tar:
        member = tarfile.TarInfo(name)
        member.type, member.linkname, member.size = kind, "a.jpg", len(data)
        tar.addfile(member, io.BytesIO(data))
    return path


def _contents(path: Path, entries: list[Entry]) -> dict[str, tuple[bytes, bytes]]:
    """Photograph and annotation of each key."""
    data = path.read_bytes()
    return {
        e.key: (
            data[e.photograph.offset : e.photograph.offset + e.photograph.size],
            data[e.annotation.offset : e.annotation.offset + e.annotation.size],
        )
        for e in entries
    }


def _by_webdataset(path: Path) -> dict[str, tuple[bytes, bytes]]:
    with path.open("rb") as stream:
        samples = list(group_by_keys(tar_file_expander([{"url": str(path), "stream": stream}])))
    return {s["__key__"].removeprefix("./"): (s.get("jpg", b""), s.get("json", b"")) for s in samples}


# ---- what is sound ----


@pytest.mark.parametrize("form", list(FORMATS))
@pytest.mark.parametrize("prefix", ["", "./", "folder/deep/", f"{'long/' * 20}", "höhle/"])
def test_records_lie_where_webdataset_finds_them(
    tmp_path: Path, form: Literal["ustar", "gnu", "pax"], prefix: str
) -> None:
    """Beyond 100 bytes a name has a place of its own in each of the formats."""
    path = _tar(tmp_path / "x.tar", {prefix + name: data for name, data in FILES.items()}, form=form)
    entries, defects = index_of_tar(str(path))
    assert defects == []
    assert len(entries) == 3
    assert _contents(path, entries) == _by_webdataset(path)


@pytest.mark.skipif(shutil.which("tar") is None, reason="there is no tar program")
@pytest.mark.parametrize("form", ["v7", "oldgnu", "gnu", "ustar", "posix"])
def test_tars_of_the_tar_program_are_read(tmp_path: Path, form: str) -> None:
    folder = tmp_path / "photographs"
    folder.mkdir()
    for name, data in FILES.items():
        (folder / name).write_bytes(data)
    (folder / "d.jpg").symlink_to("a.jpg")
    (folder / "e.jpg").hardlink_to(folder / "a.jpg")
    subprocess.run(["tar", "-cf", tmp_path / "x.tar", f"--format={form}", "--sort=name", "."], cwd=folder, check=True)
    entries, defects = index_of_tar(str(tmp_path / "x.tar"))
    expected = {key: (FILES[f"{key}.jpg"], FILES[f"{key}.json"]) for key in "abc"}
    assert _contents(tmp_path / "x.tar", entries) == expected
    assert sorted(defect.key for defect in defects) == ["./d.jpg", "./e.jpg"]
    assert {defect.reason for defect in defects} == {"it is no file but a link, a device or stored in parts"}


def test_the_files_of_a_record_need_not_be_neighbours(tmp_path: Path) -> None:
    path = _tar(tmp_path / "x.tar", {name: FILES[name] for name in sorted(FILES, key=lambda name: name[::-1])})
    entries, defects = index_of_tar(str(path))
    assert defects == []
    assert _contents(path, entries) == {key: (FILES[f"{key}.jpg"], FILES[f"{key}.json"]) for key in "abc"}


def test_other_files_and_folders_are_passed_over(tmp_path: Path) -> None:
    path = _tar(tmp_path / "x.tar", {"README": b"x", "a.txt": b"x", **FILES, ".jpg/notes": b"x"})
    _add(path, "folder.jpg", tarfile.DIRTYPE)
    entries, defects = index_of_tar(str(path))
    assert ([entry.key for entry in entries], defects) == (["a", "b", "c"], [])


STEM = st.text(st.characters(exclude_characters="/.", exclude_categories=("C", "Z")), min_size=1, max_size=8)


@given(st.lists(STEM, max_size=2), STEM, st.lists(STEM, min_size=1, max_size=2))
def test_keys_are_those_of_webdataset(folders: list[str], stem: str, endings: list[str]) -> None:
    name = "/".join([*folders, ".".join([stem, *endings])])
    key, ending = base_plus_ext(name)
    assert key_and_ending(name) == (key, ending.lower())
    assert key_and_ending(f"./{name}") == (key, ending.lower())


@given(
    st.lists(st.tuples(STEM, st.sampled_from(["jpg", "json", "txt"]), st.binary(min_size=1, max_size=1500)), max_size=8)
)
def test_any_tar_is_read_as_tarfile_reads_it(
    tmp_path_factory: pytest.TempPathFactory, members: list[tuple[str, str, bytes]]
) -> None:
    files = {f"{stem}.{ending}": data for stem, ending, data in members}
    path = _tar(tmp_path_factory.mktemp("any") / "x.tar", files)
    entries, defects = index_of_tar(str(path))
    assert defects == []
    with tarfile.open(path) as tar:
        lying = {member.name: Place(member.offset_data, member.size) for member in tar}
    found = {f"{e.key}.jpg": e.photograph for e in entries} | {f"{e.key}.json": e.annotation for e in entries}
    assert {name: place for name, place in found.items() if place.size} == {
        name: place for name, place in lying.items() if not name.endswith(".txt")
    }


# ---- what is not ----


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../../etc/x.jpg", "its name leaves the folder"),
        ("/etc/x.json", "its name leaves the folder"),
        ("a/../b.jpg", "its name leaves the folder"),
        (f"{'x' * 201}.jpg", "its name is too long, or not printable"),
        ("two\nlines.jpg", "its name is too long, or not printable"),
        ("\x1b[2Jred.jpg", "its name is too long, or not printable"),
        (".jpg", "its name is too long, or not printable"),
    ],
)
def test_names_that_lead_astray_are_told(tmp_path: Path, name: str, reason: str) -> None:
    path = _add(_tar(tmp_path / "x.tar", FILES), name, data=b"x")
    entries, (defect,) = index_of_tar(str(path))
    assert (len(entries), defect.shard, defect.reason) == (3, str(path), reason)
    assert defect.key.isprintable()
    assert len(defect.key) <= 200


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_what_is_no_file_is_told(tmp_path: Path, kind: bytes) -> None:
    entries, (defect,) = index_of_tar(str(_add(_tar(tmp_path / "x.tar", FILES), "z.jpg", kind)))
    assert [entry.key for entry in entries] == ["a", "b", "c"]
    assert (defect.key, defect.reason) == ("z.jpg", "it is no file but a link, a device or stored in parts")


@pytest.mark.parametrize("second", ["a.jpg", "./a.jpg", "a.JPG", "a.png"])
def test_the_first_of_two_photographs_of_one_name_is_taken(tmp_path: Path, second: str) -> None:
    path = _add(_tar(tmp_path / "x.tar", FILES), second, data=b"another")
    entries, (defect,) = index_of_tar(str(path))
    assert _contents(path, entries)["a"][0] == FILES["a.jpg"]
    assert (defect.key, defect.reason) == ("a", "there is a second photograph of that name")


def test_at_every_cut_records_are_whole_and_what_is_not_is_told(tmp_path: Path) -> None:
    whole = _tar(tmp_path / "x.tar", FILES)
    data = whole.read_bytes()
    with tarfile.open(whole) as tar:
        members = tar.getmembers()
    last = members[-1].offset_data + members[-1].size
    for cut in [*range(512, last, 512), *range(512 + 200, last, 512)]:
        whole.write_bytes(data[:cut])
        entries, defects = index_of_tar(str(whole))
        begun = [m for m in members if m.offset_data <= cut]
        halved = {m.name[0] for m in begun if m.offset_data + m.size > cut}
        expected = {key: tuple(FILES[m.name] for m in begun if m.name[0] == key) for key in "abc"}
        found = {key: tuple(filter(None, files)) for key, files in _contents(whole, entries).items()}
        assert found == {key: files for key, files in expected.items() if files and key not in halved}, cut
        is_in_header = any(m.offset < cut < m.offset_data for m in members)
        rest = f"there is no header at byte {cut // 512 * 512}" if is_in_header else f"cut off at byte {cut}"
        (defect,) = defects
        if halved:
            assert ({defect.key}, defect.reason) == (halved, "the shard ends early"), cut
        else:
            assert (defect.key, defect.reason.endswith(rest)) == ("the rest of the shard", True), cut


def test_damage_in_the_middle_is_told_where_tarfile_keeps_silent(tmp_path: Path) -> None:
    path = _tar(tmp_path / "x.tar", FILES)
    with tarfile.open(path) as tar:
        damaged = tar.getmember("b.json").offset
    data = bytearray(path.read_bytes())
    data[damaged + 148] ^= 0xFF  # of the checksum
    path.write_bytes(data)
    with tarfile.open(path) as tar:
        assert tar.getnames() == ["a.jpg", "a.json", "b.jpg"]
    entries, (defect,) = index_of_tar(str(path))
    assert [entry.key for entry in entries] == ["a", "b"]
    assert (defect.key, defect.reason) == ("the rest of the shard", f"there is no header at byte {damaged}")


def test_a_photograph_is_no_long_name(tmp_path: Path) -> None:
    """A byte of b.jpg's header says that its content is the name of what follows, and the checksum is right."""
    path = _tar(tmp_path / "x.tar", {**FILES, "b.jpg": b"\xff\xd8\xff\xe0\0\x10JFIF\0" * 9})
    with tarfile.open(path) as tar:
        member = tar.getmember("b.jpg")
    member.type = tarfile.GNUTYPE_LONGNAME
    data = path.read_bytes()
    header = member.tobuf(tarfile.USTAR_FORMAT)
    path.write_bytes(data[: member.offset] + header + data[member.offset + 512 :])
    entries, defects = index_of_tar(str(path))
    assert defects == []
    assert [(entry.key, entry.photograph.size > 0) for entry in entries] == [("a", True), ("b", False), ("c", True)]


def test_two_tars_in_one_file_are_told(tmp_path: Path) -> None:
    """``cat a.tar b.tar``: what follows the end of the first is lost."""
    path = _tar(tmp_path / "x.tar", FILES)
    path.write_bytes(path.read_bytes() * 2)
    entries, (defect,) = index_of_tar(str(path))
    assert len(entries) == 3
    assert defect.reason.endswith("and more follows")


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff\xd8\xff" * 999, b"<html>404</html>", b"<html>Forbidden</html>" * 99, gzip.compress(b"x" * 9999)],
    ids=["nothing", "photograph", "short page", "page", "gzip"],
)
def test_what_is_no_tar_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.tar").write_bytes(data)
    with pytest.raises(StorageError, match=r"x\.tar is not a tar file"):
        index_of_tar(str(tmp_path / "x.tar"))


def test_a_tar_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"absent\.tar cannot be read: .*No such file"):
        index_of_tar(str(tmp_path / "absent.tar"))
    with pytest.raises(StorageError, match=r"cannot be read: .*directory"):
        index_of_tar(str(tmp_path))


# ---- as a file ----


def _rows(index: Index) -> list[tuple[object, ...]]:
    return [tuple(row) for row in index.tolist()]


def test_an_index_is_read_as_it_was_written_and_mapped(tmp_path: Path) -> None:
    entries = [
        Entry("sa_1", "manual", Place(512, 7), Place(2**40, 9)),
        Entry("höhle/2", None, Place(1024, 1)),
        Entry("x" * 200, "automatic", annotation=Place(5, 6)),
    ]
    save_index(tmp_path / "x.index.npy", entries)
    index = load_index(str(tmp_path / "x.index.npy"))
    assert isinstance(index, np.memmap)
    assert _rows(index) == [
        (b"sa_1", 0, 512, 7, 2**40, 9),
        ("höhle/2".encode(), -1, 1024, 1, 0, 0),
        (b"x" * 200, 2, 0, 0, 5, 6),
    ]
    assert _rows(load_index(f"file://{tmp_path}/x.index.npy")) == _rows(index)
    assert [path.name for path in tmp_path.iterdir()] == ["x.index.npy"]


def test_an_index_of_nothing(tmp_path: Path) -> None:
    save_index(tmp_path / "x.index.npy", [])
    assert len(load_index(str(tmp_path / "x.index.npy"))) == 0


def test_what_is_no_index_is_refused(tmp_path: Path) -> None:
    save_index(tmp_path / "good.npy", [Entry("a", "manual", Place(512, 7), Place(1024, 9))])
    (tmp_path / "cut.npy").write_bytes((tmp_path / "good.npy").read_bytes()[:-9])
    (tmp_path / "text.npy").write_text("no index")
    (tmp_path / "nothing.npy").touch()
    np.save(tmp_path / "numbers.npy", np.arange(3))
    np.save(tmp_path / "objects.npy", np.array([{}]), allow_pickle=True)  # a program, which is not run
    for name in ("cut", "text", "nothing", "numbers", "objects", "absent"):
        with pytest.raises(StorageError, match=rf"{name}\.npy is not an index of a shard"):
            load_index(str(tmp_path / f"{name}.npy"))
