"""The rounds of simulated interaction, eleven in the paper (SAM, appendix A), as data, and the loop over them.

for turn in play(rounds, first, objects, decode):
    loss = ...turn.decoded...          # and backward at once, so that one round's activations live at a time
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from anymask.models.sam import AMBIGUOUS, EVERY, SINGLE
from anymask.prompts import FirstPrompt, Objects, error_click
from anymask.regions import resize_logits
from anymask.structures import Decoded, Label, Prompts

__all__ = ["Rounds", "Turn", "play"]

Decode = Callable[[Prompts, slice], Decoded]


@dataclass(frozen=True, kw_only=True, slots=True)
class Rounds:
    """A schedule. The defaults are the paper's: a first prompt, 8 clicks, a round without a click at a random place
    among them, one more at the end.

    ``ambiguous`` says which first prompts get the three outputs: every ``single_prompt`` (the paper), a
    ``single_point`` and no box (SAM 2, where a box is two points), or ``never``; all later rounds get the one output.
    ``from_truth`` is the probability that a click comes from the object instead of the error (SAM 2: .1).
    """

    clicks: int = 8
    round_without_click: bool = True
    last_without_click: bool = True
    ambiguous: Literal["single_prompt", "single_point", "never"] = "single_prompt"
    click: Literal["uniform", "centre"] = "uniform"
    from_truth: float = 0.0
    feed_previous_mask: bool = True

    def __len__(self) -> int:
        return 1 + self.clicks + self.round_without_click + self.last_without_click


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """One round: what was asked, what was answered, and which outputs the answer may be taken from."""

    number: int
    prompts: Prompts
    decoded: Decoded
    allowed: Bool[Tensor, "n m"] | None  # None: all
    confident: Int[Tensor, " n"]  # the output with the highest estimated IoU


def play(rounds: Rounds, first: FirstPrompt, objects: Objects, decode: Decode) -> Iterator[Turn]:
    """Go through the rounds. Prompts carry no gradient from one round to the next."""
    number = len(objects.boxes)
    prompts = first.draw(objects)
    rest = torch.full((number,), -1, device=objects.boxes.device)
    if rounds.round_without_click:
        # Before which of the clicks each object rests; drawn for each object.
        rest = 1 + (objects.draws.uniform()[:, 0] * max(1, rounds.clicks)).long()
    clicking = rounds.clicks + rounds.round_without_click
    for index in range(len(rounds)):
        outputs, allowed = _outputs(rounds, prompts, is_first=index == 0)
        decoded = decode(prompts, outputs)
        turn = Turn(
            number=index, prompts=prompts, decoded=decoded, allowed=allowed, confident=_confident(decoded, allowed)
        )
        yield turn
        if index + 1 < len(rounds):
            prompts = _next(rounds, objects, turn, rest if index < clicking else None)


def _outputs(rounds: Rounds, prompts: Prompts, *, is_first: bool) -> tuple[slice, Bool[Tensor, "n m"] | None]:
    if not is_first or rounds.ambiguous == "never":
        return SINGLE, None
    if rounds.ambiguous == "single_prompt":
        return AMBIGUOUS, None
    is_box = (prompts.labels == Label.CORNER_TOP_LEFT).any(dim=1, keepdim=True)
    output = torch.arange(EVERY.stop, device=is_box.device)
    return EVERY, (output >= AMBIGUOUS.start) ^ is_box


def _confident(decoded: Decoded, allowed: Bool[Tensor, "n m"] | None) -> Int[Tensor, " n"]:
    ious = decoded.ious.detach()
    return (ious if allowed is None else ious.masked_fill(~allowed, float("-inf"))).argmax(dim=1)


def _next(rounds: Rounds, objects: Objects, turn: Turn, rest: Int[Tensor, " n"] | None) -> Prompts:
    """The prompts after a turn: its most confident mask fed back, and a click where the turn was wrong.

    ``rest`` is the round in which each object gets no click; None: nobody gets one.
    """
    rows = torch.arange(len(turn.confident), device=turn.confident.device)
    logits = turn.decoded.logits.detach()[rows, turn.confident].float()
    prompts = turn.prompts
    if rest is not None:
        points, labels = _click(rounds, objects, logits)
        labels = torch.where(rest == turn.number + 1, int(Label.ABSENT), labels)
        prompts = replace(
            prompts,
            points=torch.cat([prompts.points, points[:, None]], dim=1),
            labels=torch.cat([prompts.labels, labels[:, None]], dim=1),
        )
    return replace(prompts, masks=logits if rounds.feed_previous_mask else None, has_mask=None)


def _click(
    rounds: Rounds, objects: Objects, logits: Float[Tensor, "n h w"]
) -> tuple[Float[Tensor, "n 2"], Int[Tensor, " n"]]:
    predicted = resize_logits(logits[:, None], objects.targets.shape[-1])[:, 0] > 0
    return error_click(objects, predicted, place=rounds.click, from_truth=rounds.from_truth)
