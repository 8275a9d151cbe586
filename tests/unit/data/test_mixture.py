from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from anymask.data.mixture import BLOCK, Draw, Mixture, MixturePart, Order, seeded
from anymask.data.shards import MANIFEST, ShardSet
from anymask.errors import UserError
from anymask.structures import Skipped, Source

Write = Callable[..., Path]
OVERSAMPLE: dict[Source, float] = {"manual": 10.0, "semi_automatic": 10.0, "automatic": 1.0}


def _mixture(folder: Path) -> Mixture:
    return Mixture.of([ShardSet.open(str(folder))], oversample=OVERSAMPLE)


def _parts(**samples: int) -> Mixture:
    """Parts of so many records, drawn by shares that go with them; nothing can be read."""
    total = sum(samples.values())
    return Mixture(
        tuple(MixturePart(name, "manual", "manual", (), count, count / total, name) for name, count in samples.items())
    )


def _keys(mixture: Mixture, number: int, *, seed: int = 0) -> list[str]:
    order, records = Order(mixture, seed=seed), [part.records() for part in mixture.parts]
    draws = [order.draw(place) for place in range(number)]
    return [records[draw.part].read(draw.record).key for draw in draws]


def test_shares_are_samples_times_oversampling_times_weight(write_shards: Write) -> None:
    first = ShardSet.open(str(write_shards(["manual"] * 2 + ["automatic"] * 6, name="first")))
    second = ShardSet.open(str(write_shards(["automatic"] * 4, name="second")))
    mixture = Mixture.of([first, second], oversample=OVERSAMPLE, weights=[1.0, 3.5])  # 20 + 6 + 14 = 40
    assert {part.label: part.samples for part in mixture.parts} == {
        "first/automatic": 6,
        "first/manual": 2,
        "second/automatic": 4,
    }
    assert [part.share for part in mixture.parts] == pytest.approx([6 / 40, 20 / 40, 14 / 40])
    by_source = mixture.by_source()
    assert by_source["automatic"] == pytest.approx((10, 0.5))
    assert by_source["manual"] == pytest.approx((2, 0.5))


@pytest.mark.parametrize("seed", range(5))
def test_a_source_is_drawn_ten_times_as_often(write_shards: Write, seed: int) -> None:
    order = Order(_mixture(write_shards(["manual"] * 8 + ["automatic"] * 8)), seed=seed)
    number, expected = 3 * BLOCK, 1 / 11
    of_first = sum(order.draw(place).part == 0 for place in range(number))  # automatic comes first
    standard_error = (expected * (1 - expected) / number) ** 0.5
    assert abs(of_first / number - expected) < 3 * standard_error


def test_sources_do_not_take_turns() -> None:
    """Of two parts with the same share, runs of one are as long as those of a coin."""
    order = Order(_parts(one=5, two=5), seed=3)
    parts = [order.draw(place).part for place in range(20_000)]
    changes = np.count_nonzero(np.diff(parts))
    assert abs(changes - 10_000) < 5 * (20_000 / 4) ** 0.5


def test_a_source_without_weight_is_never_drawn(tiny_shards: Path) -> None:
    mixture = Mixture.of([ShardSet.open(str(tiny_shards))], oversample={**OVERSAMPLE, "automatic": 0})
    assert set(_keys(mixture, 10)) == {"sa_0", "sa_4"}


def test_the_order_depends_on_the_seed_and_on_nothing_else(tiny_shards: Path) -> None:
    mixture = _mixture(tiny_shards)
    assert _keys(mixture, 40) == _keys(mixture, 40)
    assert _keys(mixture, 40, seed=1) != _keys(mixture, 40)


def test_sets_of_one_name_are_shuffled_apart(write_shards: Write) -> None:
    sets = [ShardSet.open(str(write_shards(["manual"] * 30, name=name))) for name in ("one/train", "two/train")]
    mixture = Mixture.of(sets, oversample={})
    assert [part.name for part in mixture.parts] == ["one train", "two train"]
    order = Order(mixture, seed=0)
    draws = [order.draw(number) for number in range(100)]
    first, second = ([draw.record for draw in draws if draw.part == part][:20] for part in (0, 1))
    assert first != second


def test_the_order_stays_where_a_set_is_moved(write_shards: Write) -> None:
    folders = [write_shards(["manual"] * 30, name=f"{place}/shards/train") for place in ("here", "there")]
    orders = [_keys(_mixture(folder), 30) for folder in folders]
    assert orders[0] == orders[1]
    assert orders[0][:5] == ["sa_4", "sa_6", "sa_12", "sa_7", "sa_22"]  # that of every run


def test_seeded_is_the_same_in_every_process() -> None:
    assert seeded("a", 1).random() == 0.45789501086118845
    assert seeded("a", 1).random() != seeded("a", 2).random()
    assert seeded("a", "b").random() != seeded("ab").random()


def test_every_pass_shows_every_record_of_its_part_once_and_in_another_order() -> None:
    mixture = _parts(small=7, large=400)
    order = Order(mixture, seed=2)
    draws = [order.draw(number) for number in range(5000)]
    for part, samples in enumerate([7, 400]):
        of_part = [draw for draw in draws if draw.part == part]
        passes = [of_part[begin : begin + samples] for begin in range(0, len(of_part) - samples + 1, samples)]
        assert len(passes) >= 5
        for cycle, shown in enumerate(passes):
            assert {draw.cycle for draw in shown} == {cycle}
            assert sorted(draw.record for draw in shown) == list(range(samples))
        assert [draw.record for draw in passes[0]] != [draw.record for draw in passes[1]]


def test_the_order_can_be_entered_anywhere() -> None:
    mixture = _parts(small=7, middle=100, large=4000)
    whole = Order(mixture, seed=5)
    draws: list[Draw] = [whole.draw(number) for number in range(2 * BLOCK + 50)]
    for first in (1, BLOCK - 1, BLOCK, 2 * BLOCK + 3):
        entered = Order(mixture, seed=5)
        assert [entered.draw(number) for number in range(first, first + 40)] == draws[first : first + 40]
    back = Order(mixture, seed=5)
    assert [back.draw(number) for number in (2 * BLOCK, 3)] == [draws[2 * BLOCK], draws[3]]


def test_records_of_one_source_are_found_in_mixed_shards(write_shards: Write) -> None:
    """A manifest whose shard holds two sources, as an index can say."""
    folder = write_shards(["manual", "automatic", "manual"], name="set")
    shards = ShardSet.open(str(folder))
    assert {part.label: part.samples for part in _mixture(folder).parts} == {"set/automatic": 1, "set/manual": 2}
    assert set(_keys(_mixture(folder), 60)) == {"sa_0", "sa_1", "sa_2"}
    assert len(shards.shards) == 2


def test_a_factor_below_zero_is_refused(tiny_shards: Path) -> None:
    with pytest.raises(UserError, match=r"oversample wants factors .* not {'manual': -1.0}"):
        Mixture.of([ShardSet.open(str(tiny_shards))], oversample={"manual": -1.0})


def test_a_mixture_of_nothing_is_refused(tiny_shards: Path) -> None:
    shards = ShardSet.open(str(tiny_shards))
    for sets in ([], [shards]):
        with pytest.raises(UserError, match="there is nothing to train on"):
            Mixture.of(sets, oversample={"manual": 0.0, "automatic": 0.0})


def _records(mixture: Mixture, number: int) -> list[object]:
    (part,) = mixture.parts
    records, order = part.records(), Order(mixture, seed=0)
    return [records.read(order.draw(place).record) for place in range(number)]


def test_what_a_truncated_shard_does_not_hold_is_reported_and_the_rest_is_drawn(write_shards: Write) -> None:
    folder = write_shards(["manual"] * 8, samples_per_shard=4)
    shard = folder / "manual-000001.tar"
    shard.write_bytes(shard.read_bytes()[:700])  # within the first photograph
    records = _records(_mixture(folder), 16)
    bad = [record for record in records if isinstance(record, Skipped)]
    assert Counter(record.key for record in bad) == {f"sa_{n}": 2 for n in range(4, 8)}
    assert all(record.shard == str(shard) for record in bad)
    assert all(record.reason == "the shard ends early" for record in bad)
    assert len(records) - len(bad) == 8


def test_a_manifest_that_does_not_fit_its_index_is_reported(write_shards: Write) -> None:
    folder = write_shards(["manual"] * 2)
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["shards"][0]["samples"] = {"manual": 3}
    (folder / MANIFEST).write_text(json.dumps(manifest))
    records = _records(_mixture(folder), 3)
    assert all(isinstance(record, Skipped) for record in records)
    assert "has 2 records, the manifest says 3" in records[0].reason  # type: ignore[attr-defined]
