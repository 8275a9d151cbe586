from __future__ import annotations

import json
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from jaxtyping import UInt8

import anymask
from anymask.errors import UserError
from anymask.inference import generator as module
from anymask.inference.candidates import Measured
from anymask.inference.generator import MaskGenerator, MaskRecord
from anymask.masks import rle_from_json
from anymask.models.sam import Sam
from tests.parity.lively import lively

HEIGHT, WIDTH = 90, 150


@pytest.fixture(scope="module")
def sam() -> Sam:
    return lively()


def photograph(height: int = HEIGHT, width: int = WIDTH, seed: int = 0) -> UInt8[np.ndarray, "h w 3"]:
    colours = np.random.default_rng(seed).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    return cv2.resize(colours, (width, height), interpolation=cv2.INTER_NEAREST)


def masks_of(sam: Sam, **options: Any) -> list[MaskRecord]:
    return MaskGenerator(sam, **({"points_per_side": 8} | options)).generate(photograph())


def iou(a: MaskRecord, b: MaskRecord) -> float:
    (ax, ay, aw, ah), (bx, by, bw, bh) = a.bbox, b.bbox
    shared = max(0, min(ax + aw, bx + bw) - max(ax, bx)) * max(0, min(ay + ah, by + bh) - max(ay, by))
    return shared / max(aw * ah + bw * bh - shared, 1)


def test_a_record_says_what_its_mask_is(sam: Sam) -> None:
    records = masks_of(sam)
    assert len(records) >= 10
    for record in records:
        bitmap = record.bitmap()
        rows, columns = np.nonzero(bitmap)
        assert bitmap.shape == (HEIGHT, WIDTH)
        assert record.area == bitmap.sum()
        x, y, width, height = record.bbox
        assert (x, y, x + width, y + height) == (columns.min(), rows.min(), columns.max(), rows.max())
        assert record.crop_box == (0, 0, WIDTH, HEIGHT)
        [(point_x, point_y)] = record.point_coords
        assert (point_x / WIDTH * 16) % 2 == pytest.approx(1)  # the centre of one of eight cells
        assert (point_y / HEIGHT * 16) % 2 == pytest.approx(1)


def test_a_record_goes_to_json_under_the_official_names(sam: Sam) -> None:
    record = masks_of(sam)[0]
    read = json.loads(json.dumps(record.to_json(), allow_nan=False))
    assert rle_from_json(read.pop("segmentation"), (HEIGHT, WIDTH)) == record.segmentation
    assert read == {
        "area": record.area,
        "bbox": list(record.bbox),
        "predicted_iou": record.predicted_iou,
        "point_coords": [list(record.point_coords[0])],
        "stability_score": record.stability_score,
        "crop_box": [0, 0, WIDTH, HEIGHT],
    }


def test_the_best_come_first_and_no_two_are_doubles(sam: Sam) -> None:
    records = masks_of(sam, box_nms_thresh=0.4)
    ious = [record.predicted_iou for record in records]
    assert ious == sorted(ious, reverse=True)
    assert max(iou(a, b) for number, a in enumerate(records) for b in records[:number]) <= 0.4
    assert len(records) < len(masks_of(sam, box_nms_thresh=0.9))


def test_filters_let_through_what_is_above_their_thresholds(sam: Sam) -> None:
    loose: dict[str, float] = {"pred_iou_thresh": 0.0, "stability_score_thresh": 0.0, "box_nms_thresh": 1.0}
    everything = masks_of(sam, **loose)
    assert len(everything) == 3 * 64
    for name, of_record, threshold in [
        ("pred_iou_thresh", "predicted_iou", 0.9),
        ("stability_score_thresh", "stability_score", 0.9),
    ]:
        passing = [record for record in everything if getattr(record, of_record) > threshold]
        assert 20 < len(passing) < 150
        assert masks_of(sam, **(loose | {name: threshold})) == passing
    assert masks_of(sam, **loose | {"pred_iou_thresh": -1.0, "stability_score_thresh": -1.0}) == everything


def test_empty_masks_have_a_stability_of_0(sam: Sam) -> None:
    records = masks_of(sam, pred_iou_thresh=0.0, stability_score_thresh=0.0)
    empty = [record for record in records if record.area == 0]
    assert len(empty) >= 5
    assert {record.bbox for record in empty} == {(0, 0, 0, 0)}
    assert min(record.stability_score for record in empty) == 0
    assert not any(np.isnan(record.stability_score) for record in records)


def test_several_photographs_are_as_one_by_one(sam: Sam) -> None:
    images = [photograph(), photograph(140, 60, seed=1), photograph(128, 128, seed=2)]
    generator = MaskGenerator(sam, points_per_side=6, crop_n_layers=1)
    together = generator.generate_many(images)
    assert [len(records) > 3 for records in together] == [True] * 3
    for image, records in zip(images, together, strict=True):
        alone = generator.generate(image)
        assert [record.segmentation for record in records] == [record.segmentation for record in alone]
        assert [r.predicted_iou for r in records] == pytest.approx([r.predicted_iou for r in alone], abs=1e-4)
    assert generator.generate_many([]) == []


def test_masks_of_crops_lie_in_their_crops_and_small_crops_come_first(sam: Sam) -> None:
    records = masks_of(sam, crop_n_layers=1, stability_score_thresh=0.9)
    areas = [record.crop_box[2] * record.crop_box[3] for record in records]
    assert len({record.crop_box for record in records}) >= 3
    assert areas == sorted(areas)
    assert max(iou(a, b) for number, a in enumerate(records) for b in records[:number]) <= 0.7
    for record in records:
        x, y, width, height = record.crop_box
        outside = record.bitmap().copy()
        outside[y : y + height, x : x + width] = False
        assert not outside.any()


def test_masks_cut_off_by_a_crop_are_left_out(sam: Sam) -> None:
    for record in masks_of(sam, crop_n_layers=1, stability_score_thresh=0.5, box_nms_thresh=1.0, crop_nms_thresh=1.0):
        for axis, size in ((0, WIDTH), (1, HEIGHT)):
            start, end = (record.crop_box[axis], record.crop_box[axis] + record.crop_box[axis + 2])
            low, high = record.bbox[axis], record.bbox[axis] + record.bbox[axis + 2]
            assert low > start + 20 or low <= 20 or start <= 20
            assert high < end - 20 or high >= size - 20 or end >= size - 20


def test_small_regions_are_removed(sam: Sam) -> None:
    found: dict[str, list[int]] = {}
    for name, options in {"before": {}, "after": {"min_mask_region_area": 150}}.items():
        records = masks_of(sam, stability_score_thresh=0.5, box_nms_thresh=0.9, **options)
        found[name] = []
        for record in records:
            _, _, table, _ = cv2.connectedComponentsWithStats(record.bitmap().astype(np.uint8), connectivity=8)
            found[name] += [int(area) for area in table[1:, cv2.CC_STAT_AREA] if area < 150 and len(table) > 2]
            assert record.area == record.bitmap().sum()
            rows, columns = np.nonzero(record.bitmap())
            assert record.bbox[0] == columns.min()
            assert record.bbox[1] + record.bbox[3] == rows.max()
    assert len(found["before"]) >= 5
    assert found["after"] == []


def test_coarse_logits_are_those_of_the_masks(sam: Sam) -> None:
    generator = MaskGenerator(sam, points_per_side=8, crop_n_layers=1, stability_score_thresh=0.8)
    records = iter(generator.generate(photograph()))
    [crops] = generator.candidates([photograph()])
    assert len(crops) == 5
    for candidates in crops:
        for values, (row, column) in candidates.image_logits(margin=3):
            bitmap = next(records).bitmap()
            part = bitmap[row : row + values.shape[0], column : column + values.shape[1]]
            assert np.array_equal(values > 0, part)
            assert part.sum() == bitmap.sum()
    assert next(records, None) is None


def best_and_worst(measured: Measured) -> np.ndarray[Any, np.dtype[np.intp]]:
    """Not in order, and two of one point among them."""
    order = np.argsort(measured.stability, kind="stable")
    return np.concatenate([order[-9:], order[:4]])


@pytest.mark.parametrize("options", [{}, {"pred_iou_thresh": 0.0, "stability_score_thresh": 0.0}, {"crop_n_layers": 1}])
def test_masks_that_were_not_held_are_worked_out_again(
    sam: Sam, monkeypatch: pytest.MonkeyPatch, options: dict[str, float]
) -> None:
    generator = MaskGenerator(sam, points_per_side=8, points_per_batch=5, **options)  # type: ignore[arg-type]
    [held] = generator.candidates([photograph()], best_and_worst)
    monkeypatch.setattr(module, "HELD_BYTES", 40 * 64 * 64 * 4)
    [again] = generator.candidates([photograph()], best_and_worst)
    for one, other in zip(held, again, strict=True):
        assert one.origins.tolist() == other.origins.tolist()
        assert one.boxes.tolist() == other.boxes.tolist()
        torch.testing.assert_close(one.logits, other.logits, rtol=1e-4, atol=1e-3)
        assert one.encode((HEIGHT, WIDTH)) == other.encode((HEIGHT, WIDTH))
    assert sum(map(len, held)) >= 8


def test_few_logits_are_held_and_only_chosen_ones_worked_out_again(sam: Sam, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[int] = []
    logits = type(sam.mask_decoder).logits

    def counting(self: Any, tokens: torch.Tensor, *others: Any) -> torch.Tensor:
        decoded.append(len(tokens))
        return logits(self, tokens, *others)

    monkeypatch.setattr(type(sam.mask_decoder), "logits", counting)
    loose: dict[str, float] = {"pred_iou_thresh": 0.0, "stability_score_thresh": 0.0, "box_nms_thresh": 1.0}
    generator = MaskGenerator(sam, points_per_side=8, **loose)  # type: ignore[arg-type]
    generator.candidates([photograph()], lambda measured: np.arange(5))
    assert sum(decoded) == 64
    decoded.clear()
    monkeypatch.setattr(module, "HELD_BYTES", 0)
    [[chosen]] = generator.candidates([photograph()], lambda measured: np.arange(5))
    assert sum(decoded) == 64 + len(set(chosen.origins[:, 0].tolist()))
    assert len(chosen) == 5


def test_those_that_are_chosen_come_in_the_order_asked_for(sam: Sam) -> None:
    generator = MaskGenerator(sam, points_per_side=8, stability_score_thresh=0.5)
    [[everything]] = generator.candidates([photograph()])
    [[chosen]] = generator.candidates([photograph()], best_and_worst)
    rows = best_and_worst(everything)
    assert chosen.ious.tolist() == everything.ious[rows].tolist()
    assert torch.equal(chosen.logits, everything.logits[torch.from_numpy(rows)])


def test_one_mask_for_each_point_is_the_models_single_one(sam: Sam) -> None:
    loose: dict[str, float] = {"pred_iou_thresh": 0.0, "stability_score_thresh": 0.0, "box_nms_thresh": 1.0}
    records = masks_of(sam, multimask=False, **loose)
    predictor = anymask.Predictor(sam)
    predictor.set_image(photograph())
    assert len(records) == 64
    for record in records[::9]:
        alone = predictor.predict(points=[[record.point_coords[0]]], labels=[[1]], multimask=False)
        assert record.predicted_iou == pytest.approx(float(alone.ious[0, 0]), abs=1e-4)
        assert (record.bitmap() != np.asarray(alone.masks[0, 0])).mean() < 1e-3


def test_own_points_are_taken_layer_by_layer(sam: Sam) -> None:
    grids = [np.array([[0.5, 0.5]]), np.array([[0.25, 0.75], [0.5, 0.1]])]
    generator = MaskGenerator(
        sam,
        points_per_side=None,
        point_grids=grids,
        crop_n_layers=1,
        pred_iou_thresh=0.0,
        stability_score_thresh=0.0,
        box_nms_thresh=1.0,
        crop_nms_thresh=1.0,
    )
    for record in generator.generate(photograph()):
        (x, y, width, height), [(point_x, point_y)] = record.crop_box, record.point_coords
        place = [(point_x - x) / width, (point_y - y) / height]
        assert any(np.allclose(place, point) for point in grids[0 if width == WIDTH else 1])


def test_a_photograph_without_masks_has_none(sam: Sam) -> None:
    assert masks_of(sam, pred_iou_thresh=50.0, crop_n_layers=1, min_mask_region_area=5) == []


@pytest.mark.parametrize("size", [(1, 1), (2, 300), (300, 1)])
def test_thin_photographs(sam: Sam, size: tuple[int, int]) -> None:
    options: dict[str, float] = {"pred_iou_thresh": 0.0, "stability_score_thresh": 0.0}
    records = MaskGenerator(sam, points_per_side=3, **options).generate(photograph(*size))  # type: ignore[arg-type]
    assert records
    assert all(record.bitmap().shape == size for record in records)


def test_the_model_is_put_into_evaluation_and_no_gradient_is_kept(sam: Sam) -> None:
    generator = MaskGenerator(sam.train(), points_per_side=2, pred_iou_thresh=0.0, stability_score_thresh=0.0)
    assert not sam.training
    [[candidates]] = generator.candidates([photograph()])
    assert not candidates.logits.requires_grad
    assert candidates.logits.dtype == torch.float32


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"points_per_side": 0}, "points_per_side 0"),
        ({"points_per_side": None}, "either points_per_side or"),
        ({"point_grids": [np.zeros((1, 2))]}, "either points_per_side or"),
        (
            {"points_per_side": None, "point_grids": [np.zeros((1, 2))], "crop_n_layers": 2},
            "2 layers of crops need 3 point_grids",
        ),
        ({"points_per_side": 3, "crop_n_layers": 2, "crop_n_points_downscale_factor": 2}, "points_per_side 3 leaves"),
        ({"points_per_batch": 0}, "points_per_batch must be 1 or more, not 0"),
        ({"crop_n_points_downscale_factor": 0}, "crop_n_points_downscale_factor must be 1 or more, not 0"),
        ({"crop_n_layers": -1}, "crop_n_layers must be 0 or more, not -1"),
        ({"stability_score_offset": -0.5}, r"stability_score_offset must be 0 or more, not -0\.5"),
        ({"min_mask_region_area": -3}, "min_mask_region_area must be 0 or more, not -3"),
    ],
)
def test_options_that_make_no_sense_are_refused(sam: Sam, options: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        MaskGenerator(sam, **options)


@pytest.mark.parametrize(
    ("image", "said"),
    [("photo.jpg", "not str"), (np.zeros((8, 8, 3)), "not float64"), (np.zeros((8, 8), dtype=np.uint8), r"\(8, 8\)")],
)
def test_what_is_no_image_is_refused(sam: Sam, image: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        MaskGenerator(sam, points_per_side=2).generate(image)


def test_the_package_offers_it() -> None:
    assert anymask.MaskGenerator is MaskGenerator
    assert anymask.MaskRecord is MaskRecord
