"""Every draw goes to exactly one worker, whoever reads, however often the crew changes."""

from __future__ import annotations

import json
import random
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anymask.data.dealing import Crew, Dealing
from anymask.errors import UserError

crews = st.builds(Crew, world=st.integers(1, 5), workers=st.integers(1, 4), images=st.integers(1, 4))


def _take(dealing: Dealing, chance: random.Random, batches: int, bad: float) -> list[list[int]]:
    """What each rank takes for that many batches; a bad sample is passed over and the worker takes one more."""
    crew = dealing.crew
    streams = {(r, w): dealing.draws(r, w) for r in range(crew.world) for w in range(crew.workers)}
    taken: list[list[int]] = [[] for _ in range(crew.world)]
    for number in range(batches):
        worker = (dealing.batches + number) % crew.workers
        for rank in range(crew.world):
            good = 0
            while good < crew.images:
                taken[rank].append(next(streams[rank, worker]))
                dealing.taken[rank][worker] += 1
                good += chance.random() >= bad
    dealing.batches += batches
    return taken


@given(crew=crews, hands=st.integers(1, 4))
def test_all_workers_together_take_every_draw_once(crew: Crew, hands: int) -> None:
    number = hands * crew.images
    taken = [
        draw
        for rank in range(crew.world)
        for worker in range(crew.workers)
        for draw in islice(Dealing(crew).draws(rank, worker), number)
    ]
    assert sorted(taken) == list(range(number * crew.world * crew.workers))


def test_hands_go_to_ranks_and_then_to_workers_in_turn() -> None:
    """Two ranks of two workers, two images a batch: 0 1 | 2 3 to the first workers, 4 5 | 6 7 to the second ones."""
    dealing = Dealing(Crew(world=2, workers=2, images=2))
    first = {(rank, worker): list(islice(dealing.draws(rank, worker), 4)) for rank in (0, 1) for worker in (0, 1)}
    assert first == {(0, 0): [0, 1, 8, 9], (1, 0): [2, 3, 10, 11], (0, 1): [4, 5, 12, 13], (1, 1): [6, 7, 14, 15]}


@pytest.mark.parametrize("crew", [Crew(1, 1, 8), Crew(1, 3, 8), Crew(2, 1, 4), Crew(4, 2, 2), Crew(8, 1, 1)])
def test_a_step_trains_on_the_same_samples_on_any_number_of_gpus(crew: Crew) -> None:
    taken = _take(Dealing(crew), random.Random(0), 3, bad=0)
    for step in range(3):
        of_step = [draw for of_rank in taken for draw in of_rank[step * crew.images : (step + 1) * crew.images]]
        assert sorted(of_step) == list(range(8 * step, 8 * step + 8))


@given(st.lists(st.tuples(crews, st.integers(0, 6)), min_size=1, max_size=6), st.sampled_from([0, 0.3]), st.randoms())
def test_nothing_is_lost_or_taken_twice_over_any_changes_of_the_crew(
    turns: list[tuple[Crew, int]], bad: float, chance: random.Random
) -> None:
    """Each turn goes on with another crew from a checkpoint's state, after some batches more had been read ahead."""
    dealing, seen = Dealing(turns[0][0]), []
    for crew, batches in turns:
        dealing = dealing.dealt_to(crew)
        seen += [draw for of_rank in _take(dealing, chance, batches, bad) for draw in of_rank]
        state = json.loads(json.dumps(dealing.as_state()))
        _take(dealing, chance, 2, bad)  # lost with the processes that had read it
        dealing = Dealing.from_state(state)
        assert len(seen) == len(set(seen))
    last = dealing.dealt_to(Crew(1, 1, 1))
    end = max(seen, default=-1)
    rest = [draw for draw in islice(last.draws(0, 0), end + 2) if draw <= end]
    assert sorted(seen + rest) == list(range(end + 1))


def test_the_same_crew_goes_on_as_it_was() -> None:
    dealing = Dealing(Crew(2, 2, 3))
    _take(dealing, random.Random(1), 5, bad=0.5)
    state = dealing.as_state()
    again = Dealing.from_state(state).dealt_to(Crew(2, 2, 3))
    assert again.as_state() == state
    assert _take(again, random.Random(2), 4, bad=0) == _take(dealing, random.Random(2), 4, bad=0)


def test_a_state_of_another_form_is_refused() -> None:
    with pytest.raises(UserError, match="the checkpoint's place in the data cannot be read: KeyError"):
        Dealing.from_state({"given": 3, "drawn": [[6]]})
