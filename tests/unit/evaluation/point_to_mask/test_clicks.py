from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from jaxtyping import Bool, Int

from anymask import masks
from anymask.evaluation.point_to_mask.clicks import Answer, Click, Course, Target, interact, next_click, random_click

Bitmap = Bool[np.ndarray, "h w"]


def bitmap(*rows: str) -> Bitmap:
    """``#`` is inside."""
    return np.array([[pixel == "#" for pixel in row] for row in rows])


BITMAPS = hnp.arrays(bool, st.tuples(st.integers(1, 7), st.integers(1, 7)))
THREE_BITMAPS = st.tuples(st.integers(1, 7), st.integers(1, 7)).flatmap(
    lambda shape: st.tuples(*[hnp.arrays(bool, shape) for _ in range(3)])
)


def squared_depths(error: Bitmap) -> list[tuple[int, int, int]]:
    """(squared depth, x, y) of every pixel in reading order, from the definition: look at every pixel around."""
    height, width = error.shape
    outside = [
        (x, y)
        for y in range(-1, height + 1)
        for x in range(-1, width + 1)
        if not (0 <= x < width and 0 <= y < height and error[y, x])
    ]
    return [(min((x - a) ** 2 + (y - b) ** 2 for a, b in outside), x, y) for y in range(height) for x in range(width)]


def click_by_definition(true: Bitmap, predicted: Bitmap, counted: Bitmap, clicked: list[Click]) -> Click | None:
    places = {(x, y) for x, y, _ in clicked}
    best = []
    for error in (true & ~predicted & counted, predicted & ~true & counted):
        free = [(depth, x, y) for depth, x, y in squared_depths(error) if (x, y) not in places]
        best.append(max(free, key=lambda found: found[0], default=(0, 0, 0)))  # of equal ones max takes the first
    label = int(best[0][0] > best[1][0])
    depth, x, y = best[1 - label]
    return Click(x, y, label) if depth > 0 else None


def test_the_first_click_is_the_middle_of_the_object() -> None:
    true = bitmap(
        ".....",
        ".###.",
        ".###.",
        ".###.",
        ".....",
    )
    assert next_click(true, np.zeros_like(true)) == Click(2, 2, 1)


def test_the_border_of_the_image_is_a_boundary() -> None:
    """Without it the corner would be farthest from the outside."""
    true = bitmap(
        "####",
        "####",
        "####",
        "....",
    )
    assert next_click(true, np.zeros_like(true)) == Click(1, 1, 1)


def test_the_larger_error_gets_the_click_and_its_kind_the_label() -> None:
    true = bitmap("#......", "#......", "#......")
    predicted = bitmap("....###", "....###", "....###")
    assert next_click(true, predicted) == Click(5, 1, 0)
    assert next_click(predicted, true) == Click(5, 1, 1)


def test_a_tie_is_a_background_click() -> None:
    assert next_click(bitmap("#.."), bitmap("..#")) == Click(2, 0, 0)


def test_of_equal_pixels_the_first_in_reading_order_is_clicked() -> None:
    true = bitmap("....", ".##.", ".##.", "....")
    assert next_click(true, np.zeros_like(true)) == Click(1, 1, 1)


def test_pixels_to_ignore_are_no_error_and_end_it() -> None:
    true = bitmap("#####")
    counted = bitmap("##...")
    assert next_click(true, np.zeros_like(true), counted) == Click(0, 0, 1)
    assert next_click(true, counted, counted) is None


def test_without_an_error_there_is_no_click() -> None:
    """The benchmarks' code clicks on pixel (0, 0) as background here."""
    true = bitmap("##", "..")
    assert next_click(true, true) is None


def test_no_pixel_is_clicked_twice() -> None:
    true = bitmap("##.")
    clicked: list[Click] = []
    while (click := next_click(true, np.zeros_like(true), None, clicked)) is not None:
        clicked.append(click)
    assert clicked == [Click(0, 0, 1), Click(1, 0, 1)]


@settings(max_examples=300)
@given(THREE_BITMAPS, st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=4))
def test_the_rule_is_its_definition(drawn: tuple[Bitmap, Bitmap, Bitmap], places: list[tuple[int, int]]) -> None:
    true, predicted, counted = drawn
    clicked = [Click(x, y, 1) for x, y in places]
    assert next_click(true, predicted, counted, clicked) == click_by_definition(true, predicted, counted, clicked)


def test_large_bitmaps_agree_with_the_definition_of_distance() -> None:
    """Here the square roots of cv2's floats would differ, and the cut to the bounding box matters."""
    y, x = np.mgrid[:300, :400]
    disc = (x - 211) ** 2 + (y - 143) ** 2 <= 97**2
    assert next_click(disc, np.zeros_like(disc)) == Click(211, 143, 1)
    ellipse = ((x - 390) / 60) ** 2 + ((y - 290) / 90) ** 2 <= 1  # reaches out of the image
    click = next_click(ellipse, np.zeros_like(ellipse))
    assert click is not None
    rows, columns = np.nonzero(~np.pad(ellipse, 1))
    to_click = (columns - 1 - click.x) ** 2 + (rows - 1 - click.y) ** 2
    inside = [(int(b), int(a)) for b, a in zip(*np.nonzero(ellipse), strict=True)]
    sample = inside[:: max(1, len(inside) // 200)]
    assert all(((columns - 1 - a) ** 2 + (rows - 1 - b) ** 2).min() <= to_click.min() for b, a in sample)


@settings(max_examples=50)
@given(BITMAPS.filter(lambda drawn: drawn.any()), st.integers(0, 2**32 - 1))
def test_a_random_click_lies_on_the_object_and_is_fixed_by_its_seed(true: Bitmap, seed: int) -> None:
    click = random_click(true, np.random.default_rng(seed))
    assert true[click.y, click.x]
    assert click.label == 1
    assert click == random_click(true, np.random.default_rng(seed))


def test_random_clicks_reach_every_pixel_of_the_object() -> None:
    true = bitmap("#..", ".##")
    generator = np.random.default_rng(0)
    assert {random_click(true, generator)[:2] for _ in range(100)} == {(0, 0), (1, 1), (2, 1)}


class Script:
    """Answers with the masks it was given, one per round and object, and remembers what it was asked."""

    def __init__(self, rounds: list[list[list[Bitmap]]], scores: list[float]) -> None:
        self.rounds, self.scores = rounds, scores
        self.asked: list[tuple[list[int], Int[np.ndarray, "n k 2"], Int[np.ndarray, "n k"]]] = []

    def __call__(
        self, objects: Int[np.ndarray, " n"], clicks: Int[np.ndarray, "n k 2"], labels: Int[np.ndarray, "n k"]
    ) -> Answer:
        self.asked.append((objects.tolist(), clicks, labels))
        answers = self.rounds[min(len(self.asked), len(self.rounds)) - 1]
        return Answer(
            np.stack([np.stack(answers[i]) for i in objects]), np.tile(np.array(self.scores), (len(objects), 1))
        )


SQUARE = bitmap("##..", "##..", "....", "....")
HALF = bitmap("##..", "....", "....", "....")
NOTHING = np.zeros_like(SQUARE)


def target(true: Bitmap, counted: Bitmap | None = None) -> Target:
    first = next_click(true, np.zeros_like(true))
    assert first is not None
    return Target(true, counted, first)


def play(script: Script, targets: list[Target], clicks: int, keep: tuple[int, ...] = ()) -> list[Course]:
    return interact(script, targets, lambda ious: len(ious) < clicks, keep)


def test_a_perfect_mask_is_left_alone_while_the_others_go_on() -> None:
    other = SQUARE[::-1, ::-1].copy()
    script = Script([[[SQUARE], [NOTHING]], [[SQUARE], [other]]], [1.0])
    perfect, second = play(script, [target(SQUARE), target(other)], clicks=5)
    assert [objects for objects, _, _ in script.asked] == [[0, 1], [1]]
    assert (perfect.ious, len(perfect.clicks)) == ([1.0], 1)
    assert (second.ious, len(second.clicks)) == ([0.0, 1.0], 2)


def test_clicks_pile_up_and_all_are_shown_each_time() -> None:
    script = Script([[[HALF]]], [1.0])
    [course] = play(script, [target(SQUARE)], clicks=3)
    assert [asked[1].shape for asked in script.asked] == [(1, 1, 2), (1, 2, 2), (1, 3, 2)]
    assert course.clicks == [Click(0, 0, 1), Click(0, 1, 1), Click(1, 1, 1)]
    assert script.asked[-1][1][0].tolist() == [[0, 0], [0, 1], [1, 1]]
    assert course.ious == [0.5, 0.5, 0.5]


def test_one_that_ignores_clicks_is_left_alone_when_no_pixel_is_left() -> None:
    [course] = play(Script([[[HALF]]], [1.0]), [target(SQUARE)], clicks=20)
    assert len(set(course.clicks)) == len(course.clicks) == 3  # the first, and the two pixels of the error
    assert course.ious == [0.5, 0.5, 0.5]


def test_the_mask_believed_best_counts_and_gets_the_click_and_the_oracle_is_the_best() -> None:
    script = Script([[[SQUARE, HALF, NOTHING]]], [0.1, 0.7, 0.2])
    [course] = play(script, [target(SQUARE)], clicks=2)
    assert course.ious[0] == 0.5
    assert course.oracle_ious[0] == 1.0
    assert course.scores[0] == 0.7
    assert course.clicks[1] == Click(0, 1, 1)


def test_pixels_to_ignore_count_neither_way() -> None:
    counted = bitmap("##..", "####", "####", "####")
    true = SQUARE & counted
    wrong_where_ignored = bitmap("####", "##..", "....", "....")
    [course] = play(Script([[[wrong_where_ignored]]], [1.0]), [target(true, counted)], clicks=5)
    assert course.ious == [1.0]


def test_masks_are_kept_after_the_clicks_asked_for_and_at_an_early_end() -> None:
    script = Script([[[NOTHING], [NOTHING]], [[HALF], [SQUARE]], [[NOTHING], [NOTHING]]], [1.0])
    long, short = play(script, [target(SQUARE), target(SQUARE)], clicks=4, keep=(1, 3))
    assert sorted(long.masks) == [1, 3]
    assert sorted(short.masks) == [1, 2]
    assert masks.decode(short.masks[2]).tolist() == SQUARE.tolist()
    assert not masks.decode(long.masks[3]).any()


def test_more_clicks_are_given_only_while_they_are_wanted() -> None:
    script = Script([[[HALF]]], [1.0])
    [course] = interact(script, [target(SQUARE)], lambda ious: ious[-1] < 0.5)
    assert course.ious == [0.5]
    assert len(course.clicks) == 1


def test_without_objects_nobody_is_asked() -> None:
    assert interact(Script([], []), [], lambda ious: True) == []


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1)])
def test_thin_images(shape: tuple[int, int]) -> None:
    true = np.ones(shape, dtype=bool)
    assert next_click(true, ~true) == Click(0, 0, 1)
