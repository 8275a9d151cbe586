from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from anymask.errors import UserError
from anymask.evaluation.comparison import write_comparison
from anymask.evaluation.view import NOTHING


def result(**changes: Any) -> dict[str, Any]:
    return {
        "task": "point_to_mask",
        "protocol": "p/1",
        "data": {"name": "squares", "fingerprint": "0"},
        "limit": None,
        "checkpoint": {"path": "weights.pth", "sha256": None},
        "counts": {"images": 4},
        "metrics": {"miou@1": 0.5, "noc@90": 3.0},
        "standard_errors": {"miou@1": 0.02, "noc@90": None},
        "floors": {},
        "floor_standard_errors": {},
        **changes,
    }


def written(folder: Path, name: str, **changes: Any) -> Path:
    path = folder / name
    path.mkdir(parents=True)
    (path / "results.json").write_text(json.dumps(result(**changes)))
    return path


def rows(folder: Path) -> dict[str, list[str]]:
    lines = [line for line in (folder / "compare.md").read_text().splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0]: row[1:] for row in cells}


def test_each_result_is_a_column(tmp_path: Path) -> None:
    first, second = written(tmp_path, "first"), written(tmp_path, "second", metrics={"miou@1": 0.25})
    write_comparison(tmp_path, [first, second / "results.json"])
    table = rows(tmp_path)
    assert table[""] == ["first", "second"]
    assert table["mIoU, 1 click"] == ["50.0 ± 2.0", "25.0 ± 2.0"]
    assert table["NoC at 90"] == ["3.00", NOTHING]
    assert "can be compared" in (tmp_path / "compare.md").read_text()
    page = (tmp_path / "compare.html").read_text()
    assert page.count("<polyline") == 2
    assert "Mean IoU over clicks: first, second" in page


def test_results_over_several_sets_are_compared_set_by_set(tmp_path: Path) -> None:
    def over(name: str, **sets: float) -> Path:
        own = {key: {"metrics": {"miou@1": value}, "standard_errors": {"miou@1": 0.01}} for key, value in sets.items()}
        return written(tmp_path, name, counts={"images": 4, "sets": len(sets)}, details={"sets": own})

    first, second, alone = over("first", lvis=0.5, gtea=0.25), over("second", lvis=0.75), written(tmp_path, "alone")
    write_comparison(tmp_path, [first, second])
    assert rows(tmp_path)["lvis"] == ["50.0 ± 1.0", "75.0 ± 1.0"]
    assert rows(tmp_path)["gtea"] == ["25.0 ± 1.0", NOTHING]
    write_comparison(tmp_path, [first, alone])
    assert "lvis" not in rows(tmp_path)


@pytest.mark.parametrize(
    ("changes", "different"),
    [
        ({"protocol": "p/2"}, "protocols differ"),
        ({"data": {"name": "circles", "fingerprint": "1"}}, "data differ"),
        ({"counts": {"images": 2}, "limit": 2}, "numbers of images differ"),
        ({"image_size": 512}, "model frames differ"),
    ],
)
def test_what_cannot_be_compared_is_said(tmp_path: Path, changes: dict[str, Any], different: str) -> None:
    write_comparison(tmp_path, [written(tmp_path, "first"), written(tmp_path, "second", **changes)])
    text = (tmp_path / "compare.md").read_text()
    assert "Caution" in text
    assert different in text


def test_a_single_result_is_not_said_to_be_comparable(tmp_path: Path) -> None:
    write_comparison(tmp_path, [written(tmp_path, "first")])
    assert "compared" not in (tmp_path / "compare.md").read_text()


def test_a_limited_result_says_so(tmp_path: Path) -> None:
    write_comparison(tmp_path, [written(tmp_path, "first", limit=4)])
    assert rows(tmp_path)["sample"] == ["Of the first 4 images only."]


def test_a_folder_of_several_tasks_is_as_many_results(tmp_path: Path) -> None:
    written(tmp_path, "suite/point_to_mask")
    written(tmp_path, "suite/edges", task="edges", metrics={"ods": 0.7}, standard_errors={"ods": None}, details={})
    write_comparison(tmp_path, [tmp_path / "suite"])
    text = (tmp_path / "compare.md").read_text()
    assert text.index("## Point to mask") < text.index("## Edges")


def test_equal_names_are_told_apart(tmp_path: Path) -> None:
    write_comparison(tmp_path, [written(tmp_path, "a/report"), written(tmp_path, "b/report")])
    assert rows(tmp_path)[""] == ["a/report", "b/report"]


@pytest.mark.parametrize("content", [None, "nothing", "[]", "{}", '{"task": "moon"}', '{"task": "edges"}'])
def test_what_is_no_result_is_refused(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "results.json").write_text(content)
    with pytest.raises(UserError, match=r"results\.json holds no results"):
        write_comparison(tmp_path, [tmp_path])
