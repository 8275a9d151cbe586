"""Data sets with polygons in JSON files, on folders laid out as their sites do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from anymask.masks import decode
from anymask.structures import Sample

Run = Callable[..., str]
SamplesOf = Callable[[Path], dict[str, Sample]]
Photograph = Callable[..., bytes]

SIZE = (40, 60)
SQUARE = [[10, 5], [30, 5], [30, 25], [10, 25]]  # 20 x 20 pixels
SMALL = [[40, 30], [50, 30], [50, 36], [40, 36]]  # 10 x 6


def _write(path: Path, content: bytes | dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())


def _filled(*boxes: tuple[int, int, int, int]) -> np.ndarray[Any, Any]:
    bitmap = np.zeros(SIZE, dtype=bool)
    for x0, y0, x1, y1 in boxes:
        bitmap[y0:y1, x0:x1] = True
    return bitmap


def _png(jpeg: bytes) -> bytes:
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    return cv2.imencode(".png", picture)[1].tobytes()


# ---- NDD20 ----


def _via(file: str, *polygons: list[list[int]], **shape: object) -> dict[str, Any]:
    regions = [
        {
            "shape_attributes": {
                "name": "polygon",
                "all_points_x": [x for x, _ in polygon],
                "all_points_y": [y for _, y in polygon],
                **shape,
            },
            "region_attributes": {"species": "WBD"},
        }
        for polygon in polygons
    ]
    return {f"{file}123": {"filename": file, "size": 123, "regions": regions, "file_attributes": {}}}


@pytest.fixture
def dolphins(tmp_path: Path, draw_photograph: Photograph) -> Path:
    root = tmp_path / "NDD20"
    for place in ("ABOVE", "BELOW"):
        _write(root / place / "1.jpg", draw_photograph(SIZE))
    _write(root / "ABOVE_LABELS.json", _via("1.jpg", SQUARE, SMALL))
    below = _via("1.jpg", SQUARE)
    entry = below["1.jpg123"]
    entry["regions"] = {"0": entry["regions"][0]}  # as an older version of the annotator writes it
    _write(root / "BELOW_LABELS.json", below)
    return root


def test_ndd20_has_one_mask_for_each_region(run: Run, samples_of: SamplesOf, dolphins: Path, tmp_path: Path) -> None:
    run("ndd20", "--root", dolphins, "--out", tmp_path / "out", "--expect-images", 2, "--expect-masks", 3)
    samples = samples_of(tmp_path / "out")
    assert sorted(samples) == ["ABOVE_1", "BELOW_1"]
    masks = [decode(mask) for mask in samples["ABOVE_1"].masks]
    assert all(map(np.array_equal, masks, [_filled((10, 5, 30, 25)), _filled((40, 30, 50, 36))]))


def test_what_is_wrong_in_ndd20_is_told(refused: Run, dolphins: Path) -> None:
    def told(content: bytes | dict[str, Any]) -> str:
        _write(dolphins / "ABOVE_LABELS.json", content)
        return refused("ndd20", "--root", dolphins)

    assert "ABOVE_LABELS.json is not a file of the VGG image annotator" in told(b'{"1.jpg": {"filename":')
    assert "has 3 x and 4 y of its corners" in told(_via("1.jpg", SQUARE, all_points_x=[1, 2, 3]))
    assert "has a corner at 90, far outside the photograph" in told(_via("1.jpg", [[90, 5], [1, 1], [9, 9]]))
    assert "has a photograph '../../../etc/passwd', which leaves" in told(_via("../../../etc/passwd", SQUARE))


# ---- VISOR ----


def test_visor_takes_the_polygons_of_an_annotation_as_one_object(
    run: Run, refused: Run, samples_of: SamplesOf, draw_photograph: Photograph, tmp_path: Path
) -> None:
    root, name = tmp_path / "visor", "P01_107_frame_0000000123.jpg"
    _write(root / "rgb_frames/val/P01/P01_107" / name, draw_photograph(SIZE))
    hand = {"name": "left hand", "segments": [SQUARE, SMALL]}
    knife = {"name": "knife", "segments": [[], SMALL]}  # an empty polygon, as some objects of the site have
    spoon = {"name": "spoon", "segments": []}
    video = {
        "info": {},
        "video_annotations": [{"image": {"name": name, "video": "P01_107"}, "annotations": [hand, knife, spoon]}],
    }
    _write(root / "annotations/val/P01_107.json", video)
    assert "left out: 1 empty masks" in run("visor", "--root", root, "--out", tmp_path / "packed")
    (sample,) = samples_of(tmp_path / "packed").values()
    assert sample.key == "P01_107_frame_0000000123"
    expected = [_filled((10, 5, 30, 25), (40, 30, 50, 36)), _filled((40, 30, 50, 36))]
    assert all(map(np.array_equal, map(decode, sample.masks), expected))
    (root / "rgb_frames/val/P01/P01_107" / name).unlink()
    assert f"annotates {name!r}, of which there is no photograph" in refused("visor", "--root", root)


# ---- WoodScape ----


def test_woodscape_has_a_polygon_for_each_object(
    run: Run, refused: Run, samples_of: SamplesOf, draw_photograph: Photograph, tmp_path: Path
) -> None:
    root = tmp_path / "WoodScape"
    _write(root / "rgb_images/00000_FV.png", _png(draw_photograph(SIZE)))
    objects = [
        {"id": "a", "tags": ["car"], "z_order": 1, "states": {}, "segmentation": SQUARE},
        {"id": "b", "tags": ["lane_marking"], "z_order": 2, "states": {}, "segmentation": SMALL[:2]},
    ]
    size = {"image_height": SIZE[0], "image_width": SIZE[1]}
    _write(root / "instance_annotations/00000_FV.json", {"00000_FV.json": {"annotation": objects, **size}})
    printed = run("woodscape", "--root", root, "--out", tmp_path / "packed")
    assert "1 photographs, 1 masks; left out: 1 empty masks" in printed
    (sample,) = samples_of(tmp_path / "packed").values()
    assert np.array_equal(decode(sample.masks[0]), _filled((10, 5, 30, 25)))
    for wrong, sentence in (
        ({"a": {"annotation": objects, **size}, "b": {"annotation": [], **size}}, "is not an annotation of WoodScape"),
        ({"a": {"annotation": [{"tags": ["car"]}], **size}}, "is not an annotation of WoodScape"),
        ({"a": {"annotation": objects, "image_height": 966, "image_width": 1280}}, "is of (966, 1280) pixels"),
        ({"a": {"annotation": [{"segmentation": [[90, 5], [1, 1], [9, 9]]}], **size}}, "has the corner [90.0, 5.0]"),
    ):
        _write(root / "instance_annotations/00000_FV.json", wrong)
        assert sentence in refused("woodscape", "--root", root)
