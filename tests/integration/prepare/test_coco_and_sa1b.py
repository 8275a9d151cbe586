"""Pairs in SA-1B's form, COCO's files and the drawn sample, and real data where it is at hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anymask.data.packing import is_held_out
from anymask.data.shards import ShardSet
from anymask.data.stream import read_samples
from anymask.masks import decode
from anymask.structures import Sample

PROJECT = Path(__file__).resolve().parents[3]
REAL = PROJECT / "../shared/data"
needs_real_data = pytest.mark.skipif(not REAL.is_dir(), reason="the real data sets are not at hand (../shared/data)")

Bitmap = np.ndarray[Any, np.dtype[np.bool_]]
Run = Callable[..., str]
Refused = Callable[..., str]
Draw = Callable[..., dict[str, bytes]]
Edit = Callable[[dict[str, Any]], object]


def _samples(folder: Path) -> dict[str, Sample]:
    samples = list(read_samples(ShardSet.open(str(folder))))
    assert all(isinstance(sample, Sample) for sample in samples)
    return {sample.key: sample for sample in samples if isinstance(sample, Sample)}


def _rectangle(x0: int, y0: int, x1: int, y1: int) -> Bitmap:
    bitmap = np.zeros((48, 64), dtype=bool)
    bitmap[y0:y1, x0:x1] = True
    return bitmap


# ---- SA-1B ----


@pytest.fixture
def pairs(tmp_path: Path, draw_record: Draw) -> Path:
    folder = tmp_path / "pairs"
    folder.mkdir()
    for number in range(12):
        for ending, content in draw_record(number, None).items():
            (folder / f"sa_{number}.{ending}").write_bytes(content)
    return folder


def _edit(path: Path, edit: Edit) -> None:
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def test_pairs_are_passed_on_as_they_are(run: Run, pairs: Path, tmp_path: Path, draw_record: Draw) -> None:
    _edit(pairs / "sa_3.json", lambda record: record["image"].update(source="somewhere"))
    printed = run("sa1b", "--images", pairs, "--source", "semi_automatic", "--out", tmp_path / "out")
    (shard,) = ShardSet.open(str(tmp_path / "out")).shards
    samples = _samples(tmp_path / "out")
    assert shard.samples == {"semi_automatic": 12}
    assert printed.strip() == f"{tmp_path / 'out'}: 12 photographs, {sum(len(s.masks) for s in samples.values())} masks"
    assert {sample.source for sample in samples.values()} == {"semi_automatic"}
    bytes_of_shard = Path(shard.url).read_bytes()
    assert all(draw_record(number)["jpg"] in bytes_of_shard for number in range(12))
    assert b'"source": "somewhere"' in bytes_of_shard
    assert samples["sa_7"].mask_ids[:2] == (70, 71)


def test_photographs_are_held_out_by_their_names_alone(run: Run, pairs: Path, tmp_path: Path) -> None:
    run("sa1b", "--images", pairs, "--source", "manual", "--held-out", 0.4, "--out", tmp_path / "first")
    for number in range(5):
        (pairs / f"sa_{number}.jpg").unlink()
        (pairs / f"sa_{number}.json").unlink()
    run("sa1b", "--images", pairs, "--source", "manual", "--held-out", 0.4, "--out", tmp_path / "second")
    splits = ("train", "held_out")
    first, second = ({s: set(_samples(tmp_path / name / s)) for s in splits} for name in ("first", "second"))
    assert first["train"] | first["held_out"] == {f"sa_{n}" for n in range(12)}
    assert not first["train"] & first["held_out"]
    for split in splits:
        assert second[split] == first[split] - {f"sa_{n}" for n in range(5)}


def test_the_share_held_out_is_about_what_was_asked_for() -> None:
    number = 4000
    held_out = sum(is_held_out(f"photograph {n}", 0.1) for n in range(number))
    assert abs(held_out - 400) < 3 * (number * 0.1 * 0.9) ** 0.5
    assert not any(is_held_out(f"sa_{n}", 0.0) for n in range(100))


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (lambda r: r["image"].update(width=63), "sa_3: the photograph is (48, 64) pixels"),
        (lambda r: r["annotations"][1]["segmentation"].update(counts="13"), "sa_3: the runs add up to 4 pixels"),
        (lambda r: r["annotations"][1]["segmentation"].update(counts="1 "), "sa_3: the run-length code b'1 ' is dam"),
        (lambda r: r["annotations"][1]["segmentation"].update(size=[64, 48]), "sa_3: the mask's size (64, 48)"),
        (lambda r: r.pop("image"), "sa_3.json is not an annotation in SA-1B's form: KeyError('image')"),
    ],
)
def test_an_annotation_that_does_not_match_is_refused(refused: Refused, pairs: Path, edit: Edit, sentence: str) -> None:
    _edit(pairs / "sa_3.json", edit)
    assert sentence in refused("sa1b", "--images", pairs, "--source", "manual")


def test_half_a_pair_is_refused(refused: Refused, pairs: Path) -> None:
    (pairs / "sa_4.json").unlink()
    assert refused("sa1b", "--images", pairs, "--source", "manual").endswith("pairs/sa_4.jpg has no annotation")
    (pairs / "sa_4.jpg").rename(pairs / "sa_4.json")
    assert refused("sa1b", "--images", pairs, "--source", "manual").endswith("pairs/sa_4.json has no photograph")


def test_a_truncated_photograph_is_refused(refused: Refused, pairs: Path) -> None:
    (pairs / "sa_5.jpg").write_bytes((pairs / "sa_5.jpg").read_bytes()[:300])
    assert "sa_5: the photograph cannot be decoded" in refused("sa1b", "--images", pairs, "--source", "manual")


def test_what_cannot_be_done_is_refused(refused: Refused, pairs: Path, tmp_path: Path) -> None:
    given = ("sa1b", "--images", pairs, "--source", "manual")
    assert "there is no folder" in refused("sa1b", "--images", tmp_path / "absent", "--source", "manual")
    assert "between 0 and 1, not at 1.5" in refused(*given, "--held-out", 1.5)
    assert "no photograph is left for held_out out of 12" in refused(*given, "--held-out", 1e-9)
    assert "there are 12 photographs, not 380 as expected" in refused(*given, "--expect-images", 380)
    assert "masks, not 1 as expected" in refused(*given, "--expect-masks", 1)
    assert "invalid choice: 'mine'" in refused("sa1b", "--images", pairs, "--source", "mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").touch()
    assert "out is not an empty folder" in refused(*given)


# ---- COCO ----

BOX = [[10.0, 5.0, 30.0, 5.0, 30.0, 25.0, 10.0, 25.0]]
TWO_PARTS = [[2.0, 2.0, 6.0, 2.0, 6.0, 6.0, 2.0, 6.0], [40.0, 30.0, 50.0, 30.0, 50.0, 40.0, 40.0, 40.0]]
RUNS = {"size": [48, 64], "counts": [48 * 10, 48 * 3, 48 * 51]}


@pytest.fixture
def coco(tmp_path: Path, draw_record: Draw) -> Path:
    folder = tmp_path / "coco"
    folder.mkdir()
    images = [{"id": n, "file_name": f"00{n}.jpg", "width": 64, "height": 48} for n in (7, 3, 5)]
    for image in images:
        (folder / str(image["file_name"])).write_bytes(draw_record(image["id"])["jpg"])
    shapes = [(3, BOX, 0), (3, TWO_PARTS, 0), (3, RUNS, 1), (7, RUNS, 0), (7, [[1, 1, 2, 2]], 0), (5, RUNS, 1)]
    annotations = [
        {"id": 100 + n, "image_id": image, "segmentation": shape, "iscrowd": crowd, "category_id": 1}
        for n, (image, shape, crowd) in enumerate(shapes)
    ]
    (folder / "instances.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    return folder


def test_polygons_and_run_lengths_are_packed_and_crowds_are_left_out(run: Run, coco: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    printed = run("coco", "--annotations", coco / "instances.json", "--images", coco, "--out", out, "--expect-masks", 3)
    assert printed.strip() == (
        f"{out}: 2 photographs, 3 masks; left out: 2 crowd regions, 1 empty masks, 1 photographs without masks"
    )
    samples = _samples(out)
    assert {key: sample.mask_ids for key, sample in samples.items()} == {"003": (100, 101), "007": (103,)}
    box, parts = map(decode, samples["003"].masks)
    assert np.array_equal(box, _rectangle(10, 5, 30, 25))
    assert np.array_equal(parts, _rectangle(2, 2, 6, 6) | _rectangle(40, 30, 50, 40))
    assert np.array_equal(decode(samples["007"].masks[0]), _rectangle(10, 0, 13, 48))


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (
            lambda d: d["annotations"][0].update(segmentation=[[1, 2, 3, 4, 5, 6, 7]]),
            "annotation 100: a polygon has an odd",
        ),
        (lambda d: d["annotations"][0].update(segmentation=7), "annotation 100: "),
        (lambda d: d["annotations"][3]["segmentation"].update(size=[9, 9]), "annotation 103: the mask's size (9, 9)"),
        (lambda d: d["annotations"][0].update(image_id=4), "annotates the image 4, which it does not list"),
        (lambda d: d["images"][1].update(width=65, height=47), "annotation 102: the mask's size (48, 64) is not the"),
        (
            lambda d: (d["annotations"].pop(2), d["images"][1].update(width=65, height=47)),
            "003: the photograph is (48, 64) pixels",
        ),
        (lambda d: d["images"][0].update(file_name="009.jpg"), "there is no photograph"),
        (lambda d: d.pop("annotations"), "is not a COCO instances file: Object missing required field `annotations`"),
    ],
)
def test_a_coco_file_that_does_not_match_is_refused(refused: Refused, coco: Path, edit: Edit, sentence: str) -> None:
    _edit(coco / "instances.json", edit)
    assert sentence in refused("coco", "--annotations", coco / "instances.json", "--images", coco)


# ---- the sample ----


def _bytes_of(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_the_sample_is_drawn_twice_to_the_same_bytes(run: Run, tmp_path: Path) -> None:
    for name in ("first", "second"):
        run("sample", "--out", tmp_path / name, "--train", 4, "--held-out", 2, program="make.py")
    first = _bytes_of(tmp_path / "first")
    assert first == _bytes_of(tmp_path / "second")
    assert {name.split("/")[0] for name in first} == {"train", "held_out"}


def test_the_sample_has_masks_within_masks_from_several_sources(run: Run, tmp_path: Path) -> None:
    run("sample", "--out", tmp_path / "out", "--train", 8, "--held-out", 2, program="make.py")
    train, held_out = _samples(tmp_path / "out" / "train"), _samples(tmp_path / "out" / "held_out")
    assert (len(train), len(held_out)) == (8, 2)
    assert len({sample.source for sample in train.values()}) >= 2
    for sample in (*train.values(), *held_out.values()):
        bitmaps = [decode(rle) for rle in sample.masks]
        assert any(not (part & ~whole).any() and part.sum() < whole.sum() for part in bitmaps for whole in bitmaps)
    assert not np.array_equal(next(iter(train.values())).image, next(iter(held_out.values())).image)


# ---- real data ----


@needs_real_data
def test_sa_mini(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "out"
    expected = ("--expect-images", 380, "--expect-masks", 16507)
    printed = run(
        "sa1b", "--images", REAL / "train/sa_mini", "--source", "manual", "--held-out", 0.1, "--out", out, *expected
    )
    assert "(train 347 with 15156 masks, held_out 33 with 1351 masks)" in printed
    assert ShardSet.open(str(out / "held_out")).samples == {"manual": 33}


@needs_real_data
def test_coco_val80(run: Run, tmp_path: Path) -> None:
    folder = REAL / "eval/coco_val80"
    given = ("--annotations", folder / "instances_val80.json", "--images", folder / "images")
    printed = run("coco", *given, "--out", tmp_path / "out", "--expect-images", 80, "--expect-masks", 815 - 11)
    assert printed.strip().endswith("left out: 11 crowd regions")
    areas = {a["id"]: a["area"] for a in json.loads((folder / "instances_val80.json").read_text())["annotations"]}
    samples = _samples(tmp_path / "out").values()
    packed = {number: decode(rle).sum() for s in samples for number, rle in zip(s.mask_ids, s.masks, strict=True)}
    relative = [abs(packed[number] - areas[number]) / areas[number] for number in packed if areas[number] > 1000]
    assert np.median(relative) < 0.02  # of the area of the polygon itself


def test_annotated_boxes_become_detections(run: Run, tmp_path: Path) -> None:
    square = {"size": [4, 4], "counts": [5, 2, 2, 2, 5]}
    entries = [
        {"id": 1, "image_id": 7, "category_id": 3, "segmentation": square, "bbox": [1, 1, 2, 2], "iscrowd": 0},
        {"id": 2, "image_id": 7, "category_id": 3, "segmentation": square, "bbox": [1, 1, 2, 2], "iscrowd": 1},
    ]
    image = {"id": 7, "height": 4, "width": 4, "file_name": "7.jpg"}
    truth = {"images": [image], "annotations": entries, "categories": [{"id": 3, "name": "square"}]}
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    printed = run("coco", "--annotations", tmp_path / "truth.json", "--out", tmp_path / "out.json", program="boxes.py")
    assert "1 boxes" in printed
    assert json.loads((tmp_path / "out.json").read_text()) == [
        {"image_id": 7, "category_id": 3, "bbox": [1.0, 1.0, 2.0, 2.0], "score": 1.0}
    ]
