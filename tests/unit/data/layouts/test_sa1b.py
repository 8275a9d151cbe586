"""Pairs in SA-1B's form: what is passed on, and what is no pair."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from anymask.data.layouts.sa1b import Sa1bPairs
from anymask.errors import UserError


def _pair(folder: Path, name: str, annotation: str, ending: str = "jpg") -> None:
    (folder / f"{name}.{ending}").write_bytes(f"bytes of {name}".encode())
    (folder / f"{name}.json").write_text(annotation)


def test_what_the_files_say_is_passed_on(tmp_path: Path) -> None:
    content = {"image": {"width": 3, "anything": ["else"]}, "annotations": [{"id": 4, "more": None}], "other": 1}
    _pair(tmp_path, "sa_2", json.dumps(content))
    _pair(tmp_path, "sa_1", '{"image": {}, "annotations": []}', "JPEG")
    layout = Sa1bPairs(tmp_path)
    items = layout.items()
    assert list(items) == ["sa_1", "sa_2"]
    read = layout.read(items["sa_2"])
    assert (read.file, read.image, read.annotations) == (b"bytes of sa_2", content["image"], content["annotations"])
    assert read.left_out == {}
    assert layout.read(items["sa_1"]).annotations == []


def test_a_name_becomes_a_key_and_two_names_may_not_become_one(tmp_path: Path) -> None:
    _pair(tmp_path, "sa.1", "{}")
    assert list(Sa1bPairs(tmp_path).items()) == ["sa_1"]
    _pair(tmp_path, "sa_1", "{}")
    with pytest.raises(UserError, match="two photographs have the name 'sa_1'"):
        Sa1bPairs(tmp_path).items()


def test_half_a_pair_and_an_empty_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no \.jpg or \.jpeg file in"):
        Sa1bPairs(tmp_path).items()
    _pair(tmp_path, "sa_1", "{}")
    (tmp_path / "sa_2.json").write_text("{}")
    with pytest.raises(UserError, match=r"sa_2\.json has no photograph"):
        Sa1bPairs(tmp_path).items()


@pytest.mark.parametrize(
    "annotation",
    [
        "",
        "{",
        "null",
        "[]",
        '{"annotations": []}',
        '{"image": {}}',
        "[" * 100_000,
    ],
)
def test_what_is_not_in_the_form_is_refused_with_its_name(annotation: str, tmp_path: Path) -> None:
    _pair(tmp_path, "sa_1", annotation)
    layout = Sa1bPairs(tmp_path)
    with pytest.raises(UserError, match=r"sa_1\.json is not an annotation in SA-1B's form"):
        layout.read(layout.items()["sa_1"])


@pytest.mark.parametrize("annotations", ["null", "0", "{}", '"abc"'])
def test_annotations_are_a_list_or_refused_also_where_they_are_empty(annotations: str, tmp_path: Path) -> None:
    _pair(tmp_path, "sa_1", f'{{"image": {{}}, "annotations": {annotations}}}')
    layout = Sa1bPairs(tmp_path)
    with pytest.raises(UserError, match=r"sa_1\.json is not .*annotations are not a list"):
        layout.read(layout.items()["sa_1"])


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    _pair(tmp_path, "sa_1", "")
    (tmp_path / "sa_1.json").write_bytes(b"\xff\xfe\xfa{}")
    layout = Sa1bPairs(tmp_path)
    with pytest.raises(UserError, match=r"sa_1\.json is not an annotation in SA-1B's form"):
        layout.read(layout.items()["sa_1"])
