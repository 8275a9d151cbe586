from __future__ import annotations

import json
from pathlib import Path

import pytest

from anymask.errors import UserError
from anymask.evaluation.journal import Journal, read_records
from anymask.evaluation.results import Identity, Record

IDENTITY: Identity = {
    "schema": 1,
    "protocol": "p",
    "settings": {"report_at": (1, 2)},  # a tuple here, a list in the file
    "data": {"name": "d", "fingerprint": "f"},
    "limit": None,
    "checkpoint": {"path": "c", "sha256": None},
}


def records(image: str, number: int) -> list[Record]:
    return [
        {
            "shard": "a.tar",
            "image": image,
            "image_size": (4, 4),
            "masks_in_image": number,
            "mask": mask,
            "mask_id": -1,
            "area": 3,
            "size_class": "small",
            "model": {"clicks": [], "ious": [0.5], "oracle_ious": [0.5], "predicted_ious": [0.5], "masks": {}},
            "floors": {},
        }
        for mask in range(number)
    ]


def written(path: Path) -> Journal:
    journal = Journal(path, IDENTITY)
    journal.append(("a.tar", "one"), records("one", 2))
    journal.append(("a.tar", "two"), records("two", 3))
    return journal


def test_what_was_written_is_there_again(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    written(path)
    again = Journal(path, IDENTITY)
    assert ("a.tar", "one") in again
    assert ("b.tar", "one") not in again
    assert [record["mask"] for record in again["a.tar", "two"]] == [0, 1, 2]
    assert [record["image"] for record in read_records(path)] == ["one"] * 2 + ["two"] * 3


@pytest.mark.parametrize("cut", [2, 40, 300])
def test_an_image_that_was_cut_short_is_taken_out_of_the_file(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "records.jsonl"
    written(path)
    path.write_bytes(path.read_bytes()[:-cut])
    again = Journal(path, IDENTITY)
    assert ("a.tar", "one") in again
    assert ("a.tar", "two") not in again
    assert {record["image"] for record in read_records(path)} == {"one"}
    again.append(("a.tar", "two"), records("two", 3))
    assert len(read_records(path)) == 5


def test_a_file_torn_in_its_first_line_begins_again(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    path.write_text('{"schema": 1, "prot')
    Journal(path, IDENTITY)
    assert read_records(path) == []
    assert json.loads(path.read_text())["protocol"] == "p"


def test_another_evaluation_is_not_mixed_in(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    written(path)
    before = path.read_bytes()
    other: Identity = {**IDENTITY, "protocol": "q", "limit": 3}
    with pytest.raises(UserError, match="differs in protocol, limit"):
        Journal(path, other)
    assert path.read_bytes() == before
