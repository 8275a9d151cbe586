"""COCO's files as an evaluation's samples: what is read, what is passed over, and how a share of it is taken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anymask.data.samples import CocoSamples, ShardSamples, open_samples
from anymask.drawing import jpeg
from anymask.errors import UserError
from anymask.masks import decode, encode, rle_to_json
from anymask.structures import Sample, Skipped

REAL = Path(__file__).resolve().parents[3] / "../shared/data/eval"
needs_real_data = pytest.mark.skipif(not REAL.is_dir(), reason="the real data sets are not at hand (../shared/data)")


def _entry(number: int, image: int, columns: range, **more: Any) -> dict[str, Any]:
    bitmap = np.zeros((8, 12), dtype=bool)
    bitmap[:, list(columns)] = True
    return {
        "id": number,
        "image_id": image,
        "category_id": 1,
        "segmentation": rle_to_json(encode(bitmap)),
        **more,
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five photographs of 8 x 12 pixels by the file: c has a crowd and an empty mask, d is 9 x 12, e is not there."""
    (tmp_path / "photos").mkdir()
    for number, name in enumerate("abcd"):
        image = np.full((8 + (name == "d"), 12, 3), 40 * number, dtype=np.uint8)
        (tmp_path / "photos" / f"{name}.jpg").write_bytes(jpeg(image))
    content = {
        "images": [
            {"id": 10 - number, "height": 8, "width": 12, "file_name": f"{name}.jpg"}
            for number, name in enumerate("abcde")
        ],
        "categories": [{"id": 1, "name": "stripe"}],
        "annotations": [
            _entry(1, 10, range(3)),
            _entry(2, 8, range(2, 5)),
            _entry(3, 8, range(6), iscrowd=1),
            _entry(4, 8, range(0)),
            _entry(5, 8, range(9, 12)),
        ],
    }
    (tmp_path / "some.json").write_text(json.dumps(content))
    return tmp_path


@pytest.fixture
def samples(folder: Path) -> CocoSamples:
    return CocoSamples.open(folder / "some.json", folder / "photos")


def test_photographs_come_in_the_order_of_the_file_with_their_objects(samples: CocoSamples) -> None:
    a, b, c, *_ = samples.read()
    assert isinstance(a, Sample)
    assert isinstance(b, Sample)
    assert isinstance(c, Sample)
    assert [(sample.key, sample.shard, sample.mask_ids) for sample in (a, b, c)] == [
        ("a", "some.json", (1,)),
        ("b", "some.json", ()),
        ("c", "some.json", (2, 5)),
    ]
    assert np.flatnonzero(decode(c.masks[0]).any(axis=0)).tolist() == [2, 3, 4]
    assert abs(int(c.image[0, 0, 0]) - 80) <= 2
    assert (c.crop, c.ignore) == ((0, 0, 12, 8), (None, None))


def test_what_cannot_be_read_is_skipped_with_a_reason(samples: CocoSamples) -> None:
    _, _, _, d, e = samples.read()
    assert isinstance(d, Skipped)
    assert isinstance(e, Skipped)
    assert (d.shard, d.key) == ("some.json", "d")
    assert "(9, 12)" in d.reason
    assert "(8, 12)" in d.reason
    assert "there is no photograph" in e.reason
    assert len(samples) == 5


@pytest.mark.parametrize("limit", [None, 1, 3, 9])
def test_the_shares_of_several_processes_are_the_whole(samples: CocoSamples, limit: int | None) -> None:
    whole = [sample.key for sample in samples.read(limit=limit)]
    assert len(whole) == min(5, limit or 5)
    shares = [[sample.key for sample in samples.read(limit=limit, rank=rank, world=3)] for rank in range(3)]
    assert sorted(key for share in shares for key in share) == sorted(whole)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_some_are_found_again(samples: CocoSamples) -> None:
    found = samples.find({("some.json", "c"), ("some.json", "d"), ("other.json", "a"), ("some.json", "z")})
    assert list(found) == [("some.json", "c")]
    assert found["some.json", "c"].mask_ids == (2, 5)
    assert {key: image.id for key, image in samples.images_by_key().items()} == dict(
        zip("abcde", (10, 9, 8, 7, 6), strict=True)
    )


def test_the_fingerprint_is_that_of_the_annotations(samples: CocoSamples) -> None:
    before = samples.fingerprint()
    assert len(before) == 12
    content = json.loads(samples.path.read_text())
    content["annotations"][0]["area"] = 7
    samples.path.write_text(json.dumps(content))
    assert samples.fingerprint() != before
    assert samples.name == "some"


def test_two_photographs_of_one_name_are_refused(folder: Path) -> None:
    content = json.loads((folder / "some.json").read_text())
    content["images"][1]["file_name"] = "more/a.png"
    (folder / "some.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"some\.json has two photographs of the same name: 'a'$"):
        CocoSamples.open(folder / "some.json", folder / "photos")


def test_a_json_needs_its_photographs_and_shards_do_not(folder: Path, tiny_shards: Path) -> None:
    opened = open_samples(str(folder / "some.json"), str(folder / "photos"))
    assert isinstance(opened, CocoSamples)
    assert isinstance(open_samples(str(tiny_shards)), ShardSamples)
    for images in (None, str(folder / "nowhere")):
        with pytest.raises(UserError, match=r"some\.json' needs the folder of its photographs"):
            open_samples(str(folder / "some.json"), images)


@needs_real_data
def test_coco_val80() -> None:
    samples = CocoSamples.open(REAL / "coco_val80/instances_val80.json", REAL / "coco_val80/images")
    read = list(samples.read(limit=12))
    assert all(isinstance(sample, Sample) for sample in read)
    assert sum(len(some) for some in samples.truth.annotations.values()) == 815
    crowds = sum(annotation.crowd for some in samples.truth.annotations.values() for annotation in some)
    assert crowds == 11
