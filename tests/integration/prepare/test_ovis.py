"""OVIS: a mask for each frame on which an object is seen, and files that say something else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anymask.masks import decode, encode, rle_to_json
from anymask.structures import Sample

Run = Callable[..., str]
SamplesOf = Callable[[Path], dict[str, Sample]]
Edit = Callable[[dict[str, Any], dict[str, Any]], object]

SIZE = (20, 30)
NAMES = [f"v1/img_{number}.jpg" for number in range(3)]
UNCOMPRESSED = {"size": list(SIZE), "counts": [20 * 2 + 3, *[6, 14] * 9, 6, 20 * 18 + 11]}  # the box, by hand
NONE = {"size": list(SIZE), "counts": [600]}


@pytest.fixture
def box() -> np.ndarray[Any, Any]:
    """Columns 2 to 11, rows 3 to 8."""
    bitmap = np.zeros(SIZE, dtype=bool)
    bitmap[3:9, 2:12] = True
    return bitmap


@pytest.fixture
def site(draw_photograph: Callable[..., bytes], tmp_path: Path) -> Path:
    for number, name in enumerate(NAMES):
        path = tmp_path / "OVIS/train" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(draw_photograph(SIZE, number))
    return tmp_path / "OVIS"


def _annotate(site: Path, videos: list[dict[str, Any]], tracks: list[dict[str, Any]]) -> None:
    (site / "annotations_train.json").write_text(json.dumps({"videos": videos, "annotations": tracks}))


def _video(**other: object) -> dict[str, Any]:
    return {"id": 5, "height": SIZE[0], "width": SIZE[1], "file_names": list(NAMES), **other}


def _track(number: int, *segmentations: object, **other: object) -> dict[str, Any]:
    return {"id": number, "video_id": 5, "segmentations": list(segmentations), **other}


def test_every_frame_on_which_an_object_is_seen_is_a_photograph(
    run: Run, samples_of: SamplesOf, site: Path, box: np.ndarray[Any, Any], tmp_path: Path
) -> None:
    tracks = [_track(1, rle_to_json(encode(box)), None, None), _track(2, UNCOMPRESSED, None, UNCOMPRESSED)]
    _annotate(site, [_video()], tracks)
    printed = run("ovis", "--root", site, "--out", tmp_path / "packed", "--expect-images", 2, "--expect-masks", 3)
    assert "drawn by the hashes" in printed
    samples = samples_of(tmp_path / "packed")
    assert {key: sample.mask_ids for key, sample in samples.items()} == {"v1_img_0": (1, 2), "v1_img_2": (2,)}
    assert all(np.array_equal(decode(mask), box) for sample in samples.values() for mask in sample.masks)


def test_crowds_and_masks_without_a_pixel_are_left_out_and_counted(
    run: Run, samples_of: SamplesOf, site: Path, tmp_path: Path
) -> None:
    crowd = _track(1, UNCOMPRESSED, UNCOMPRESSED, None, iscrowd=1)
    _annotate(site, [_video()], [crowd, _track(2, UNCOMPRESSED, None, NONE)])
    printed = run("ovis", "--root", site, "--out", tmp_path / "packed")
    assert "left out: 2 crowd regions, 1 empty masks, 2 photographs without masks" in printed
    assert {key: sample.mask_ids for key, sample in samples_of(tmp_path / "packed").items()} == {"v1_img_0": (2,)}


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (lambda _, t: t["segmentations"].append(None), "annotation 1 does not fit its video 5"),
        (lambda _, t: t.update(video_id=6), "annotation 1 does not fit its video 6"),
        (lambda _, t: t.update(video_id=6, segmentations=[]), "annotation 1 does not fit its video 6"),
        (lambda _, t: t.update(segmentations=None), "is not a file of annotated videos: Expected `array`, got `null`"),
        (lambda _, t: t["segmentations"].__setitem__(0, {}), "v1/img_0.jpg: not a run-length code"),
        (lambda _, t: t["segmentations"].__setitem__(0, [[1, 2, 3]]), "v1/img_0.jpg: a polygon has an odd number"),
        (lambda v, _: v.update(height=21), "v1/img_0.jpg: the mask's size (20, 30) is not the image's (21, 30)"),
        (lambda v, _: v.update(height=0), "video 5 has the size 0 x 30 (height x width)"),
        (lambda v, _: v.update(height=10**5, width=10**5), "video 5 has the size 100000 x 100000 (height x width)"),
        (lambda v, _: v["file_names"].__setitem__(0, "../x.jpg"), "has a photograph '../x.jpg', which is no file or"),
        (lambda v, _: v["file_names"].__setitem__(0, ""), "has a photograph '', which is no file or leaves the folder"),
        (lambda v, _: v["file_names"].__setitem__(0, NAMES[1]), "two photographs have the name 'v1_img_1'"),
        (lambda v, _: v["file_names"].__setitem__(0, "v1/9.jpg"), "there is no photograph"),
    ],
)
def test_a_file_that_does_not_match_is_refused(refused: Run, site: Path, edit: Edit, sentence: str) -> None:
    video, track = _video(), _track(1, UNCOMPRESSED, UNCOMPRESSED, None)
    edit(video, track)
    _annotate(site, [video], [track])
    assert sentence in refused("ovis", "--root", site)


def test_of_two_with_one_number_neither_is_believed(refused: Run, site: Path) -> None:
    track = _track(1, UNCOMPRESSED, None, None)
    _annotate(site, [_video(), _video(file_names=[])], [track])
    assert "more than one video with the id 5" in refused("ovis", "--root", site)
    _annotate(site, [_video()], [track, track])
    assert "more than one annotation with the id 1" in refused("ovis", "--root", site)
