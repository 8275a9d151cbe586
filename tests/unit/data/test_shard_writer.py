"""Shards are whole under their names, and an attempt that was stopped is gone on with."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path

import pytest
from webdataset.tariterators import group_by_keys, tar_file_expander

from anymask.data.shard_writer import ShardWriter, count_masks
from anymask.data.shards import MANIFEST, ShardSet
from anymask.errors import UserError

Draw = Callable[..., dict[str, bytes]]
Write = Callable[..., Path]


def _files(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def _write_all(folder: Path, scenes: list[dict[str, bytes]], *, stop_after: int | None = None) -> None:
    with ShardWriter(folder, samples_per_shard=3, resume=True) as writer:
        for number, files in enumerate(scenes):
            if number == stop_after:
                os.kill(os.getpid(), signal.SIGKILL)
            writer.write(f"sa_{number}", files, source=("manual", "automatic")[number % 4 == 3])


@pytest.mark.parametrize("stops", [(1,), (5,), (7, 9), (4, 4, 12)])
def test_a_killed_attempt_is_gone_on_with_to_the_same_bytes(
    tmp_path: Path, draw_record: Draw, stops: tuple[int, ...]
) -> None:
    scenes = [draw_record(number) for number in range(14)]
    _write_all(tmp_path / "whole", scenes)
    for stop in stops:
        process = get_context("fork").Process(
            target=_write_all, args=(tmp_path / "stopped", scenes), kwargs={"stop_after": stop}
        )
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        tars = list((tmp_path / "stopped").glob("*.tar"))
        assert not (tmp_path / "stopped" / MANIFEST).exists()
        assert all(tar.with_suffix(".index.npy").is_file() for tar in tars)  # no shard without its index
    _write_all(tmp_path / "stopped", scenes)
    assert _files(tmp_path / "stopped") == _files(tmp_path / "whole")


def test_finished_shards_are_not_written_again(tmp_path: Path, draw_record: Draw) -> None:
    scenes = [draw_record(number) for number in range(8)]
    process = get_context("fork").Process(target=_write_all, args=(tmp_path / "s", scenes), kwargs={"stop_after": 6})
    process.start()
    process.join()
    first = tmp_path / "s" / "manual-000000.tar"
    before = first.stat().st_mtime_ns
    _write_all(tmp_path / "s", scenes)
    assert first.stat().st_mtime_ns == before
    assert ShardSet.open(str(tmp_path / "s")).samples == {"manual": 6, "automatic": 2}


def test_two_programs_do_not_write_to_one_folder(tmp_path: Path) -> None:
    with (
        ShardWriter(tmp_path / "s"),
        pytest.raises(UserError, match=r"another program is writing shards to .*/s"),
    ):
        ShardWriter(tmp_path / "s", resume=True)


def test_webdataset_reads_what_was_written(tiny_shards: Path, draw_record: Draw) -> None:
    read = {}
    for path in sorted(tiny_shards.glob("*.tar")):
        with path.open("rb") as stream:
            for sample in group_by_keys(tar_file_expander([{"url": str(path), "stream": stream}])):
                read[sample["__key__"]] = sample
    assert sorted(read) == [f"sa_{number}" for number in range(8)]
    assert read["sa_0"]["jpg"] == draw_record(0, "manual")["jpg"]


def test_the_manifest_counts_masks_and_bytes(tiny_shards: Path, draw_record: Draw) -> None:
    for entry in json.loads((tiny_shards / MANIFEST).read_text())["shards"]:
        assert entry["bytes"] == (tiny_shards / entry["url"]).stat().st_size
        assert entry["index"] == entry["url"].replace(".tar", ".index.npy")
    masks = sum(entry["masks"] for entry in json.loads((tiny_shards / MANIFEST).read_text())["shards"])
    assert masks == sum(len(json.loads(draw_record(number)["json"])["annotations"]) for number in range(8))


def test_masks_are_counted_without_being_believed() -> None:
    assert count_masks(b'{"annotations": [{}, 3, "x"]}') == 3
    assert count_masks(b'{"boundaries": []}') == count_masks(b"{") == count_masks(b"") == 0


def test_a_shard_of_no_records_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not samples_per_shard=0"):
        ShardWriter(tmp_path / "s", samples_per_shard=0)
