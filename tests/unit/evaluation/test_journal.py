from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from anymask.errors import UserError
from anymask.evaluation.journal import Journal, read_records
from anymask.evaluation.point_to_mask.records import Record
from anymask.evaluation.results import Identity

IDENTITY: Identity = {
    "schema": 3,
    "task": "point_to_mask",
    "protocol": "p",
    "settings": {"report_at": (1, 2)},  # a tuple here, a list in the file
    "data": {"name": "d", "fingerprint": "f"},
    "limit": None,
    "checkpoint": {"path": "c", "sha256": None},
    "image_size": None,
}


def records(image: str, number: int) -> list[Record]:
    return [
        {
            "shard": "a.tar",
            "image": image,
            "image_size": (4, 4),
            "mask": mask,
            "mask_id": -1,
            "area": 3,
            "size_class": "small",
            "model": {"clicks": [], "ious": [0.5], "oracle_ious": [0.5], "predicted_ious": [0.5], "masks": {}},
            "floors": {},
        }
        for mask in range(number)
    ]


def written(folder: Path, *, rank: int = 0, images: dict[str, int] | None = None) -> Journal:
    journal = Journal(folder, IDENTITY, rank=rank)
    for image, number in (images or {"one": 2, "two": 3}).items():
        journal.append(("a.tar", image), records(image, number))
    return journal


def test_what_was_written_is_there_again(tmp_path: Path) -> None:
    written(tmp_path)
    again = Journal(tmp_path, IDENTITY)
    assert ("a.tar", "one") in again
    assert ("b.tar", "one") not in again
    assert [record["image"] for record in read_records(tmp_path / "records.jsonl")] == ["one"] * 2 + ["two"] * 3


@pytest.mark.parametrize("cut", [2, 40, 300])
def test_an_image_that_was_cut_short_is_taken_out_of_the_file(tmp_path: Path, cut: int) -> None:
    written(tmp_path)
    path = tmp_path / "records.jsonl"
    path.write_bytes(path.read_bytes()[:-cut])
    again = Journal(tmp_path, IDENTITY)
    assert ("a.tar", "one") in again
    assert ("a.tar", "two") not in again
    assert {record["image"] for record in read_records(path)} == {"one"}
    again.append(("a.tar", "two"), records("two", 3))
    assert len(read_records(path)) == 5


def test_an_image_without_a_record_is_done_as_well(tmp_path: Path) -> None:
    written(tmp_path, images={"none": 0})
    assert ("a.tar", "none") in Journal(tmp_path, IDENTITY)
    assert read_records(tmp_path / "records.jsonl") == []


def test_a_file_torn_in_its_first_line_begins_again(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    path.write_text('{"schema": 1, "prot')
    Journal(tmp_path, IDENTITY)
    assert read_records(path) == []
    assert json.loads(path.read_text())["protocol"] == "p"


def test_another_evaluation_is_not_mixed_in(tmp_path: Path) -> None:
    written(tmp_path)
    before = (tmp_path / "records.jsonl").read_bytes()
    other: Identity = {**IDENTITY, "protocol": "q", "limit": 3}
    for rank in (0, 1):
        with pytest.raises(UserError, match=r"records.jsonl is of another .* differs in protocol, limit"):
            Journal(tmp_path, other, rank=rank)
    assert (tmp_path / "records.jsonl").read_bytes() == before


def test_the_files_of_several_processes_become_one(tmp_path: Path) -> None:
    written(tmp_path, rank=1, images={"b": 1, "d": 2})
    first = written(tmp_path, rank=0, images={"c": 1, "a": 3})
    assert ("a.tar", "d") in first  # what another one did before is not done again
    first.merge()
    assert [path.name for path in tmp_path.iterdir()] == ["records.jsonl"]
    told = [(record["image"], record["mask"]) for record in read_records(tmp_path / "records.jsonl")]
    assert told == [("a", 0), ("a", 1), ("a", 2), ("b", 0), ("c", 0), ("d", 0), ("d", 1)]


def test_stopped_processes_are_taken_up_by_another_number_of_them(tmp_path: Path) -> None:
    written(tmp_path, rank=0, images={"a": 1})
    written(tmp_path, rank=1, images={"b": 1})
    written(tmp_path, rank=2, images={"c": 1})
    torn = tmp_path / "records.2.jsonl"
    torn.write_bytes(torn.read_bytes()[:-9])
    alone = Journal(tmp_path, IDENTITY)
    assert [("a.tar", image) in alone for image in "abc"] == [True, True, False]
    alone.append(("a.tar", "c"), records("c", 2))
    alone.merge()
    assert [record["image"] for record in read_records(tmp_path / "records.jsonl")] == ["a", "b", "c", "c"]


def line(image: str, told: list[int]) -> str:
    return f'{{"shard": "a.tar", "image": "{image}", "records": {told}}}\n'


def file_of(path: Path, *lines: str) -> None:
    path.write_text("".join([json.dumps(IDENTITY) + "\n", *lines]))


def test_the_merged_file_byte_by_byte(tmp_path: Path) -> None:
    file_of(tmp_path / "records.1.jsonl", line("b", [1]), line("d", [1, 1]), line("c", [1]).rstrip("\n"))
    file_of(tmp_path / "records.2.jsonl", line("d", [2]), line("a", []), line("b", [22, 22]))
    file_of(tmp_path / "records.jsonl", line("b", [0]), line("e", [0]), line("e", [10, 0]), line("f", [0])[:-3])
    Journal(tmp_path, IDENTITY).merge()
    lines = [line("a", []), line("b", [0]), line("c", [1]), line("d", [2]), line("e", [10, 0])]
    assert (tmp_path / "records.jsonl").read_text() == json.dumps(IDENTITY) + "\n" + "".join(lines)


def test_a_file_that_lacks_the_end_of_its_last_line_is_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    file_of(path, line("b", [1]), line("a", [2]).rstrip("\n"))
    file_of(tmp_path / "records.1.jsonl", line("b", [3]))  # does not reach into the other's file
    Journal(tmp_path, IDENTITY).append(("a.tar", "c"), [4])
    assert path.read_text().splitlines(keepends=True)[1:] == [line("b", [1]), line("a", [2]), line("c", [4])]


def peak(of: Callable[[], Any]) -> int:
    """Bytes that were held at once."""
    tracemalloc.start()
    try:
        of()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_the_records_of_all_images_are_never_held_at_once(tmp_path: Path) -> None:
    of_an_image = 20_000
    for rank in (0, 1):
        journal = Journal(tmp_path, IDENTITY, rank=rank)
        for number in range(40):
            journal.append(("a.tar", f"{rank}-{number}"), ["x" * of_an_image])
    few = 10 * of_an_image  # of the 80; a line is there as bytes, text and records
    assert peak(lambda: Journal(tmp_path, IDENTITY)) < few
    assert peak(Journal(tmp_path, IDENTITY).merge) < few
    assert len(read_records(tmp_path / "records.jsonl")) == 80


@pytest.mark.parametrize(
    "first", [b"[1]", b"null", b"3", b'"text"', b"{}", b'{"a": 1}', b"\xff\xfe\x00", b'{"schema": "\xe9']
)
@pytest.mark.parametrize("rank", [0, 1])
def test_a_first_line_of_another_form_is_of_another_evaluation(tmp_path: Path, first: bytes, rank: int) -> None:
    path = tmp_path / "records.jsonl"
    path.write_bytes(first + b"\n")
    with pytest.raises(UserError, match=r"records.jsonl is of another evaluation"):
        Journal(tmp_path, IDENTITY, rank=rank)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("records.jsonl", first + b"\n")]


@pytest.mark.parametrize(
    "odd",
    [
        b'{"a": 1}',
        b"[1]",
        b"null",
        b"",
        b"\xff\xfe",
        b'{"shard": "a.tar", "image": "\xe9", "records": []}',
        b'{"shard": "a.tar", "image": 3, "records": []}',
        b'{"shard": ["a.tar"], "image": "b", "records": []}',
        b'{"shard": "a.tar", "image": "b", "records": {"c": 1}}',
        b'{"shard": "a.tar", "image": "b"}',
    ],
)
def test_an_image_of_another_form_ends_the_reading(tmp_path: Path, odd: bytes) -> None:
    path = tmp_path / "records.jsonl"
    file_of(path, line("a", [1]))
    whole = path.read_bytes()
    path.write_bytes(whole + odd + b"\n" + line("z", [2]).encode())
    assert read_records(path) == [1]
    journal = Journal(tmp_path, IDENTITY)
    assert [("a.tar", image) in journal for image in "abz"] == [True, False, False]
    assert path.read_bytes() == whole
