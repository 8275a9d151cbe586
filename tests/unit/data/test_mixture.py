from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest

from anymask.data.mixture import Draws, Mixture, seeded
from anymask.data.shards import MANIFEST, ShardSet
from anymask.errors import UserError
from anymask.structures import Skipped, Source

Write = Callable[..., Path]
OVERSAMPLE: dict[Source, float] = {"manual": 10.0, "semi_automatic": 10.0, "automatic": 1.0}


def _mixture(folder: Path) -> Mixture:
    return Mixture.of([ShardSet.open(str(folder))], oversample=OVERSAMPLE)


def _draws(mixture: Mixture, *, seed: int = 0, slot: int = 0, slots: int = 1, buffer: int = 3) -> Draws:
    return Draws(mixture, seed=seed, slot=slot, slots=slots, buffer=buffer)


def _keys(draws: Draws, number: int) -> list[str]:
    return [record.key for _, record in islice(draws, number)]


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


def test_a_source_is_drawn_ten_times_as_often(write_shards: Write) -> None:
    mixture = _mixture(write_shards(["manual"] * 8 + ["automatic"] * 8))
    number, expected = 2000, 10 / 11
    drawn = Counter(part.source for part, _ in islice(_draws(mixture), number))
    standard_error = (expected * (1 - expected) / number) ** 0.5
    assert abs(drawn["manual"] / number - expected) < 3 * standard_error


def test_a_source_without_weight_is_never_drawn(tiny_shards: Path) -> None:
    mixture = Mixture.of([ShardSet.open(str(tiny_shards))], oversample={**OVERSAMPLE, "automatic": 0})
    assert set(_keys(_draws(mixture), 10)) == {"sa_0", "sa_4"}


def test_draws_depend_on_seed_and_slot_and_on_nothing_else(tiny_shards: Path) -> None:
    mixture = _mixture(tiny_shards)
    first = _keys(_draws(mixture, slots=2), 40)
    assert _keys(_draws(mixture, slots=2), 40) == first
    assert _keys(_draws(mixture, seed=1, slots=2), 40) != first
    assert _keys(_draws(mixture, slot=1, slots=2), 40) != first


def test_sets_of_one_name_are_shuffled_apart(write_shards: Write) -> None:
    sets = [ShardSet.open(str(write_shards(["manual"] * 30, name=name))) for name in ("one/train", "two/train")]
    of_part: dict[str, list[str]] = {}
    for part, record in islice(_draws(Mixture.of(sets, oversample={}), buffer=10), 60):
        of_part.setdefault(part.name, []).append(record.key)
    assert set(of_part) == {"one train", "two train"}
    assert of_part["one train"][:10] != of_part["two train"][:10]


def test_the_order_stays_where_a_set_is_moved(write_shards: Write) -> None:
    folders = [write_shards(["manual"] * 30, name=f"{place}/shards/train") for place in ("here", "there")]
    orders = [_keys(_draws(_mixture(folder), buffer=10), 30) for folder in folders]
    assert orders[0] == orders[1]
    assert orders[0][:5] == ["sa_7", "sa_9", "sa_11", "sa_10", "sa_13"]  # that of every run so far


def test_seeded_is_the_same_in_every_process() -> None:
    assert seeded("a", 1).random() == 0.45789501086118845
    assert seeded("a", 1).random() != seeded("a", 2).random()
    assert seeded("a", "b").random() != seeded("ab").random()


@pytest.mark.parametrize(
    ("samples", "per_shard", "slots"),
    [(12, 3, 1), (12, 3, 2), (12, 3, 4), (8, 4, 4), (6, 6, 3), (6, 1, 3)],
)
def test_a_pass_shows_every_sample_to_exactly_one_slot(
    write_shards: Write, samples: int, per_shard: int, slots: int
) -> None:
    mixture = _mixture(write_shards(["manual"] * samples, samples_per_shard=per_shard))
    of_slots = [_keys(_draws(mixture, slot=slot, slots=slots, buffer=1), 3 * samples // slots) for slot in range(slots)]
    passes = [[key for keys in of_slots for key in keys[n * samples // slots :][: samples // slots]] for n in range(3)]
    for shown in passes:
        assert sorted(shown) == sorted(f"sa_{n}" for n in range(samples))
    assert passes[0] != passes[1] or samples == per_shard  # shards are dealt anew


def test_a_buffer_mixes_samples_of_different_shards(write_shards: Write) -> None:
    mixture = _mixture(write_shards(["manual"] * 12, samples_per_shard=4))
    in_order, shuffled = (_keys(_draws(mixture, buffer=buffer), 36) for buffer in (1, 8))
    shards_of = [[int(key.removeprefix("sa_")) // 4 for key in keys[:4]] for keys in (in_order, shuffled)]
    assert len(set(shards_of[0])) == 1
    assert len(set(shards_of[1])) > 1


@pytest.mark.parametrize("skipped", [1, 7, 20, 61])
@pytest.mark.parametrize("buffer", [1, 5, 30])
def test_skipping_draws_is_as_if_they_had_been_drawn(tiny_shards: Path, skipped: int, buffer: int) -> None:
    mixture = _mixture(tiny_shards)
    drawn = _keys(_draws(mixture, slot=1, slots=2, buffer=buffer), skipped + 30)
    going_on = _draws(mixture, slot=1, slots=2, buffer=buffer)
    going_on.skip(skipped)
    assert going_on.number == skipped
    assert _keys(going_on, 30) == drawn[skipped:]


def test_more_slots_than_samples_are_refused(write_shards: Write) -> None:
    mixture = _mixture(write_shards(["manual"] * 2))
    with pytest.raises(UserError, match=r"too few samples \(2 in 1 shards\) for 3 loader workers"):
        _keys(_draws(mixture, slot=2, slots=3), 1)


def test_a_factor_below_zero_is_refused(tiny_shards: Path) -> None:
    with pytest.raises(UserError, match=r"oversample wants factors .* not {'manual': -1.0}"):
        Mixture.of([ShardSet.open(str(tiny_shards))], oversample={"manual": -1.0})


def test_a_mixture_of_nothing_is_refused(tiny_shards: Path) -> None:
    shards = ShardSet.open(str(tiny_shards))
    for sets in ([], [shards]):
        with pytest.raises(UserError, match="there is nothing to train on"):
            Mixture.of(sets, oversample={"manual": 0.0, "automatic": 0.0})


def test_what_a_truncated_shard_does_not_hold_is_reported_and_the_draws_go_on(write_shards: Write) -> None:
    folder = write_shards(["manual"] * 8, samples_per_shard=4)
    shard = folder / "manual-000001.tar"
    shard.write_bytes(shard.read_bytes()[:700])  # within the first photograph
    records = [record for _, record in islice(_draws(_mixture(folder), buffer=1), 16)]
    bad = [record for record in records if isinstance(record, Skipped)]
    assert [record.key for record in bad] == [f"sample {n}" for n in range(4)] * 2
    assert all(record.shard == str(shard) for record in bad)
    assert all("the shard cannot be read on: ReadError" in record.reason for record in bad)
    assert Counter(record.key for record in records if not isinstance(record, Skipped)) == {
        f"sa_{n}": 2 for n in range(4)
    }


def test_a_shard_with_fewer_samples_than_its_manifest_says_is_reported(write_shards: Write) -> None:
    folder = write_shards(["manual"] * 2)
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["shards"][0]["samples"] = {"manual": 3}
    (folder / MANIFEST).write_text(json.dumps(manifest))
    records = [record for _, record in islice(_draws(_mixture(folder), buffer=1), 3)]
    assert [record.key for record in records] == ["sa_0", "sa_1", "sample 2"]
    assert isinstance(records[2], Skipped)
    assert records[2].reason == "the shard holds fewer samples than its manifest says"
