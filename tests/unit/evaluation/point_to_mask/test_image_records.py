from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from jaxtyping import Bool

from anymask import masks
from anymask.errors import UserError
from anymask.evaluation.point_to_mask import image_records
from anymask.evaluation.point_to_mask.image_records import records_of
from anymask.evaluation.point_to_mask.protocol import PointToMask
from anymask.evaluation.point_to_mask.records import Record
from anymask.evaluation.stopwatch import Stopwatch
from anymask.structures import Prediction, Sample

Bitmap = Bool[np.ndarray, "h w"]


def square(x: int, y: int, side: int) -> Bitmap:
    mask = np.zeros((32, 40), dtype=bool)
    mask[y : y + side, x : x + side] = True
    return mask


LEFT, RIGHT = square(2, 3, 12), square(20, 8, 16)


def sample(*bitmaps: Bitmap, ignore: Bitmap | None = None, key: str = "sa_1") -> Sample:
    return Sample(
        key=key,
        shard="/somewhere/a-000000.tar",
        source="manual",
        image=np.zeros((32, 40, 3), dtype=np.uint8),
        masks=tuple(masks.encode(bitmap) for bitmap in bitmaps),
        mask_ids=tuple(range(100, 100 + len(bitmaps))),
        ignore=tuple(None if ignore is None else masks.encode(ignore) for _ in bitmaps),
        crop=(0, 0, 40, 32),
    )


class Fake:
    """A model that knows the objects by their first click; remembers what it was asked."""

    def __init__(
        self, answer: Callable[[Bitmap, int], list[Bitmap]], ious: tuple[float, ...] = (0.2, 0.9, 0.1)
    ) -> None:
        self.answer, self.ious = answer, ious
        self.asked: list[dict[str, Any]] = []

    def predict(self, *, points: Any, labels: Any, mask: Any, multimask: bool) -> Prediction:
        self.asked.append({"points": points, "labels": labels, "mask": mask, "multimask": multimask})
        number = 3 if multimask else 1
        drawn = [self.answer(self.object_at(*first), points.shape[1])[:number] for first in points[:, 0]]
        ious = torch.tensor([self.ious[:number]] * len(points))
        clicks = torch.full((len(points), number, 16, 16), float(points.shape[1]))
        outputs = torch.arange(number).view(1, -1, 1, 1) / 10
        return Prediction(torch.from_numpy(np.array(drawn)), ious, clicks + outputs)

    def object_at(self, x: int, y: int) -> Bitmap:
        return next(bitmap for bitmap in (LEFT, RIGHT) if bitmap[y, x])


def perfect(true: Bitmap, click: int) -> list[Bitmap]:
    return [true] * 3


def stubborn(true: Bitmap, click: int) -> list[Bitmap]:
    """The upper half whatever the click; of the three outputs the last is right."""
    half = true.copy()
    half[np.flatnonzero(true.any(axis=1))[true.any(axis=1).sum() // 2] :] = False
    return [half, half, true]


TASK = PointToMask(floors=())


def play(model: Fake, one: Sample, task: PointToMask = TASK) -> list[Record]:
    return records_of(one, model.predict, task, Stopwatch(torch.device("cpu")))


def test_a_perfect_model_is_asked_once_and_all_masks_together() -> None:
    model = Fake(perfect)
    first, second = play(model, sample(LEFT, RIGHT))
    assert len(model.asked) == 1
    assert model.asked[0]["points"].tolist() == [[[7, 8]], [[27, 15]]]
    assert model.asked[0]["labels"].tolist() == [[1], [1]]
    assert first["model"]["ious"] == [1.0]
    assert (second["mask"], second["mask_id"]) == (1, 101)
    assert (second["shard"], second["image"], second["image_size"]) == ("a-000000.tar", "sa_1", (32, 40))
    assert (first["area"], first["size_class"]) == (144, "small")


def test_a_model_that_ignores_clicks_gets_twenty_different_ones() -> None:
    [record] = play(Fake(stubborn), sample(LEFT))
    clicks = record["model"]["clicks"]
    assert len(clicks) == len(record["model"]["ious"]) == 20
    assert len({(x, y) for x, y, _ in clicks}) == 20
    assert all(label == 1 for _, _, label in clicks)
    assert record["model"]["ious"] == [0.5] * 20
    assert record["model"]["oracle_ious"] == [1.0] + [0.5] * 19
    assert record["model"]["predicted_ious"] == [pytest.approx(0.9)] + [pytest.approx(0.2)] * 19


def test_masks_of_the_pictured_clicks_are_in_the_record() -> None:
    [record] = play(Fake(stubborn), sample(LEFT))
    assert sorted(record["model"]["masks"]) == ["1", "5"]
    stored = masks.decode(masks.rle_from_json({"size": [32, 40], "counts": record["model"]["masks"]["5"]}, (32, 40)))
    assert np.array_equal(stored, stubborn(LEFT, 5)[0])


@pytest.mark.parametrize(
    ("multimask", "asked"), [("first", [True, False]), ("always", [True, True]), ("never", [False] * 2)]
)
def test_the_variants_ask_for_three_masks_at_their_clicks(multimask: Any, asked: list[bool]) -> None:
    model = Fake(stubborn)
    play(model, sample(LEFT), PointToMask(floors=(), multimask=multimask))
    assert [one["multimask"] for one in model.asked[:2]] == asked


def test_the_mask_believed_best_is_fed_back() -> None:
    """The fake's logits tell the click and a tenth of the output's number."""
    model = Fake(stubborn)
    play(model, sample(LEFT, RIGHT), PointToMask(floors=(), multimask="always"))
    assert model.asked[0]["mask"] is None
    assert model.asked[1]["mask"].shape == (2, 16, 16)
    assert model.asked[1]["mask"].unique().tolist() == [pytest.approx(1.1)]
    assert model.asked[2]["mask"].unique().tolist() == [pytest.approx(2.1)]


def test_without_feedback_no_mask_is_given() -> None:
    model = Fake(stubborn)
    play(model, sample(LEFT), PointToMask(floors=(), feed_previous_mask=False))
    assert len(model.asked) == 20
    assert all(one["mask"] is None for one in model.asked)


def test_only_masks_below_a_threshold_go_on_after_the_last_reported_click() -> None:
    def nearly(true: Bitmap, click: int) -> list[Bitmap]:
        drawn = true.copy()
        if true is RIGHT:
            drawn[8:12, 20:25] = False  # 236 of 256 pixels: above .90
        else:
            drawn[3:9] = False  # a half
        return [drawn] * 3

    model = Fake(nearly)
    left, right = play(model, sample(LEFT, RIGHT))
    assert len(right["model"]["clicks"]) == 9
    assert len(left["model"]["clicks"]) == 20


def test_empty_masks_have_no_record() -> None:
    records = play(Fake(perfect), sample(np.zeros_like(LEFT), RIGHT))
    assert [record["mask"] for record in records] == [1]
    assert play(Fake(perfect), sample(np.zeros_like(LEFT))) == []


def test_what_is_to_be_ignored_does_not_count() -> None:
    upper = np.zeros_like(LEFT)
    upper[:9] = True
    [record] = play(Fake(lambda true, click: [true & ~upper] * 3), sample(LEFT, ignore=upper))
    assert record["model"]["ious"] == [1.0]
    assert play(Fake(perfect), sample(LEFT, ignore=LEFT)) == []


def test_a_random_first_click_depends_on_seed_and_mask_alone() -> None:
    def first_clicks(one: Sample, seed: int) -> list[tuple[int, int, int]]:
        task = PointToMask(floors=(), first_click="random", seed=seed)
        return [record["model"]["clicks"][0] for record in play(Fake(perfect), one, task)]

    both = first_clicks(sample(LEFT, RIGHT), seed=0)
    assert first_clicks(sample(LEFT, RIGHT), seed=0) == both
    assert first_clicks(sample(LEFT), seed=0) == both[:1]
    assert first_clicks(sample(LEFT, RIGHT), seed=1) != both
    assert first_clicks(sample(LEFT, RIGHT, key="sa_2"), seed=0) != both
    assert all(bitmap[y, x] for bitmap, (x, y, _) in zip((LEFT, RIGHT), both, strict=True))


def test_floors_get_clicks_of_their_own_up_to_the_fifth() -> None:
    task = PointToMask(floors=("disc", "flood_fill"))
    [record] = play(Fake(perfect), sample(LEFT), task)
    assert set(record["floors"]) == {"disc", "flood_fill"}
    for course in record["floors"].values():
        assert course["clicks"][0] == record["model"]["clicks"][0]
        assert len(course["clicks"]) == len(course["ious"]) == 5
    assert record["floors"]["disc"]["clicks"] != record["floors"]["flood_fill"]["clicks"]


def test_a_few_masks_at_a_time_give_the_same_records(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = play(Fake(stubborn), sample(LEFT, RIGHT))
    monkeypatch.setattr(image_records, "OBJECTS_AT_ONCE", 1)
    model = Fake(stubborn)
    assert play(model, sample(LEFT, RIGHT)) == whole
    assert {len(one["points"]) for one in model.asked} == {1}


def test_a_model_that_answers_nonsense_is_refused() -> None:
    with pytest.raises(UserError, match="not finite"):
        play(Fake(perfect, ious=(float("nan"), 0.1, 0.1)), sample(LEFT))


def test_the_stopwatch_counts_per_prompt() -> None:
    watch = Stopwatch(torch.device("cpu"))
    assert watch.medians() == {}
    records_of(sample(LEFT, RIGHT), Fake(stubborn).predict, TASK, watch)
    assert 0 < watch.medians()["answer_prompt"] < 10_000
