"""Average recall: by hand, against pycocotools without categories, and against its definition on bitmaps."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any, Literal

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from anymask.masks import encode, rle_to_json
from anymask.metrics.recall import (
    CUTOFFS,
    GROUPS,
    IOU_THRESHOLDS,
    FoundObjects,
    average_recall,
    count_found,
    recalls,
    standard_error,
)

Bitmap = np.ndarray[Any, np.dtype[np.bool_]]
Letter = Literal["r", "c", "f"]


def _rectangle(x0: int, y0: int, x1: int, y1: int, size: tuple[int, int] = (10, 10)) -> Bitmap:
    bitmap = np.zeros(size, dtype=bool)
    bitmap[y0:y1, x0:x1] = True
    return bitmap


@dataclass(frozen=True, kw_only=True)
class Scene:
    """An image with objects and proposals."""

    objects: Sequence[Bitmap]
    areas: Sequence[float] | None = None
    crowd: Sequence[bool] | None = None
    letters: Sequence[Letter | None] | None = None
    proposals: Sequence[Bitmap]
    scores: Sequence[float]

    def count(self) -> FoundObjects:
        areas = [float(bitmap.sum()) for bitmap in self.objects] if self.areas is None else self.areas
        return count_found(
            [encode(bitmap) for bitmap in self.proposals],
            np.array(self.scores, dtype=float),
            [encode(bitmap) for bitmap in self.objects],
            areas=np.array(areas, dtype=float),
            crowd=np.array(self.crowd or [False] * len(self.objects), dtype=bool),
            frequencies=self.letters,
        )


def _draw(seed: int) -> Scene:
    """Few pixels, few scores and few sizes, so that there are many ties and areas on the bounds; crowds; nothing."""
    chance = np.random.default_rng(seed)
    side = int(chance.choice([12, 40, 110]))

    def some_rectangle() -> Bitmap:
        x0, y0 = chance.integers(0, side // 2, 2)
        width, height = chance.choice([2, 4, 32, 96, side // 2], 2)
        return _rectangle(x0, y0, x0 + width, y0 + height, (side, side + 3))

    objects = [some_rectangle() for _ in range(chance.integers(0, 7))]
    proposals = [some_rectangle() for _ in range(chance.integers(0, 8))]
    for bitmap in objects:
        proposals += [np.roll(bitmap, chance.integers(-1, 2, 2), (0, 1)) for _ in range(chance.integers(0, 4))]
    exact = chance.random(len(objects)) < 0.5
    areas = np.where(
        exact, [b.sum() for b in objects] or [], chance.choice([1.0, 1024.0, 1024.5, 9216.0], len(objects))
    )
    return Scene(
        objects=objects,
        areas=[float(area) for area in areas],
        crowd=[bool(draw < 0.2) for draw in chance.random(len(objects))],
        letters=[chance.choice(["r", "c", "f"]).item() for _ in objects],
        proposals=[proposals[number] for number in chance.permutation(len(proposals))],
        scores=[float(score) for score in chance.choice([0.1, 0.5, 0.9], len(proposals))],
    )


def _by_pycocotools(scenes: Sequence[Scene]) -> np.ndarray[Any, Any]:
    """Recall of all, small, medium and large objects (rows), by cutoff and threshold; NaN for COCO's -1."""
    images, objects, proposals = [], [], []
    for number, scene in enumerate(scenes, start=1):
        height, width = (scene.objects or scene.proposals or [np.zeros((1, 1), dtype=bool)])[0].shape
        images.append({"id": number, "height": height, "width": width})
        for bitmap, area, crowd in zip(scene.objects, scene.areas or (), scene.crowd or (), strict=True):
            objects.append({"segmentation": rle_to_json(encode(bitmap)), "area": area, "iscrowd": int(crowd)})
            objects[-1] |= {"id": len(objects), "image_id": number, "category_id": 1}
        for bitmap, score in zip(scene.proposals, scene.scores, strict=True):
            proposals.append({"segmentation": rle_to_json(encode(bitmap)), "area": float(bitmap.sum()), "score": score})
            proposals[-1] |= {"id": len(proposals), "image_id": number, "category_id": 1}
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(_coco(images, objects), _coco(images, proposals), "segm")
        evaluation.params.useCats = 0
        evaluation.params.maxDets = list(CUTOFFS)
        evaluation.evaluate()
        evaluation.accumulate()
    recall = evaluation.eval["recall"][:, 0].transpose(1, 2, 0)
    return np.where(recall < 0, np.nan, recall)


def _coco(images: list[dict[str, Any]], annotations: list[dict[str, Any]]) -> COCO:
    coco = COCO()
    coco.dataset = {"images": images, "categories": [{"id": 1, "name": "any"}], "annotations": annotations}
    coco.createIndex()
    return coco


def _found_by_definition(scene: Scene, wanted: Sequence[bool], cutoff: int, threshold: float) -> int:
    """One proposal after the other takes what is left and overlaps it most."""
    left = [bitmap for bitmap, is_wanted in zip(scene.objects, wanted, strict=True) if is_wanted]
    order = sorted(range(len(scene.proposals)), key=lambda number: -scene.scores[number])
    found = 0
    for number in order[:cutoff]:
        proposal = scene.proposals[number]
        ious = [(proposal & bitmap).sum() / (proposal | bitmap).sum() for bitmap in left]
        if ious and max(ious) >= threshold:
            best = max(place for place, iou in enumerate(ious) if iou == max(ious))
            del left[best]
            found += 1
    return found


# ---- by hand ----


def test_one_object_is_found_up_to_the_overlap_and_from_the_rank_of_its_proposal() -> None:
    truth = _rectangle(0, 0, 4, 4)
    wrong, half = _rectangle(6, 6, 9, 9), _rectangle(0, 0, 4, 3)  # the second has an IoU of 12 / 16
    counts = Scene(objects=[truth], proposals=[half, wrong, truth], scores=[0.5, 0.9, 0.1]).count()
    recall = recalls(counts)[GROUPS.index("all")]
    assert counts.proposals == 3
    assert recall[0].tolist() == [0.0] * 10  # one proposal: the wrong one
    assert recall[1].tolist() == [1.0] * 6 + [0.0] * 4  # two: at 0.5 to 0.75, the bound included
    assert recall[2].tolist() == [1.0] * 10
    assert average_recall(counts, "all", 2) == pytest.approx(0.6)
    assert average_recall(counts, "small", 1000) == 1
    assert math.isnan(average_recall(counts, "large", 1000))


def test_a_proposal_finds_one_object_and_the_best_that_is_left() -> None:
    first, second = _rectangle(0, 0, 8, 8), _rectangle(0, 0, 8, 7)  # IoU of the two: 56 / 64
    twice_first = Scene(objects=[first, second], proposals=[first, first], scores=[0.9, 0.8]).count()
    found = twice_first.found[GROUPS.index("all"), CUTOFFS.index(2)]
    assert found.tolist() == [2] * 8 + [1] * 2  # the second proposal finds the second object up to 0.85
    assert twice_first.found[GROUPS.index("all"), CUTOFFS.index(1)].tolist() == [1] * 10


def test_objects_of_another_group_are_not_in_the_way() -> None:
    large, medium = _rectangle(0, 0, 100, 100, (120, 120)), _rectangle(0, 0, 100, 90, (120, 120))
    counts = Scene(objects=[large, medium], proposals=[large], scores=[1.0]).count()
    by_group = {group: average_recall(counts, group, 1000) for group in ("all", "medium", "large")}
    assert by_group == pytest.approx({"all": 0.5, "medium": 0.9, "large": 1.0})


def test_sizes_are_by_the_area_that_is_annotated_and_a_bound_belongs_to_both_sides() -> None:
    objects = [_rectangle(k, k, k + 2, k + 2) for k in (0, 3, 6)]
    counts = Scene(objects=objects, areas=[1024.0, 9216.0, 10.0], proposals=[], scores=[]).count()
    assert dict(zip(GROUPS, counts.objects.tolist(), strict=True)) == {
        "all": 3, "small": 2, "medium": 2, "large": 1, "rare": 0, "common": 0, "frequent": 0,
    }  # fmt: skip


def test_crowds_count_in_no_group() -> None:
    bitmap = _rectangle(0, 0, 4, 4)
    counts = Scene(objects=[bitmap], crowd=[True], letters=["r"], proposals=[bitmap], scores=[1.0]).count()
    assert not counts.objects.any()
    assert not counts.found.any()


def test_recall_is_pooled_over_objects() -> None:
    three = [_rectangle(3 * k, 0, 3 * k + 2, 2) for k in range(3)]
    found = Scene(objects=three, proposals=three, scores=[1.0] * 3).count()
    missed = Scene(objects=three[:1], proposals=[], scores=[]).count()
    assert average_recall(found + missed, "all", 1000) == 0.75
    assert (found + missed).proposals == 3


def test_a_thousand_proposals_count_and_no_more() -> None:
    truth, wrong = _rectangle(0, 0, 2, 2, (4, 4)), _rectangle(3, 3, 4, 4, (4, 4))
    for before, recall in ((999, 1.0), (1000, 0.0)):
        counts = Scene(objects=[truth], proposals=[wrong] * before + [truth], scores=[0.9] * before + [0.1]).count()
        assert average_recall(counts, "all", 1000) == recall
        assert counts.proposals == before + 1


def test_what_cannot_be_ranked_or_compared_is_refused() -> None:
    bitmap = _rectangle(0, 0, 4, 4)
    with pytest.raises(ValueError, match="the score of a proposal is nan"):
        Scene(objects=[bitmap], proposals=[bitmap], scores=[math.nan]).count()
    with pytest.raises(ValueError, match=r"masks of one image have the sizes \[\(4, 4\), \(10, 10\)\]"):
        Scene(objects=[bitmap], proposals=[np.ones((4, 4), dtype=bool)], scores=[1.0]).count()


# ---- against others ----


@pytest.mark.parametrize("first", range(0, 200, 20))
def test_recall_is_pycocotools_without_categories(first: int) -> None:
    scenes = [_draw(seed) for seed in range(first, first + 20)]
    counts = [scene.count() for scene in scenes]
    for some in (slice(0, 20), *(slice(k, k + 1) for k in range(20))):
        ours = recalls(reduce(add, counts[some]))[: GROUPS.index("large") + 1]
        assert np.array_equal(ours, _by_pycocotools(scenes[some]), equal_nan=True)


@pytest.mark.parametrize("seed", range(40))
def test_recall_by_frequency_is_that_of_a_ground_truth_of_those_categories(seed: int) -> None:
    scene = _draw(seed)
    counts = scene.count()
    for group in ("rare", "common", "frequent"):
        in_group = [letter == group[0] for letter in scene.letters or ()]
        wanted = [is_in and not crowd for is_in, crowd in zip(in_group, scene.crowd or (), strict=True)]
        row = GROUPS.index(group)
        assert counts.objects[row] == sum(wanted)
        for k, cutoff in enumerate(CUTOFFS):
            expected = [_found_by_definition(scene, wanted, cutoff, threshold) for threshold in IOU_THRESHOLDS]
            assert counts.found[row, k].tolist() == expected


def test_the_error_of_single_objects_is_that_of_their_mean() -> None:
    bitmap = _rectangle(0, 0, 4, 4)
    found = [True, False, False, True, True]
    images = [Scene(objects=[bitmap], proposals=[bitmap] * hit, scores=[1.0] * hit).count() for hit in found]
    assert standard_error(images, "all", 1000) == pytest.approx(np.std(found, ddof=1) / math.sqrt(5))
    assert math.isnan(standard_error(images[:1], "all", 1000))
    assert math.isnan(standard_error(images, "rare", 1000))


def test_the_error_is_about_what_leaving_out_one_image_after_the_other_says() -> None:
    images = [_draw(seed).count() for seed in range(60)]
    without = [average_recall(reduce(add, images[:k] + images[k + 1 :]), "all", 1000) for k in range(60)]
    jackknife = math.sqrt(59 / 60 * sum((value - np.mean(without)) ** 2 for value in without))
    assert standard_error(images, "all", 1000) == pytest.approx(jackknife, rel=0.1)
