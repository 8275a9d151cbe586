from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from anymask.draws import Draws
from anymask.models.sam import AMBIGUOUS, EVERY, SINGLE
from anymask.prompts import FirstPrompt, Objects
from anymask.rounds import Rounds, Turn, play
from anymask.structures import Decoded, Label, Prompts

SIDE = 8
SAM2 = Rounds(clicks=7, round_without_click=False, last_without_click=False, ambiguous="single_point", from_truth=0.1)
ONE_PROMPT = Rounds(clicks=0, round_without_click=False, last_without_click=False)


class Decoder:
    """Answers every prompt with noise, or with the truth, and remembers what it was asked."""

    def __init__(self, *, truth: Tensor | None = None) -> None:
        self.truth = truth
        self.asked: list[tuple[Prompts, slice]] = []
        self.draw = torch.Generator().manual_seed(7)

    def __call__(self, prompts: Prompts, outputs: slice) -> Decoded:
        self.asked.append((prompts, outputs))
        number, masks = len(prompts.image_index), outputs.stop - outputs.start
        logits = torch.randn(number, masks, SIDE, SIDE, generator=self.draw)
        if self.truth is not None:
            logits = (2.0 * self.truth - 1)[:, None].expand(-1, masks, -1, -1).clone()
        return Decoded(logits.requires_grad_(), torch.rand(number, masks, generator=self.draw).requires_grad_())


def _objects(number: int) -> Objects:
    targets = torch.zeros(number, SIDE, SIDE, dtype=torch.bool)
    targets[:, 2:6, 1:7] = True
    return Objects(
        targets=targets,
        boxes=torch.tensor([[4.0, 8, 27, 23]]).expand(number, 4),
        image_index=torch.arange(number),
        content=torch.ones_like(targets),
        sizes=torch.tensor([[32, 32]]).expand(number, 2),
        image_size=32,
        mask_size=SIDE,
        draws=Draws(torch.arange(number)),
    )


def _play(rounds: Rounds, *, number: int = 3, kind: str = "point", perfect: bool = False) -> tuple[list[Turn], Decoder]:
    objects = _objects(number)
    decoder = Decoder(truth=objects.targets.float() if perfect else None)
    first = FirstPrompt(weights={kind: 1.0} if kind != "both" else {"point": 0.5, "tight_box": 0.5})
    return list(play(rounds, first, objects, decoder)), decoder


@pytest.mark.parametrize(("rounds", "length"), [(Rounds(), 11), (SAM2, 8), (ONE_PROMPT, 1)])
def test_the_number_of_rounds(rounds: Rounds, length: int) -> None:
    turns, decoder = _play(rounds)
    assert len(rounds) == len(turns) == len(decoder.asked) == length
    assert [turn.number for turn in turns] == list(range(length))


def test_eight_clicks_a_rest_among_them_and_a_last_round_without() -> None:
    number = 1600
    turns, _ = _play(Rounds(), number=number)
    widths = [turn.prompts.labels.shape[1] for turn in turns]
    assert widths == [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 11]  # a point and its padding, then a place for each round
    clicks = turns[-1].prompts.labels[:, 2:] != Label.ABSENT
    assert (clicks.sum(dim=1) == 8).all()
    rests = (~clicks).sum(dim=0)
    assert rests[8] == 0  # before the first to the eighth click, never after it
    assert ((rests[:8] - number / 8).abs() < 5 * (number / 8) ** 0.5).all()


def test_clicks_stay_and_new_ones_follow() -> None:
    turns, _ = _play(Rounds())
    for before, after in pairwise(turns):
        width = before.prompts.labels.shape[1]
        assert torch.equal(after.prompts.labels[:, :width], before.prompts.labels)
        assert torch.equal(after.prompts.points[:, :width], before.prompts.points)


def test_each_click_lies_where_the_fed_back_mask_is_wrong() -> None:
    truth = _objects(3).targets
    turns, _ = _play(Rounds(round_without_click=False))
    for turn in turns[1:9]:
        assert turn.prompts.masks is not None
        column, row = (turn.prompts.points[:, -1] / 4).long().unbind(dim=1)
        cells = torch.arange(3), row, column
        is_inside = truth[cells]
        assert torch.equal(turn.prompts.labels[:, -1] == Label.FOREGROUND, is_inside)
        assert ((turn.prompts.masks > 0)[cells] != is_inside).all()


def test_three_outputs_in_the_first_round_only() -> None:
    _, decoder = _play(Rounds(), kind="both")
    assert [outputs for _, outputs in decoder.asked] == [AMBIGUOUS] + [SINGLE] * 10


def test_the_most_confident_logits_are_fed_back_without_their_gradient() -> None:
    turns, decoder = _play(Rounds(), number=20)
    assert decoder.asked[0][0].masks is None
    assert len(turns[0].confident.unique()) == 3
    for before, (prompts, _) in zip(turns, decoder.asked[1:], strict=False):
        best = before.decoded.ious.argmax(dim=1)
        assert torch.equal(before.confident, best)
        assert prompts.masks is not None
        assert torch.equal(prompts.masks, before.decoded.logits[torch.arange(20), best])
        assert not prompts.masks.requires_grad
        assert not prompts.points.requires_grad


def test_masks_are_fed_back_only_if_wanted() -> None:
    turns, _ = _play(Rounds(feed_previous_mask=False))
    assert all(turn.prompts.masks is None for turn in turns)


def test_a_perfect_prediction_gets_no_click() -> None:
    turns, _ = _play(Rounds(), perfect=True)
    assert (turns[-1].prompts.labels[:, 2:] == Label.ABSENT).all()


def test_every_object_plays_by_itself() -> None:
    turns, _ = _play(Rounds(), number=50)
    last = turns[-1].prompts
    rows = torch.cat([last.points.flatten(1), last.labels.float()], dim=1)
    assert len(rows.unique(dim=0)) == 50
    assert len((last.labels == Label.ABSENT).float().argmax(dim=1).unique()) > 4  # rests at places of their own


def test_in_sam2_a_box_gets_the_single_output_and_a_point_the_three() -> None:
    turns, decoder = _play(SAM2, number=40, kind="both")
    assert [outputs for _, outputs in decoder.asked] == [EVERY] + [SINGLE] * 7
    is_box = (turns[0].prompts.labels == Label.CORNER_TOP_LEFT).any(dim=1)
    assert 0 < is_box.sum() < 40
    expected = torch.where(is_box[:, None], torch.tensor([1, 0, 0, 0]), torch.tensor([0, 1, 1, 1])).bool()
    assert turns[0].allowed is not None
    assert torch.equal(turns[0].allowed, expected)
    best_of_allowed = turns[0].decoded.ious.where(expected, torch.tensor(-1.0)).argmax(dim=1)
    assert torch.equal(turns[0].confident, best_of_allowed)
    assert all(turn.allowed is None for turn in turns[1:])
    assert (turns[-1].prompts.labels[:, 2:] != Label.ABSENT).all()  # seven clicks, no rest


def test_in_sam2_a_perfect_prediction_is_clicked_one_time_in_ten() -> None:
    turns, _ = _play(SAM2, number=600, perfect=True)
    clicks = turns[-1].prompts.labels[:, 2:] != Label.ABSENT
    assert clicks.float().mean().item() == pytest.approx(0.1, abs=0.02)


def test_one_prompt_and_nothing_after_it() -> None:
    turns, decoder = _play(ONE_PROMPT)
    assert [outputs for _, outputs in decoder.asked] == [AMBIGUOUS]
    assert turns[0].prompts.masks is None


def test_never_ambiguous_is_one_output_from_the_start() -> None:
    _, decoder = _play(Rounds(ambiguous="never"))
    assert [outputs for _, outputs in decoder.asked] == [SINGLE] * 11


def test_rounds_without_clicks_only_refine() -> None:
    turns, _ = _play(Rounds(clicks=0))
    assert len(turns) == 3
    assert (turns[-1].prompts.labels[:, 2:] == Label.ABSENT).all()
    assert turns[-1].prompts.masks is not None


def test_the_same_objects_get_the_same_rounds() -> None:
    first, again = _play(SAM2, kind="both")[0], _play(SAM2, kind="both")[0]
    assert all(
        torch.equal(a.prompts.points, b.prompts.points) and torch.equal(a.prompts.labels, b.prompts.labels)
        for a, b in zip(first, again, strict=True)
    )
