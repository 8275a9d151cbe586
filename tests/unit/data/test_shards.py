from __future__ import annotations

import hashlib
import io
import json
import pickle
import tarfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from anymask.data.records import RawSample
from anymask.data.shard_writer import ShardWriter
from anymask.data.shards import MANIFEST, Records, ShardSet
from anymask.errors import UserError
from anymask.structures import Skipped

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
    records = Records(shards.shards, shards.default_source)
    read = [records.read(number) for number in range(len(records))]
    assert [name for _, name in records.names()] == [record.key for record in read]
    assert not any(isinstance(record, Skipped) for record in read), read
    return [record for record in read if isinstance(record, RawSample)]


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


def test_a_manifest_of_version_1_has_its_shards_indexed_anew(write_shards: Write) -> None:
    folder = write_shards(["semi_automatic"] * 3, samples_per_shard=2)
    now = ShardSet.open(str(folder))
    manifest = json.loads((folder / MANIFEST).read_text())
    old = [{key: entry[key] for key in ("url", "samples", "sha256")} for entry in manifest["shards"]]
    (folder / MANIFEST).write_text(json.dumps({"format": "anymask shards", "version": 1, "shards": old}))
    then = ShardSet.open(str(folder))
    assert (then.samples, then.fingerprint()) == ({"semi_automatic": 3}, now.fingerprint())
    assert [(r.key, r.files) for r in _records(then)] == [(r.key, r.files) for r in _records(now)]
    old[0]["samples"] = {"manual": 1, "automatic": 1}
    (folder / MANIFEST).write_text(json.dumps({"format": "anymask shards", "version": 1, "shards": old}))
    with pytest.raises(UserError, match="has records of manual and automatic and no index"):
        ShardSet.open(str(folder))


def test_a_pattern_takes_some_of_the_shards_that_a_manifest_describes(write_shards: Write) -> None:
    folder = write_shards(["manual"] * 6, samples_per_shard=2)
    some = ShardSet.open(f"{folder}/manual-{{000001..000002}}.tar", source="automatic")
    assert some.samples == {"manual": 4}  # as the manifest says, not as the configuration
    assert [record.key for record in _records(some)] == ["sa_2", "sa_3", "sa_4", "sa_5"]


def test_records_are_read_in_any_order_by_any_process(write_shards: Write) -> None:
    shards = ShardSet.open(str(write_shards(["manual"] * 5, samples_per_shard=2)))
    records = Records(shards.shards, "manual")
    assert len(records) == 5
    assert [records.read(number).key for number in (4, 0, 3, 3, 1)] == ["sa_4", "sa_0", "sa_3", "sa_3", "sa_1"]
    sent = pickle.loads(pickle.dumps(records))
    assert sent.read(2).files == records.read(2).files  # type: ignore[union-attr]
    records.close()
    assert records.read(2).key == "sa_2"


def test_a_shard_that_has_grown_is_another_one(write_shards: Write) -> None:
    folder = write_shards(["manual"] * 2)
    with (folder / "manual-000000.tar").open("ab") as tar:
        tar.write(bytes(512))
    records = Records(ShardSet.open(str(folder)).shards, "manual")
    record = records.read(0)
    assert isinstance(record, Skipped)
    assert "longer than its manifest says" in record.reason


def test_the_fingerprint_tells_sets_apart_but_not_places(write_shards: Write) -> None:
    first, again, other = (
        ShardSet.open(str(write_shards(sources, name=name))).fingerprint()
        for name, sources in (("a", ["manual"] * 2), ("b", ["manual"] * 2), ("c", ["manual"] * 3))
    )
    assert first == again != other


def test_a_truncated_tar_gives_what_is_whole_and_tells_the_rest(tmp_path: Path, draw_record: Draw) -> None:
    path = _sa1b_tar(tmp_path / "cut.tar", draw_record, range(4))
    with tarfile.open(path) as tar:
        within = tar.getmember("./sa_2.json").offset_data + 10
    path.write_bytes(path.read_bytes()[:within])
    shards = ShardSet.open(str(path))
    assert [record.key for record in _records(shards)] == ["sa_0", "sa_1"]
    assert [(defect.shard, defect.key) for defect in shards.defects] == [(str(path), "sa_2")]


def test_a_tar_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "photograph.tar"
    path.write_bytes(b"\xff\xd8 no tar" * 100)
    with pytest.raises(UserError, match=r"photograph.tar is not a tar file"):
        ShardSet.open(str(path))


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
        ({"version": 3}, "its format is 'anymask shards' 3"),
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
