from __future__ import annotations

import json
from pathlib import Path

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
