"""The program that puts our boundary benchmark beside the official one, on the official sample."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.io import savemat

PROGRAM = Path(__file__).resolve().parents[2] / "eval/parity/bsds.py"
OFFICIAL = PROGRAM.parents[3] / "shared/data/eval/bsds_bench"
needs_samples = pytest.mark.skipif(not OFFICIAL.is_dir(), reason="the official sample is not at hand (../shared/data)")

Run = Callable[..., tuple[object, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """``run(…)``: the exit status, or the sentence in its place, and what was printed."""

    def run_program(*arguments: object) -> tuple[object, str]:
        monkeypatch.setattr(sys, "argv", [PROGRAM.name, *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(PROGRAM), run_name="__main__")
        return ended.value.code, capsys.readouterr().out

    return run_program


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    """A folder with one image's ground truth: a vertical line."""
    drawn = np.zeros((40, 30), dtype=np.uint8)
    drawn[:, 10] = 1
    cells = np.empty((1, 1), dtype=object)
    cells[0, 0] = {"Boundaries": drawn}
    (tmp_path / "truth").mkdir()
    savemat(tmp_path / "truth/7.mat", {"groundTruth": cells})
    return tmp_path / "truth"


def soft_line() -> np.ndarray:
    soft = np.zeros((40, 30))
    soft[:, 10], soft[:, 20] = 1.0, 0.4
    return soft


def in_three_forms(folder: Path) -> list[Path]:
    """The same map in the three forms that the program reads."""
    folders = [folder / kind for kind in ("mat", "png", "npy")]
    for each in folders:
        each.mkdir(parents=True)
    twice = np.zeros((81, 61))
    twice[2::2, 2::2] = soft_line()
    savemat(folders[0] / "7.mat", {"ucm2": twice})
    cv2.imwrite(str(folders[1] / "7.png"), (255 * soft_line()).astype(np.uint8))
    np.save(folders[2] / "7.npy", soft_line().astype(np.float32))
    return folders


def test_all_forms_give_the_same_numbers(run: Run, truth: Path, tmp_path: Path) -> None:
    for folder in in_three_forms(tmp_path):
        status, printed = run(truth, folder)
        assert status == 0
        # below .4 the second line is drawn as well: of thresholds with the same recall, AP takes the lowest
        numbers = {words[0]: float(words[1]) for words in map(str.split, printed.splitlines()[1:])}
        assert numbers == {"ODS": 1.0, "recall": 1.0, "precision": 1.0, "OIS": 1.0, "AP": 0.005, "R50": 1.0}


def test_the_exit_status_says_whether_it_agrees(run: Run, truth: Path, tmp_path: Path) -> None:
    official = tmp_path / "eval_bdry.txt"
    for last, status in (("0.0055", 0), ("0.0057", 1)):
        official.write_text(f"0.5 1 1 1 1 1 1 {last}\n")
        ended, printed = run(truth, in_three_forms(tmp_path / last)[2], "--official", official)
        assert ended == status
        assert "-0.00" in printed.splitlines()[5]


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda folder: (folder / "7.npy").rename(folder / "8.npy"), "of the same name: 7, 8"),
        (lambda folder: (folder / "7.npy").unlink(), "of the same name: 7"),
        (lambda folder: (folder / "7.npy").write_bytes(b"damaged"), "7.npy cannot be read"),
        (lambda folder: np.save(folder / "7.npy", np.zeros((4, 4), dtype=np.uint8)), "not fractions"),
        (lambda folder: np.save(folder / "7.npy", np.zeros((4, 4))), "7.mat: the maps and the annotators'"),
        (lambda folder: (folder / "7.npy").rename(folder / "7.png"), "7.png is no grey PNG"),
    ],
)
def test_mistakes_are_one_sentence(
    run: Run, truth: Path, tmp_path: Path, spoil: Callable[[Path], object], sentence: str
) -> None:
    folder = in_three_forms(tmp_path)[2]
    spoil(folder)
    ended, printed = run(truth, folder)
    assert sentence in str(ended)
    assert "\n" not in str(ended)
    assert printed == ""


def test_a_file_of_official_numbers_must_be_one(run: Run, truth: Path, tmp_path: Path) -> None:
    (tmp_path / "eval_bdry.txt").write_text("0.5 0.6")
    ended, _ = run(truth, in_three_forms(tmp_path)[2], "--official", tmp_path / "eval_bdry.txt")
    assert "is no eval_bdry.txt of the benchmark" in str(ended)


@needs_samples
@pytest.mark.parametrize(("results", "official"), [("ucm2", "test_1"), ("png", "test_2")])
def test_the_official_sample_agrees(run: Run, results: str, official: str) -> None:
    written = OFFICIAL / official / "eval_bdry.txt"
    status, printed = run(OFFICIAL / "groundTruth", OFFICIAL / results, "--official", written, "--thresholds", 5)
    assert status == 0
    assert f"{np.loadtxt(written)[3]:.6f}" in printed.splitlines()[1]


@needs_samples
def test_without_official_numbers_ours_stand_alone(run: Run) -> None:
    status, printed = run(OFFICIAL / "groundTruth", OFFICIAL / "ucm2", "--thresholds", 5)
    assert status == 0
    assert [len(line.split()) for line in printed.splitlines()[1:]] == [2] * 6
