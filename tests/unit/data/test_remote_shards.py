"""Shards on a server, read by ranges: the same batches as from the disk, and records are fetched ahead."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import fields
from functools import partial
from itertools import islice
from pathlib import Path
from typing import ClassVar

import pytest
from torch import Tensor

from anymask.data.mixture import Mixture
from anymask.data.shards import ShardSet
from anymask.data.stream import FETCHED_AHEAD, TrainBatches, TrainLoader, read_samples
from anymask.data.transforms import ToExample
from anymask.structures import Batch, Sample

Write = Callable[..., Path]


class _Handler(http.server.BaseHTTPRequestHandler):
    """Files by ranges, each answer after ``wait`` seconds. ``pending`` has how many waited when each was asked."""

    folder: ClassVar[Path]
    wait: ClassVar[float] = 0.0
    asked: ClassVar[list[str]] = []
    waiting: ClassVar[set[int]] = set()
    pending: ClassVar[list[int]] = []

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        self.waiting.add(id(self))
        self.pending.append(len(self.waiting))
        time.sleep(self.wait)
        self.waiting.remove(id(self))
        file = self.folder / self.path.lstrip("/")
        if not file.is_file():
            self.send_error(404)
            return
        data, wanted = file.read_bytes(), self.headers.get("Range")
        self.asked.append(f"{self.path} {wanted}")
        begin, end = 0, len(data)
        if wanted:
            first, last = wanted.removeprefix("bytes=").split("-")
            begin, end = int(first), min(end, int(last) + 1)
        self.send_response(206 if wanted else 200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(end - begin))
        if wanted:
            self.send_header("Content-Range", f"bytes {begin}-{end - 1}/{len(data)}")
        self.end_headers()
        if with_body:
            self.wfile.write(data[begin:end])

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """The address of ``tmp_path``."""
    handler = type("Handler", (_Handler,), {"folder": tmp_path, "asked": []})
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=partial(running.serve_forever, poll_interval=0.01))
    thread.start()
    yield f"http://127.0.0.1:{running.server_port}"
    running.shutdown()
    thread.join()
    running.server_close()


def _batches(path: str, *, workers: int = 0, length: int = 8) -> list[Batch]:
    batches = TrainBatches(
        Mixture.of([ShardSet.open(path)], oversample={"manual": 10.0}),
        ToExample(image_size=32, loss_size=16, masks_per_image=2),
        images=2,
        seed=0,
        rank=0,
        world=1,
        workers=workers,
        max_bad_share=0.5,
    )
    return list(TrainLoader(batches, length=length, workers=workers, pin_memory=False))


def _told(batch: Batch) -> list[object]:
    values = [getattr(batch, f.name) for f in fields(Batch)]
    return [value.tolist() if isinstance(value, Tensor) else value for value in values]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("place", ["tiny", "tiny/manifest.json"])
def test_batches_are_those_of_the_disk(tiny_shards: Path, server: str, workers: int, place: str) -> None:
    local, remote = (_batches(f"{root}/{place}", workers=workers) for root in (tiny_shards.parent, server))
    assert [_told(batch) for batch in remote] == [_told(batch) for batch in local]


def test_tars_without_a_manifest_are_read_by_a_pattern(tiny_shards: Path, server: str) -> None:
    (tiny_shards / "manifest.json").unlink()
    shards = ShardSet.open(f"{server}/tiny/automatic-{{000000..000001}}.tar")
    assert [shard.total for shard in shards.shards] == [4, 2]
    samples = list(read_samples(shards))
    assert [sample.key for sample in samples] == ["sa_1", "sa_2", "sa_3", "sa_5", "sa_6", "sa_7"]
    assert all(isinstance(sample, Sample) for sample in samples)


def test_a_slow_server_is_asked_for_several_records_at_once(
    tiny_shards: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shards = ShardSet.open(f"{server}/tiny")
    batches = TrainBatches(
        Mixture.of([shards], oversample={}),
        ToExample(image_size=32, loss_size=16, masks_per_image=2),
        images=1,
        seed=0,
        rank=0,
        world=1,
        workers=0,
        max_bad_share=0.5,
    )
    stream = iter(batches)
    next(stream)  # indexes and lengths are known by now, or soon
    time.sleep(0.5)
    monkeypatch.setattr(_Handler, "wait", 0.1)
    _Handler.pending.clear()
    assert len(list(islice(stream, 40))) == 40
    assert FETCHED_AHEAD / 2 < max(_Handler.pending) <= FETCHED_AHEAD
