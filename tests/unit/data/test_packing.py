"""Packing any layout: order, splits, draws, and the same bytes by one process or several."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import pytest

from anymask.data.packing import Photograph, is_held_out, key_of, keyed, pack
from anymask.data.shards import Records, ShardSet
from anymask.errors import UserError

Draw = Callable[..., dict[str, bytes]]


@dataclass(frozen=True)
class Scenes:
    """Scenes by number; some are read as a mistake, or have no mask."""

    draw: Draw
    number: int
    broken: frozenset[int] = frozenset()
    empty: frozenset[int] = frozenset()
    keys: Mapping[int, str] = field(default_factory=dict)

    def items(self) -> Mapping[str, int]:
        return keyed((self.keys.get(n, f"scene-{n}"), n) for n in range(self.number))

    def read(self, item: int) -> Photograph:
        if item in self.broken:
            raise UserError(f"scene {item} is broken")
        files = self.draw(item, None)
        content = json.loads(files["json"])
        entries: list[dict[str, Any]] = [] if item in self.empty else content["annotations"]
        return Photograph(files["jpg"], content["image"], entries, {"crowd regions": item % 2})


def _files(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def _keys(folder: Path) -> list[str]:
    return [key for _, key in Records(ShardSet.open(str(folder)).shards, "manual").names()]


def test_several_processes_write_the_same_bytes_as_one(tmp_path: Path, draw_record: Draw) -> None:
    scenes = Scenes(draw_record, 23, empty=frozenset({4, 5}))
    counts = [
        pack(scenes, tmp_path / str(n), source="manual", held_out=0.3, samples_per_shard=4, workers=n) for n in (1, 3)
    ]
    assert _files(tmp_path / "1") == _files(tmp_path / "3")
    assert str(counts[0]) == str(counts[1])
    assert counts[0].photographs.total() == 21
    assert str(counts[0]).endswith("; left out: 11 crowd regions, 2 photographs without masks")
    assert set(_keys(tmp_path / "1/held_out")) == {
        f"scene-{n}" for n in range(23) if is_held_out(f"scene-{n}", 0.3) and n not in (4, 5)
    }


@pytest.mark.parametrize("workers", [1, 2])
def test_the_first_mistake_ends_it_and_leaves_nothing(tmp_path: Path, draw_record: Draw, workers: int) -> None:
    scenes = Scenes(draw_record, 9, broken=frozenset({3, 7}))
    with pytest.raises(UserError, match=r"^scene 3 is broken$"):
        pack(scenes, tmp_path / "out", source="manual", samples_per_shard=2, workers=workers)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_packing_goes_on(tmp_path: Path, draw_record: Draw) -> None:
    @dataclass(frozen=True)
    class Interrupted(Scenes):
        def read(self, item: int) -> Photograph:
            if item == 6:
                raise KeyboardInterrupt
            return super().read(item)

    with pytest.raises(KeyboardInterrupt):
        pack(Interrupted(draw_record, 9), tmp_path / "out", source="manual", samples_per_shard=2)
    assert not (tmp_path / "out").exists()
    assert len(list((tmp_path / ".out.part").glob("*.tar"))) == 3
    counts = pack(Scenes(draw_record, 9), tmp_path / "out", source="manual", samples_per_shard=2)
    pack(Scenes(draw_record, 9), tmp_path / "whole", source="manual", samples_per_shard=2)
    assert counts.photographs.total() == 9
    assert _files(tmp_path / "out") == _files(tmp_path / "whole")
    assert not (tmp_path / ".out.part").exists()


def _stop(layout: Scenes, out: Path, at: int, **options: Any) -> list[str]:
    """A packing that is stopped at a scene; the shards that it has finished."""

    @dataclass(frozen=True)
    class Stopped(Scenes):
        def read(self, item: int) -> Photograph:
            if item == at:
                raise KeyboardInterrupt
            return super().read(item)

    stopped = Stopped(**{f.name: getattr(layout, f.name) for f in fields(Scenes)})
    with pytest.raises(KeyboardInterrupt):
        pack(stopped, out, source="manual", **options)
    return [str(path) for path in out.with_name(f".{out.name}.part").rglob("*.tar")]


@pytest.mark.parametrize(
    ("first", "before", "after"),
    [
        ({"number": 9, "shift": 1}, {}, {}),  # the same keys, other photographs
        ({"number": 9, "names": "other"}, {}, {}),
        ({"number": 20}, {}, {}),  # more
        ({"number": 9, "empty": frozenset({2})}, {}, {}),  # an annotation that has been completed
        ({"number": 9}, {"samples_per_shard": 3}, {}),
        ({"number": 9}, {"held_out": 0.5}, {}),
        ({"number": 9}, {}, {"held_out": 0.5}),
        ({"number": 9}, {"enough_masks": 1000}, {}),
    ],
)
def test_what_was_stopped_and_is_now_another_thing_begins_anew(
    tmp_path: Path, draw_record: Draw, first: dict[str, Any], before: dict[str, Any], after: dict[str, Any]
) -> None:
    """Shards of the first attempt were once kept beside those of the second."""
    first = {"names": "scene", **first}
    names, shift = first.pop("names"), first.pop("shift", 0)
    keys = {n: f"{names}-{n}" for n in range(first["number"])}
    drawn = Scenes(lambda n, source: draw_record(n + shift, source), keys=keys, **first)
    assert _stop(drawn, tmp_path / "out", at=8, **{"samples_per_shard": 2, **before})
    now, options = Scenes(draw_record, 9), {"samples_per_shard": 2, **after}
    counts = pack(now, tmp_path / "out", source="manual", **options)
    assert str(counts) == str(pack(now, tmp_path / "whole", source="manual", **options))
    assert _files(tmp_path / "out") == _files(tmp_path / "whole")


def test_a_second_program_leaves_the_first_ones_work_alone(tmp_path: Path, draw_record: Draw) -> None:
    """Its refusal once removed what the first had packed."""

    @dataclass(frozen=True)
    class Twice(Scenes):
        def read(self, item: int) -> Photograph:
            if item == 7:
                with pytest.raises(UserError, match=r"another program is writing shards to .*out"):
                    pack(Scenes(self.draw, 9), tmp_path / "out", source="manual", held_out=0.5)
            return super().read(item)

    assert pack(Twice(draw_record, 9), tmp_path / "out", source="manual", samples_per_shard=2).photographs.total() == 9
    assert len(_keys(tmp_path / "out")) == 9
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_draw_goes_by_the_hashes_of_the_keys_until_there_are_enough_masks(tmp_path: Path, draw_record: Draw) -> None:
    """Whatever else is in the set: without some that are not drawn, the draw is the same."""
    drawn = pack(Scenes(draw_record, 30), tmp_path / "a", source="manual", enough_masks=20)
    keys = _keys(tmp_path / "a")
    masks = [len(json.loads(draw_record(int(key.split("-")[1]))["json"])["annotations"]) for key in keys]
    assert 20 <= drawn.masks.total() == sum(masks) < 20 + masks[-1]
    assert keys != sorted(keys)
    others = [n for n in range(30) if f"scene-{n}" not in keys]

    @dataclass(frozen=True)
    class Fewer(Scenes):
        def items(self) -> Mapping[str, int]:
            return {key: n for key, n in super().items().items() if n not in others[::2]}

    pack(Fewer(draw_record, 30), tmp_path / "b", source="manual", enough_masks=20)
    assert _keys(tmp_path / "b") == keys


def test_keys_are_checked(tmp_path: Path, draw_record: Draw) -> None:
    for key in ("a.b", "a/b", "../../x", "", "x" * 201, "a\0b"):
        with pytest.raises(UserError, match="has a dot or a slash"):
            pack(Scenes(draw_record, 2, keys={1: key}), tmp_path / "out", source="manual")
    with pytest.raises(UserError, match="two photographs have the name 'scene-0'"):
        pack(Scenes(draw_record, 2, keys={1: "scene-0"}), tmp_path / "out", source="manual")
    assert key_of("../a b.c/é1") == "___a_b_c_é1"


def test_numbers_that_were_not_expected_are_refused(tmp_path: Path, draw_record: Draw) -> None:
    with pytest.raises(UserError, match="there are 3 photographs, not 4 as expected"):
        pack(Scenes(draw_record, 3), tmp_path / "out", source="manual", expected=(4, None))
    with pytest.raises(UserError, match="no photograph is left for the shards out of 2"):
        pack(Scenes(draw_record, 2, empty=frozenset({0, 1})), tmp_path / "out", source="manual")
    with pytest.raises(UserError, match=r"lies between 0 and 1, not at 1\.5"):
        pack(Scenes(draw_record, 2), tmp_path / "out", source="manual", held_out=1.5)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").touch()
    with pytest.raises(UserError, match="out is not an empty folder"):
        pack(Scenes(draw_record, 2), tmp_path / "out", source="manual")
