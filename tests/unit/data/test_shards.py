from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from pathlib import Path

import pytest

from anymask.data.records import RawSample
from anymask.data.shards import MANIFEST, ShardError, ShardSet, ShardWriter, read_shard, records_of_source
from anymask.errors import UserError
from anymask.structures import SOURCES

Draw = Callable[..., dict[str, bytes]]
Write = Callable[..., Path]


def _plain_tar(path: Path, files: dict[str, bytes]) -> Path:
    """As SA-1B's own: no manifest, names that begin with ./"""
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def _sa1b_tar(path: Path, draw: Draw, numbers: range) -> Path:
    scenes = {number: draw(number, None) for number in numbers}
    return _plain_tar(path, {f"sa_{n}.{ending}": data for n, files in scenes.items() for ending, data in files.items()})


def _records(shards: ShardSet) -> list[RawSample]:
    return [record for shard in shards.shards for record in read_shard(shard.url)]


def test_what_was_written_is_read(tiny_shards: Path, draw_record: Draw) -> None:
    shards = ShardSet.open(str(tiny_shards))
    assert shards.name == "tiny"
    assert shards.samples == {"automatic": 6, "manual": 2}
    assert [(Path(shard.url).name, shard.samples) for shard in shards.shards] == [
        ("automatic-000000.tar", {"automatic": 4}),
        ("manual-000000.tar", {"manual": 2}),
        ("automatic-000001.tar", {"automatic": 2}),
    ]
    records = _records(shards)
    assert [record.key for record in records] == [f"sa_{n}" for n in (1, 2, 3, 5, 0, 4, 6, 7)]
    assert records[4].files == draw_record(0, "manual")


def test_the_manifest_holds_the_hash_of_each_shard_and_the_same_records_give_the_same_bytes(
    write_shards: Write,
) -> None:
    folders = [write_shards(["manual"] * 3, name=name, samples_per_shard=2) for name in ("first", "second")]
    manifests = [(folder / MANIFEST).read_bytes() for folder in folders]
    assert manifests[0] == manifests[1]
    entries = json.loads(manifests[0])["shards"]
    assert len(entries) == 2
    for entry in entries:
        for folder in folders:
            assert hashlib.sha256((folder / entry["url"]).read_bytes()).hexdigest() == entry["sha256"]


def test_nothing_is_left_under_a_final_name_where_writing_fails(tmp_path: Path, draw_record: Draw) -> None:
    class OutOfInkError(Exception):
        pass

    with suppress(OutOfInkError), ShardWriter(tmp_path / "half") as writer:
        writer.write("sa_0", draw_record(0), source="manual")
        raise OutOfInkError
    assert list((tmp_path / "half").iterdir()) == []


def test_a_folder_that_is_not_empty_is_not_written_to(tiny_shards: Path) -> None:
    with pytest.raises(UserError, match="tiny is not empty"):
        ShardWriter(tiny_shards)


def test_plain_tars_are_read_as_they_are(tmp_path: Path, draw_record: Draw) -> None:
    _sa1b_tar(tmp_path / "sa_000000.tar", draw_record, range(3))
    _sa1b_tar(tmp_path / "sa_000001.tar", draw_record, range(3, 5))
    by_folder = ShardSet.open(str(tmp_path), source="semi_automatic")
    by_pattern = ShardSet.open(f"{tmp_path}/sa_{{000000..000001}}.tar", source="semi_automatic")
    assert by_folder == by_pattern
    assert by_folder.samples == {"semi_automatic": 5}
    records = _records(by_folder)
    assert [record.key for record in records] == [f"sa_{n}" for n in range(5)]
    assert records[4].files == draw_record(4, None)


def test_records_of_a_mixed_shard_are_told_apart(tmp_path: Path, draw_record: Draw) -> None:
    with ShardWriter(tmp_path / "mixed") as writer:
        for number, stated in enumerate(["manual", "automatic", "manual"]):
            writer.write(f"sa_{number}", draw_record(number, stated), source="automatic")
    (tmp_path / "mixed" / MANIFEST).write_text(
        json.dumps(
            {
                "format": "anymask shards",
                "version": 1,
                "shards": [{"url": "automatic-000000.tar", "samples": {"manual": 2, "automatic": 1}}],
            }
        )
    )
    (shard,) = ShardSet.open(str(tmp_path / "mixed")).shards
    keys = {source: [record.key for record in records_of_source(shard, source, "automatic")] for source in SOURCES}
    assert keys == {"manual": ["sa_0", "sa_2"], "automatic": ["sa_1"], "semi_automatic": []}


def test_the_fingerprint_tells_sets_apart_but_not_places(write_shards: Write) -> None:
    first, again, other = (
        ShardSet.open(str(write_shards(sources, name=name))).fingerprint()
        for name, sources in (("a", ["manual"] * 2), ("b", ["manual"] * 2), ("c", ["manual"] * 3))
    )
    assert first == again != other


def test_a_truncated_tar_gives_what_is_whole_and_then_the_reason(tmp_path: Path, draw_record: Draw) -> None:
    path = _sa1b_tar(tmp_path / "cut.tar", draw_record, range(4))
    with tarfile.open(path) as tar:
        within = tar.getmember("./sa_2.json").offset_data + 10
    path.write_bytes(path.read_bytes()[:within])
    records = read_shard(str(path))
    assert [record.key for record in islice(records, 2)] == ["sa_0", "sa_1"]
    with pytest.raises(ShardError, match="ReadError: unexpected end of data"):
        next(records)


def test_a_tar_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "photograph.tar"
    path.write_bytes(b"\xff\xd8 no tar" * 100)
    with pytest.raises(ShardError):
        list(read_shard(str(path)))
    with pytest.raises(UserError, match=r"photograph.tar is not a tar file"):
        ShardSet.open(str(path))


def test_a_pipe_is_not_run(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    command = f"pipe:touch {trace}"
    with pytest.raises(UserError, match="would run a command"):
        list(read_shard(command))
    with pytest.raises(UserError, match="would run a command"):
        ShardSet.open(command)
    assert not trace.exists()


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("coco_val80/shards", "coco_val80"),
        ("sa_mini/shards/held_out", "sa_mini held_out"),
        ("mine/train", "mine train"),
        ("sa1b", "sa1b"),
    ],
)
def test_a_set_is_called_by_what_tells_it_from_others(
    tmp_path: Path, write_shards: Write, draw_record: Draw, folder: str, name: str
) -> None:
    """Many a folder is called shards or held_out."""
    assert ShardSet.open(str(write_shards(["manual"], name=folder))).name == name
    plain = tmp_path / "plain" / folder
    plain.mkdir(parents=True)
    _sa1b_tar(plain / "sa_000000.tar", draw_record, range(1))
    assert ShardSet.open(str(plain)).name == ShardSet.open(f"{plain}/sa_{{000000..000000}}.tar").name == name


def test_braces_that_do_not_match_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"the braces in '.*/sa_{000000\.\.000999\.tar' do not match"):
        ShardSet.open(f"{tmp_path}/sa_{{000000..000999.tar")


def test_a_folder_may_have_braces_in_its_name(write_shards: Write) -> None:
    assert ShardSet.open(str(write_shards(["manual"], name="odd{1"))).samples == {"manual": 1}


def test_paths_without_shards_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there are no shards in .*: neither manifest.json nor a tar file"):
        ShardSet.open(str(tmp_path))
    with pytest.raises(UserError, match=r"there is no shard at .*absent"):
        ShardSet.open(str(tmp_path / "absent"))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"format": "other shards"}, "its format is 'other shards'"),
        ({"version": 2}, "its format is 'anymask shards' 2"),
        ({"shards": None}, "is not a manifest of shards"),
        ({"shards": [{"url": "a.tar"}]}, "is not a manifest of shards"),
        ({"shards": [{"url": "a.tar", "samples": {"mine": 1}}]}, "unknown source 'mine'"),
        ({"shards": [{"url": "a.tar", "samples": {"manual": 1}}]}, "names shards that are not there: .*a.tar"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(tmp_path: Path, change: object, reason: str) -> None:
    content = {"format": "anymask shards", "version": 1, "shards": []} | change  # type: ignore[operator]
    (tmp_path / MANIFEST).write_text(json.dumps(content))
    with pytest.raises(UserError, match=reason):
        ShardSet.open(str(tmp_path))


def test_a_manifest_that_is_no_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text("shards:")
    with pytest.raises(UserError, match=r"manifest.json is not a manifest of shards"):
        ShardSet.open(str(tmp_path))
