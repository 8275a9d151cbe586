"""``data/pennfudan/prepare.py`` on small pictures drawn here."""

from __future__ import annotations

import re
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from anymask.data.coco import read_ground_truth
from anymask.masks import decode

PROGRAM = Path(__file__).resolve().parents[2] / "data/pennfudan/prepare.py"
Run = Callable[..., None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Fudan 2 with two people, Penn 1 with one."""
    for name, people in (("FudanPed00002", 2), ("PennPed00001", 1)):
        labels = np.zeros((10, 20), np.uint8)
        for person in range(1, people + 1):
            labels[2:8, 6 * person : 6 * person + 3] = person
        for sub, file, picture in (("PNGImages", f"{name}.png", labels * 90), ("PedMasks", f"{name}_mask.png", labels)):
            (tmp_path / sub).mkdir(exist_ok=True)
            cv2.imwrite(str(tmp_path / sub / file), picture)
    return tmp_path


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Run:
    def run_program(*more: str) -> None:
        where = ["--images", folder / "PNGImages", "--masks", folder / "PedMasks", "--out", folder / "out.json"]
        monkeypatch.setattr(sys, "argv", ["prepare.py", *map(str, where), *more])
        runpy.run_path(str(PROGRAM), run_name="__main__")

    return run_program


def test_people_are_annotations_of_category_0(run: Run, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("--expect-images", "2", "--expect-masks", "3")
    assert capsys.readouterr().out.endswith("out.json: 2 photographs, 3 people\n")
    truth = read_ground_truth(folder / "out.json")
    assert {number: image.file_name for number, image in truth.images.items()} == {
        1: "FudanPed00002.png",
        74: "PennPed00001.png",
    }
    first, second = truth.annotations[1]
    assert (first.xywh, second.xywh, second.area, second.category_id) == ((6, 2, 3, 6), (12, 2, 3, 6), 18, 0)
    assert decode(second.mask)[2:8, 12:15].all()
    assert [annotation.id for some in truth.annotations.values() for annotation in some] == [1, 2, 3]


@pytest.mark.parametrize(
    ("break_it", "arguments", "sentence"),
    [
        (lambda f: None, ["--expect-masks", "4"], "there are 3 people, 4 were expected"),
        (lambda f: None, ["--expect-images", "1"], "there are 2 photographs, 1 were expected"),
        (lambda f: (f / "PedMasks/PennPed00001_mask.png").unlink(), [], "PennPed00001.png has no annotation"),
        (lambda f: (f / "PedMasks/PennPed00001_mask.png").write_bytes(b"no"), [], "is not a picture that can be read"),
        (
            lambda f: cv2.imwrite(str(f / "PedMasks/PennPed00001_mask.png"), np.full((10, 20), 2, np.uint8)),
            [],
            r"has the labels \[2\]; people are 1, 2, … without a gap",
        ),
        (
            lambda f: [file.rename(file.with_name(file.name.replace("PennPed", "Zoo"))) for file in f.glob("*/Penn*")],
            [],
            "Zoo00001.png is not named like FudanPed00001.png",
        ),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_written(
    run: Run,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    break_it: Callable[[Path], object],
    arguments: list[str],
    sentence: str,
) -> None:
    break_it(folder)
    with pytest.raises(SystemExit) as ended:
        run(*arguments)
    assert ended.value.code == 2
    assert re.search(sentence, capsys.readouterr().err)
    assert not (folder / "out.json").exists()
