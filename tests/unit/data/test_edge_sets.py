from __future__ import annotations

import json
import os
import runpy
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from scipy.io import savemat

from anymask.data.edge_sets import BsdsFolder, EdgeImage, EdgeShards, open_edge_set, parse_boundaries
from anymask.data.records import BadSample, RawSample
from anymask.data.shard_writer import ShardWriter
from anymask.drawing import jpeg
from anymask.errors import UserError
from anymask.structures import Skipped

PROJECT = Path(__file__).resolve().parents[3]
REAL = PROJECT / "../shared/data/eval/bsds500_test"
SIZE = (6, 8)

Bitmap = np.ndarray[Any, np.dtype[np.bool_]]
Pack = Callable[..., str]


def drawn(number: int) -> list[Bitmap]:
    """Two annotators: a row and a column, at places of the image's own."""
    first, second = np.zeros(SIZE, dtype=bool), np.zeros(SIZE, dtype=bool)
    first[number], second[:, number] = True, True
    return [first, second]


def write_truth(path: Path, boundaries: list[Bitmap]) -> None:
    cells = np.empty((1, len(boundaries)), dtype=object)
    for place, boundary in enumerate(boundaries):
        cells[0, place] = {"Boundaries": boundary.astype(np.uint8)}
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {"groundTruth": cells})


def write_set(images: Path, truths: Path, names: list[str]) -> None:
    images.mkdir(parents=True)
    for number, name in enumerate(names):
        photograph = np.full((*SIZE, 3), (40 * number, 50, 200), dtype=np.uint8)
        cv2.imwrite(str(images / name), photograph[:, :, ::-1])
        write_truth(truths / f"{Path(name).stem}.mat", drawn(number))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three images in the plainest layout."""
    write_set(tmp_path / "set/images", tmp_path / "set/groundTruth", ["b.png", "a.png", "c.jpg"])
    return tmp_path / "set"


@pytest.fixture
def pack(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Pack:
    """``pack("--out", …)``: what the program printed, or the sentence that it ended with."""

    def run(*arguments: object) -> str:
        monkeypatch.setattr(sys, "argv", ["prepare.py", *map(str, arguments)])
        with suppress(SystemExit):
            runpy.run_path(str(PROJECT / "data/bsds/prepare.py"), run_name="__main__")
        out, errors = capsys.readouterr()
        return out or errors.splitlines()[-1]

    return run


def same(first: EdgeImage | Skipped, second: EdgeImage | Skipped) -> bool:
    """But for where they lie."""
    assert isinstance(first, EdgeImage)
    assert isinstance(second, EdgeImage)
    return (
        first.key == second.key
        and np.array_equal(first.image, second.image)
        and np.array_equal(first.boundaries, second.boundaries)
    )


@pytest.mark.parametrize(
    ("images", "truths", "name"),
    [
        ("images", "groundTruth", "BSDS500"),
        ("images/test", "groundTruth/test", "BSDS500 test"),
        ("data/images", "data/groundTruth", "BSDS500"),
        ("data/images/test", "data/groundTruth/test", "BSDS500 test"),
    ],
)
def test_every_layout(tmp_path: Path, images: str, truths: str, name: str) -> None:
    root = tmp_path / "BSDS500"
    write_set(root / images, root / truths, ["7.jpg", "10.png"])
    (root / images / "Thumbs.db").write_bytes(b"comes with the data set")
    some = open_edge_set(str(root))
    assert (some.name, len(some), some.keys) == (name, 2, ("10", "7"))
    first, _ = some.read()
    assert isinstance(first, EdgeImage)
    assert first.image[0, 0].tolist() == [40, 50, 200]  # RGB of the second that was written
    assert np.array_equal(first.boundaries, drawn(1))


def test_the_test_split_is_taken_where_there_are_several(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write_set(tmp_path / "images" / split, tmp_path / "groundTruth" / split, [f"of_{split}.png"])
    assert open_edge_set(str(tmp_path)).keys == ("of_test",)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda folder: (folder / "images/a.png").unlink(), "groundTruth/a.mat has no photograph"),
        (lambda folder: (folder / "groundTruth/c.mat").unlink(), "images/c.jpg has no annotation"),
        (lambda folder: (folder / "images/a.png").rename(folder / "images/b.jpg"), "share one name: b"),
        (lambda folder: [file.unlink() for file in (folder / "images").iterdir()], "no .jpg or .jpeg or .png file"),
    ],
)
def test_files_that_stand_alone_are_refused(folder: Path, spoil: Callable[[Path], object], sentence: str) -> None:
    spoil(folder)
    with pytest.raises(UserError, match=sentence):
        open_edge_set(str(folder))


def test_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    with pytest.raises(UserError, match=r"holds neither BSDS500's folders images and groundTruth nor shards"):
        open_edge_set(str(tmp_path))
    with pytest.raises(UserError, match="there is no shard at nowhere"):
        open_edge_set("nowhere")
    with pytest.raises(UserError, match=r"edges takes a folder in BSDS500's layout, or shards, as data: some.json is"):
        open_edge_set("some.json")


@pytest.mark.skipif(sys.platform != "linux", reason="this system's names of files are always Unicode")
@pytest.mark.parametrize("name", ["images/a.png", "groundTruth/a.mat"])
def test_a_name_that_is_not_utf_8_is_refused(folder: Path, name: str) -> None:
    file = folder / name
    file.rename(file.with_name(os.fsdecode(b"\xe4" + file.suffix.encode())))
    with pytest.raises(UserError, match=r"a file's name is not UTF-8: '.*\\udce4") as refused:
        open_edge_set(str(folder))
    assert str(refused.value).isascii()


def test_an_image_that_cannot_be_used_is_skipped(folder: Path) -> None:
    (folder / "images/a.png").write_bytes(b"no photograph")
    (folder / "groundTruth/b.mat").write_bytes(b"no truth")
    write_truth(folder / "groundTruth/c.mat", [np.eye(4, dtype=bool)])
    skipped = list(open_edge_set(str(folder)).read())
    assert all(isinstance(one, Skipped) and one.shard == "images" for one in skipped)
    reasons = [one.reason for one in skipped if isinstance(one, Skipped)]
    assert "cannot be decoded" in reasons[0]
    assert "cannot be read as a MATLAB file" in reasons[1]
    assert "(6, 8) pixels (height, width), the boundaries are [(4, 4)]" in reasons[2]


def test_processes_share_the_images_and_a_limit_holds_for_all_of_them(folder: Path, pack: Pack, tmp_path: Path) -> None:
    pack("--bsds", folder, "--out", tmp_path / "shards")
    for data in (folder, tmp_path / "shards"):
        some = open_edge_set(str(data))
        keys = [
            [one.key for one in some.read(limit=limit, rank=rank, world=2)] for limit in (None, 2) for rank in (0, 1)
        ]
        assert keys == [["a", "c"], ["b"], ["a"], ["b"]]


def test_what_changes_the_fingerprint(folder: Path) -> None:
    before = open_edge_set(str(folder)).fingerprint()
    assert open_edge_set(str(folder)).fingerprint() == before
    write_truth(folder / "groundTruth/a.mat", drawn(3))
    after = open_edge_set(str(folder)).fingerprint()
    assert after != before
    cv2.imwrite(str(folder / "images/a.png"), np.zeros((*SIZE, 3), np.uint8))
    assert open_edge_set(str(folder)).fingerprint() not in (before, after)


def test_images_are_found_again(folder: Path, pack: Pack, tmp_path: Path) -> None:
    pack("--bsds", folder, "--out", tmp_path / "shards")
    for data in (folder, tmp_path / "shards"):
        some = open_edge_set(str(data))
        read = {(Path(one.shard).name, one.key): one for one in some.read()}
        wanted = {name for name in read if name[1] in "ac"}
        found = some.find(wanted | {("elsewhere", "b")})
        assert found.keys() == wanted
        assert all(same(found[name], read[name]) for name in found)


def test_shards_hold_what_the_folder_holds(folder: Path, pack: Pack, tmp_path: Path) -> None:
    printed = pack("--bsds", folder, "--out", tmp_path / "packed/shards", "--expect-images", 3, "--expect-masks", 6)
    assert printed.endswith("3 photographs, 6 annotators\n")
    shards, folders = open_edge_set(str(tmp_path / "packed/shards")), open_edge_set(str(folder))
    assert isinstance(shards, EdgeShards)
    assert (shards.name, shards.keys, len(shards)) == ("packed", folders.keys, 3)
    assert all(same(*both) for both in zip(shards.read(), folders.read(), strict=True))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--expect-images", 4), "there are 3 photographs, not 4 as expected"),
        (("--expect-masks", 5), "there are 6 boundaries, not 5 as expected"),
    ],
)
def test_nothing_is_left_of_a_packing_that_failed(
    folder: Path, pack: Pack, tmp_path: Path, arguments: tuple[object, ...], sentence: str
) -> None:
    before = set(tmp_path.rglob("*"))
    assert pack("--bsds", folder, "--out", tmp_path / "out", *arguments) == sentence
    write_truth(folder / "groundTruth/b.mat", [np.eye(4, dtype=bool)])
    assert "b.png: the photograph is (6, 8) pixels" in pack("--bsds", folder, "--out", tmp_path / "out")
    assert set(tmp_path.rglob("*")) == before
    assert "is not an empty folder" in pack("--bsds", folder, "--out", folder)


def record(**changes: Any) -> dict[str, bytes]:
    content = {"image": {"width": 8, "height": 6}, "boundaries": [{"size": [6, 8], "counts": [5, 1, 42]}]} | changes
    return {"jpg": jpeg(np.zeros((*SIZE, 3), dtype=np.uint8)), "json": json.dumps(content).encode()}


def test_a_record_of_a_shard() -> None:
    image = parse_boundaries(RawSample("s.tar", "k", record()))
    assert (image.shard, image.key) == ("s.tar", "k")
    assert np.argwhere(image.boundaries[0]).tolist() == [[5, 0]]  # runs go down the columns


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"jpg": b""}, "no annotation"),
        ({"json": b"{}"}, "no photograph"),
        (record() | {"json": b"{"}, "the annotation is broken"),
        (record() | {"json": b"[" * 10**5}, "nested too deeply|broken"),
        (record() | {"jpg": b"x"}, "cannot be decoded"),
        (record(boundaries=[]), "no annotator"),
        (record(boundaries=None), "broken"),
        (record(boundaries=[{"size": [6, 8], "counts": "damaged"}]), "run-length code"),
        (record(boundaries=[{"size": [6, 9], "counts": [54]}]), "size"),
        (record(image={"width": 6, "height": 8}, boundaries=[{"size": [8, 6], "counts": [48]}]), r"\(6, 8\) pixels"),
    ],
)
def test_a_broken_record_is_skipped_with_its_reason(files: dict[str, bytes], reason: str, tmp_path: Path) -> None:
    with pytest.raises(BadSample, match=reason):
        parse_boundaries(RawSample("s.tar", "k", files))
    with ShardWriter(tmp_path / "shards") as writer:
        writer.write("k", files, source="manual")
        writer.write("good", record(), source="manual")
    bad, good = open_edge_set(str(tmp_path / "shards")).read()
    assert isinstance(bad, Skipped)
    assert isinstance(good, EdgeImage)


@pytest.mark.parametrize(("keys", "sentence"), [("aa", "two records of the name 'a'"), (["b", "a/b"], "'a/b', which")])
def test_a_key_must_be_fit_for_a_file(tmp_path: Path, keys: str, sentence: str) -> None:
    with ShardWriter(tmp_path / "shards", samples_per_shard=1) as writer:
        for key in keys:
            writer.write(key, record(), source="manual")
    with pytest.raises(UserError, match=sentence):
        open_edge_set(str(tmp_path / "shards"))


def test_a_damaged_shard_is_read_as_far_as_it_goes(folder: Path, pack: Pack, tmp_path: Path) -> None:
    pack("--bsds", folder, "--out", tmp_path / "shards")
    shard = next((tmp_path / "shards").glob("*.tar"))
    whole = shard.read_bytes()
    shard.write_bytes(whole[: len(whole) // 2])
    some = open_edge_set(str(tmp_path / "shards"))
    read = list(some.read())
    assert isinstance(read[0], EdgeImage)
    assert isinstance(read[-1], Skipped)
    assert read[-1].reason == "the shard ends early"
    assert some.find({(shard.name, "a")}).keys() == {(shard.name, "a")}


@pytest.mark.skipif(not REAL.is_dir(), reason="BSDS500 is not at hand (../shared/data)")
def test_the_test_images_of_bsds500() -> None:
    some = open_edge_set(str(REAL))
    assert isinstance(some, BsdsFolder)
    images = list(some.read())
    assert (some.name, len(some), len(images)) == ("bsds500_test", 200, 200)
    annotators = [len(image.boundaries) for image in images if isinstance(image, EdgeImage)]
    assert [annotators.count(number) for number in range(4, 9)] == [1, 145, 47, 4, 3]
    assert {image.image.shape for image in images if isinstance(image, EdgeImage)} == {(321, 481, 3), (481, 321, 3)}
