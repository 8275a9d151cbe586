from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from anymask.data.bsds import ground_truth, segmentations, ucm2
from anymask.errors import UserError


def cells(*elements: object) -> np.ndarray:
    array = np.empty((1, len(elements)), dtype=object)
    array[0, :] = elements
    return array


def truth(*boundaries: np.ndarray) -> np.ndarray:
    array = np.empty((1, len(boundaries)), dtype=object)
    for place, drawn in enumerate(boundaries):
        array[0, place] = {"Segmentation": drawn.astype(np.uint16) + 1, "Boundaries": drawn}
    return array


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "2018.mat"


def test_boundaries_of_every_annotator(path: Path) -> None:
    first, second = np.eye(3, 4, dtype=np.uint8), np.zeros((3, 4), dtype=np.uint8)
    savemat(path, {"groundTruth": truth(first, second)}, do_compression=True)
    read = ground_truth(path)
    assert [each.dtype for each in read] == [bool, bool]
    assert (read[0] == np.eye(3, 4)).all()
    assert not read[1].any()


def test_label_maps(path: Path) -> None:
    savemat(path, {"segs": cells(np.eye(3, 4, dtype=np.uint16), np.full((3, 4), 7.0))})
    read = segmentations(path)
    assert [each.tolist() for each in read] == [np.eye(3, 4).tolist(), np.full((3, 4), 7).tolist()]


def test_contours_are_read_at_every_second_place_from_the_third(path: Path) -> None:
    values = np.arange(35).reshape(5, 7) / 100
    savemat(path, {"ucm2": values})
    assert ucm2(path).tolist() == [[0.16, 0.18, 0.20], [0.30, 0.32, 0.34]]


@pytest.mark.parametrize(
    ("content", "reader", "sentence"),
    [
        ({"other": np.eye(3)}, ground_truth, "has no variable groundTruth"),
        ({"groundTruth": np.eye(3)}, ground_truth, "groundTruth is a list"),
        ({"groundTruth": cells(np.eye(3, 4), np.eye(3, 4))}, ground_truth, "has no Boundaries"),
        ({"groundTruth": truth(np.eye(3), np.eye(4))}, ground_truth, r"one size, not \(3, 3\), \(4, 4\)"),
        (
            {"groundTruth": truth(np.zeros((2, 2, 2)))},
            ground_truth,
            r"two dimensions of one size, not float64 \(2, 2, 2\)",
        ),
        ({"segs": cells()}, segmentations, "segs is a list of at least one"),
        ({"ucm2": np.zeros((4, 5))}, ucm2, r"odd sides of at least 3, not float64 and \(4, 5\)"),
        ({"ucm2": np.zeros((1, 1))}, ucm2, "odd sides of at least 3"),
        ({"ucm2": np.zeros((5, 5), dtype=np.uint8)}, ucm2, "fractions"),
        ({"ucm2": "text"}, ucm2, "maps are numbers"),
    ],
)
def test_a_file_of_another_kind_is_refused(
    path: Path, content: dict[str, object], reader: object, sentence: str
) -> None:
    savemat(path, content)
    assert callable(reader)
    with pytest.raises(UserError, match=sentence) as error:
        reader(path)
    assert str(path) in str(error.value)


def test_a_missing_file_is_named(path: Path) -> None:
    with pytest.raises(UserError, match=r"2018\.mat cannot be read"):
        ground_truth(path)


def test_damaged_files_are_refused_or_read_and_nothing_else(path: Path) -> None:
    """Whatever byte is wrong, and wherever a file is cut short."""
    drawn = np.random.default_rng(0).random((20, 30)) < 0.1
    savemat(path, {"groundTruth": truth(drawn, drawn)}, do_compression=True)
    whole, chance, refused = path.read_bytes(), np.random.default_rng(1), []
    for turn in range(150):
        broken = bytearray(whole[: chance.integers(len(whole))] if turn % 2 else whole)
        if broken:
            broken[chance.integers(len(broken))] ^= 1 << chance.integers(8)
        path.write_bytes(broken)
        try:
            assert all(each.dtype == bool for each in ground_truth(path))
        except UserError as error:
            refused.append(str(error))
    assert len(refused) > 100
    assert not any("\n" in sentence for sentence in refused)
