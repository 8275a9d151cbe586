from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.io import savemat

from anymask.errors import UserError
from anymask.evaluation.edges.maps import Predictions, as_kept, find_map, keep_map, read_map

SOFT = np.array([[0.0, 0.1, 0.5], [0.25, 1.0, 0.9]])


@given(arrays(np.float32, (3, 4), elements=st.floats(0, 1, width=32)), st.sampled_from(["float", "8bit"]))
@settings(max_examples=30)
def test_what_is_kept_is_what_is_read(tmp_path_factory: pytest.TempPathFactory, soft: np.ndarray, keep: str) -> None:
    folder = tmp_path_factory.mktemp("maps") / "not there yet"
    kept = keep_map(folder, "7", soft, keep)  # type: ignore[arg-type]
    file = find_map(folder, "7")
    assert file is not None
    read = read_map(file)
    assert np.array_equal(read, kept)
    assert read.dtype == kept.dtype  # thresholds of 64 bits meet values of the same rounding
    assert abs(kept - soft).max() <= (0 if keep == "float" else 0.5 / 255 + 1e-7)
    assert [path.name for path in folder.iterdir()] == [file.name]


def test_8_bits_are_rounded_and_not_cut_off() -> None:
    levels = np.array([[0.0, 0.4, 0.6, 1.4, 254.6]]) / 255
    assert (as_kept(levels, "8bit") * 255).tolist() == [[0, 0, 1, 1, 255]]


def test_a_map_is_kept_in_the_place_of_another(tmp_path: Path) -> None:
    keep_map(tmp_path, "a.b", SOFT, "float")
    keep_map(tmp_path, "a.b", SOFT / 2, "float")
    assert np.array_equal(read_map(tmp_path / "a.b.npy"), (SOFT / 2).astype(np.float32))
    assert find_map(tmp_path, "a") is None


def write_mat(path: Path, soft: np.ndarray) -> None:
    twice = np.zeros((2 * soft.shape[0] + 1, 2 * soft.shape[1] + 1))
    twice[2::2, 2::2] = soft
    savemat(path, {"ucm2": twice})


def write_several(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, a=SOFT)


def write_header(path: Path, shape: tuple[int, ...]) -> None:
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": shape})


@pytest.mark.parametrize(
    ("name", "write", "step"),
    [
        ("m.npy", lambda path: np.save(path, SOFT), 0),
        ("m.png", lambda path: cv2.imwrite(str(path), np.rint(SOFT * 255).astype(np.uint8)), 1 / 255),
        ("m.png", lambda path: cv2.imwrite(str(path), np.rint(SOFT * 65535).astype(np.uint16)), 1 / 65535),
        ("m.mat", lambda path: write_mat(path, SOFT), 0),
    ],
)
def test_every_form(tmp_path: Path, name: str, write: Callable[[Path], object], step: float) -> None:
    write(tmp_path / name)
    read = read_map(tmp_path / name)
    assert (read.max(), read.min()) == (1, 0)
    assert abs(read - SOFT).max() <= step / 2


@pytest.mark.parametrize(
    ("name", "write", "sentence"),
    [
        ("m.png", lambda path: cv2.imwrite(str(path), np.zeros((2, 3, 3), np.uint8)), "no grey PNG: it has 3 channels"),
        ("m.png", lambda path: cv2.imwrite(str(path), np.zeros((2, 3, 4), np.uint8)), "no grey PNG: it has 4 channels"),
        ("m.png", lambda path: path.write_bytes(b"damaged"), "no grey PNG that can be read"),
        ("m.png", lambda path: path.write_bytes(b""), "no grey PNG that can be read"),
        ("m.png", lambda path: None, "no grey PNG that can be read"),
        ("m.npy", lambda path: None, "cannot be read"),
        ("m.npy", lambda path: np.save(path, np.zeros((2, 3), np.uint8)), r"uint8 \(2, 3\), not fractions"),
        ("m.npy", lambda path: np.save(path, np.zeros((2, 3, 1))), r"float64 \(2, 3, 1\), not fractions in two"),
        ("m.npy", lambda path: np.save(path, np.array([{}])), "cannot be read"),
        ("m.npy", write_several, "cannot be read"),
        ("m.npy", lambda path: write_header(path, (10**7, 10**7)), "cannot be read: Unable to allocate"),
        ("m.npy", lambda path: write_header(path, (10**20, 2)), "cannot be read"),
        ("m.npy", lambda path: write_header(path, (-3, 2)), "cannot be read"),
        ("m.npy", lambda path: np.save(path, SOFT * 255), "values from 0.0 to 255.0: those of an edge map are"),
        ("m.npy", lambda path: np.save(path, SOFT - 0.1), "values from -0.1 to 0.9"),
        ("m.npy", lambda path: np.save(path, SOFT * np.nan), "values from nan to nan"),
        ("m.mat", lambda path: write_mat(path, SOFT * 2), "values from 0.0 to 2.0"),
        ("m.mat", lambda path: savemat(path, {"map": SOFT}), "no variable ucm2"),
    ],
)
def test_a_file_of_another_kind_is_refused(
    tmp_path: Path, name: str, write: Callable[[Path], object], sentence: str
) -> None:
    write(tmp_path / name)
    with pytest.raises(UserError, match=sentence) as refused:
        read_map(tmp_path / name)
    assert str(tmp_path / name) in str(refused.value)


def test_a_folder_of_maps_in_different_forms(tmp_path: Path) -> None:
    np.save(tmp_path / "2.npy", SOFT)
    write_mat(tmp_path / "1.mat", SOFT)
    (tmp_path / "readme.txt").write_text("not looked at")
    opened = Predictions.open(tmp_path, ["1", "2"])
    assert {key: file.name for key, file in opened.files.items()} == {"1": "1.mat", "2": "2.npy"}
    before = opened.fingerprint()
    assert Predictions.open(tmp_path, ["2", "1"]).fingerprint() == before
    np.save(tmp_path / "2.npy", SOFT / 2)
    assert opened.fingerprint() != before


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda folder: (folder / "2.npy").unlink(), "one map for each of 2 images; missing: 2$"),
        (lambda folder: (folder / "2.npy").rename(folder / "2.NPY"), r"missing: 2; of another .* \.mat: 2\.NPY$"),
        (lambda folder: [(folder / "2.npy").rename(folder / "2.jpg"), (folder / "1.txt").touch()], r"\.mat: 2\.jpg$"),
        (lambda folder: np.save(folder / "3.npy", SOFT), "without an image: 3$"),
        (lambda folder: (folder / "1.npy").rename(folder / "0.npy"), "missing: 1; without an image: 0$"),
        (lambda folder: np.save(folder / "1.npy", SOFT * 3), "1.npy has values from 0.0 to 3.0"),
        (lambda folder: write_mat(folder / "1.mat", SOFT), "has more than one map of 1$"),
    ],
)
def test_a_folder_that_does_not_fit_is_refused_before_the_work(
    tmp_path: Path, spoil: Callable[[Path], object], sentence: str
) -> None:
    for name in "12":
        np.save(tmp_path / f"{name}.npy", SOFT)
    spoil(tmp_path)
    with pytest.raises(UserError, match=sentence):
        Predictions.open(tmp_path, ["1", "2"])


def test_there_must_be_a_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no folder"):
        Predictions.open(tmp_path / "nowhere", ["1"])
