"""Nodes x workers x shards x batch, with kills: real shards, read as training reads them, lose and repeat nothing."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, fields
from itertools import count, islice
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from anymask.data.dealing import Crew, Dealing
from anymask.data.mixture import Mixture, Order
from anymask.data.shard_writer import ShardWriter
from anymask.data.shards import ShardSet
from anymask.data.stream import TrainBatches, TrainLoader
from anymask.data.transforms import ToExample
from anymask.structures import Batch, Source

Draw = Callable[..., dict[str, bytes]]
SOURCES: tuple[Source, ...] = ("manual", "automatic")


@dataclass(frozen=True)
class Machines:
    """Those of one stretch of a run, which ends with a kill some batches after its last checkpoint."""

    crew: Crew
    saved: int  # batches of each rank until the checkpoint
    lost: int  # batches after it


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """By samples per shard: 23 manual and 31 automatic records, of a few bytes each."""
    folder = tmp_path_factory.mktemp("sets")
    for per_shard in (1, 4, 100):
        with ShardWriter(folder / str(per_shard), samples_per_shard=per_shard) as writer:
            for number in range(54):
                source = SOURCES[number >= 23]
                writer.write(f"{source}-{number}", {"jpg": b"picture", "json": b"{}"}, source=source)
    return {per_shard: folder / str(per_shard) for per_shard in (1, 4, 100)}


def _read(mixture: Mixture, dealing: Dealing, batches: int, seed: int) -> list[tuple[int, int, str]]:
    """Part, pass and key of all that the machines read; each worker has an order and files of its own."""
    crew, read = dealing.crew, []
    for rank in range(crew.world):
        for worker in range(crew.workers):
            order, records = Order(mixture, seed=seed), [part.records() for part in mixture.parts]
            turns = [n for n in range(dealing.batches, dealing.batches + batches) if n % crew.workers == worker]
            for number in islice(dealing.draws(rank, worker), len(turns) * crew.images):
                draw = order.draw(number)
                record = records[draw.part].read(draw.record)
                assert not hasattr(record, "reason"), record
                read.append((draw.part, draw.cycle, record.key))
            dealing.taken[rank][worker] += len(turns) * crew.images
            for part in records:
                part.close()
    dealing.batches += batches
    return read


machines = st.builds(
    Machines,
    crew=st.builds(Crew, world=st.integers(1, 4), workers=st.integers(1, 3), images=st.integers(1, 5)),
    saved=st.integers(0, 6),
    lost=st.integers(0, 3),
)


@settings(max_examples=60)
@given(
    stretches=st.lists(machines, min_size=1, max_size=5),
    per_shard=st.sampled_from([1, 4, 100]),
    seed=st.integers(0, 100),
)
def test_every_pass_shows_every_sample_once_through_kills_and_other_machines(
    sets: dict[int, Path], stretches: list[Machines], per_shard: int, seed: int
) -> None:
    mixture = Mixture.of([ShardSet.open(str(sets[per_shard]))], oversample={"manual": 10.0, "automatic": 1.0})
    dealing, seen = Dealing(stretches[0].crew), []
    for stretch in stretches:
        dealing = dealing.dealt_to(stretch.crew)
        seen += _read(mixture, dealing, stretch.saved, seed)
        state = json.dumps(dealing.as_state())
        _read(mixture, dealing, stretch.lost, seed)
        dealing = Dealing.from_state(json.loads(state))
    assert max(Counter(seen).values(), default=1) == 1  # in no pass a sample twice
    alone = dealing.dealt_to(Crew(1, 1, 1))
    for _ in count():
        last = {part: max((cycle for p, cycle, _ in seen if p == part), default=0) for part in range(2)}
        shown = Counter((part, cycle) for part, cycle, _ in seen if cycle < last[part])
        if all(shown[part, cycle] == mixture.parts[part].samples for part in range(2) for cycle in range(last[part])):
            return  # every pass but the last of each part is complete: nothing was lost
        before = len(seen)
        seen += _read(mixture, alone, 1, seed)
        assert before < len(seen) < 5000, "a sample was lost: its pass never becomes complete"


def _loader(folder: Path, *, length: int, workers: int) -> TrainLoader:
    batches = TrainBatches(
        Mixture.of([ShardSet.open(str(folder))], oversample={"manual": 10.0}),
        ToExample(image_size=32, loss_size=16, masks_per_image=2),
        images=2,
        seed=7,
        rank=0,
        world=1,
        workers=workers,
        max_bad_share=0.9,
    )
    return TrainLoader(batches, length=length, workers=workers, pin_memory=False)


def _tensors(batch: Batch) -> list[Any]:
    return [getattr(batch, f.name) for f in fields(Batch)]


def _same(first: Batch, second: Batch) -> bool:
    pairs = zip(_tensors(first), _tensors(second), strict=True)
    return all(torch.equal(a, b) if isinstance(a, Tensor) else a == b for a, b in pairs)


@pytest.mark.parametrize("workers", [0, 2])
def test_twenty_kills_at_random_points_change_no_key_and_no_tensor(
    tmp_path: Path, draw_record: Draw, workers: int
) -> None:
    """A checkpoint every third batch; a kill loses what came after it and what was fetched. One scene is damaged."""
    with ShardWriter(tmp_path / "set", samples_per_shard=4) as writer:
        for number in range(13):
            files = draw_record(number)
            if number == 5:
                files["jpg"] = files["jpg"][:100]
            writer.write(f"sa_{number}", files, source=SOURCES[number % 2])
    length, chance = 60, random.Random(1)
    whole = list(_loader(tmp_path / "set", length=length, workers=workers))
    assert any(batch.skipped for batch in whole)
    state, kills = None, 0
    while kills < 20:
        loader = _loader(tmp_path / "set", length=length, workers=workers)
        if state is not None:
            loader.load_state_dict(json.loads(state))
        first = loader.given
        for number, batch in enumerate(islice(loader, chance.randint(1, 8)), first):
            assert _same(batch, whole[number])
            if (number + 1) % 3 == 0:
                state = json.dumps(loader.state_dict())
        kills += 1
    assert state is not None
    loader = _loader(tmp_path / "set", length=length, workers=workers)
    loader.load_state_dict(json.loads(state))
    rest = list(loader)
    assert all(map(_same, rest, whole[length - len(rest) :]))
