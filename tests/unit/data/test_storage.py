"""Bytes by their address: commands only where they are allowed, servers asked again, files closed."""

from __future__ import annotations

import hashlib
import http.server
import io
import os
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import ClassVar

import pytest

from anymask.data import storage
from anymask.data.shards import ShardSet
from anymask.data.storage import Pipes, Ranges, StorageError, exists, join, open_file, read_whole, sha256_of, size_of
from anymask.errors import UserError


def test_parts_of_files_are_read_and_few_files_stay_open(tmp_path: Path) -> None:
    ranges = Ranges()
    before = len(os.listdir("/proc/self/fd"))
    for number in range(storage.OPEN_FILES + 20):
        path = tmp_path / str(number)
        path.write_bytes(b"0123456789")
        assert ranges.read(str(path), 3, 4) == b"3456"
    assert len(os.listdir("/proc/self/fd")) == before + storage.OPEN_FILES
    assert ranges.read(f"file://{tmp_path}/0", 0, 1) == b"0"
    ranges.close()
    assert len(os.listdir("/proc/self/fd")) == before
    with pytest.raises(StorageError, match="ends early"):
        ranges.read(str(tmp_path / "0"), 8, 3)
    with pytest.raises(StorageError, match="No such file"):
        ranges.read(str(tmp_path / "absent"), 0, 1)


def test_addresses_are_joined() -> None:
    assert join("s3://bucket/a/", "b.tar") == "s3://bucket/a/b.tar"
    assert join("/data", "https://host/b.tar") == "https://host/b.tar"
    assert join("/data", "/other/b.tar") == "/other/b.tar"


def test_what_nothing_can_read_is_told_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"s3://bucket/set.* cannot be read: .*s3fs"):
        ShardSet.open("s3://bucket/set")
    with pytest.raises(UserError, match=r"magic://bucket/a\.tar cannot be read"):
        exists("magic://bucket/a.tar")
    with pytest.raises(StorageError, match="No such file"):
        size_of(str(tmp_path / "absent"))


# ---- servers ----


class _Handler(http.server.BaseHTTPRequestHandler):
    """Drops the connection in the middle of the answer ``drops`` times; /secret is forbidden, /whole has no ranges."""

    drops: ClassVar[int] = 0

    def do_HEAD(self) -> None:
        self._answer(b"")

    def do_GET(self) -> None:
        self._answer(b"0123456789")

    def _answer(self, data: bytes) -> None:
        if self.path not in ("/file", "/whole"):
            self.send_error(403 if self.path == "/secret" else 404)
            return
        wanted = self.headers.get("Range") if self.path == "/file" else None
        first, last = wanted.removeprefix("bytes=").split("-") if wanted else (0, 9)
        data = data[int(first) : int(last) + 1]
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(data) if data else 10))
        self.end_headers()
        if data and type(self).drops > 0:
            type(self).drops -= 1
            self.wfile.write(data[:4])
            self.close_connection = True
            return
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(storage, "WAITS", (0.01, 0.01))
    handler = type("Handler", (_Handler,), {})
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    running.handler = handler  # type: ignore[attr-defined]
    thread = threading.Thread(target=partial(running.serve_forever, poll_interval=0.01))
    thread.start()
    monkeypatch.setattr(_Handler, "server_handler", handler, raising=False)
    yield f"http://127.0.0.1:{running.server_port}"
    running.shutdown()
    thread.join()
    running.server_close()


@pytest.mark.parametrize(("drops", "works"), [(0, True), (2, True), (3, False)])
def test_a_server_that_drops_the_connection_is_asked_again(server: str, drops: int, works: bool) -> None:
    _Handler.server_handler.drops = drops  # type: ignore[attr-defined]
    if works:
        assert read_whole(f"{server}/file") == b"0123456789"
    else:
        with pytest.raises(StorageError, match="/file does not answer"):
            read_whole(f"{server}/file")


@pytest.mark.parametrize("drops", [0, 2])
def test_a_file_of_a_server_is_read_like_one_of_the_disk(server: str, drops: int) -> None:
    _Handler.server_handler.drops = drops  # type: ignore[attr-defined]
    with open_file(f"{server}/file") as file:
        assert file.read(3) == b"012"
        assert (file.seek(-2, io.SEEK_END), file.read(9)) == (8, b"89")
        assert (file.seek(1), file.seek(2, io.SEEK_CUR), file.read(2)) == (1, 3, b"34")
        assert (file.seek(99), file.read(1)) == (99, b"")
    assert Ranges().read(f"{server}/file", 3, 4) == b"3456"
    assert sha256_of(f"{server}/file") == hashlib.sha256(b"0123456789").hexdigest()


def test_a_server_without_ranges_gives_no_wrong_bytes(server: str) -> None:
    """Asked for four bytes, it sends all: they would be taken for those of another record."""
    with pytest.raises(StorageError, match="/whole is on a server that does not send parts of files"):
        Ranges().read(f"{server}/whole", 3, 4)
    assert read_whole(f"{server}/whole") == b"0123456789"


def test_what_ends_early_is_no_record(server: str) -> None:
    with pytest.raises(StorageError, match="ends early"):
        Ranges().read(f"{server}/file", 8, 4)


def test_what_is_not_there_or_forbidden_is_told(server: str) -> None:
    assert exists(f"{server}/file")
    assert not exists(f"{server}/absent")
    with pytest.raises(StorageError, match="/absent cannot be read"):
        read_whole(f"{server}/absent")
    with pytest.raises(StorageError, match="/secret"):
        read_whole(f"{server}/secret")


# ---- commands ----


def test_a_pipe_is_not_run_where_nothing_allows_it(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    for pipes in (Pipes(), Pipes(("cat",), tmp_path)):
        with pytest.raises(UserError, match=r"'pipe:touch .*trace' would run a command: allowed are the programs"):
            ShardSet.open(f"pipe:touch {trace}", pipes=pipes)
    with pytest.raises(UserError, match="needs a folder for a copy"):
        ShardSet.open(f"pipe:touch {trace}", pipes=Pipes(("touch",)))
    assert not trace.exists()


def test_an_allowed_command_runs_once_and_without_a_shell(tmp_path: Path, tiny_shards: Path) -> None:
    tar, trace = tiny_shards / "manual-000000.tar", tmp_path / "trace"
    pipes = Pipes(("cat", "sh"), tmp_path / "copies")
    shards = ShardSet.open(f"pipe:cat {tar}", source="manual", pipes=pipes)
    assert shards.samples == {"manual": 2}
    tar.unlink()  # the copy is enough
    assert ShardSet.open(f"pipe:cat {tar}", source="manual", pipes=pipes).samples == {"manual": 2}
    with pytest.raises(UserError, match=r"failed with exit status 1: cat: .*No such file"):
        ShardSet.open(f"pipe:cat {tiny_shards}/x; touch {trace}", pipes=pipes)
    with pytest.raises(UserError, match="cannot be run: No such file"):
        ShardSet.open("pipe:absent-program", pipes=Pipes(("absent-program",), tmp_path / "copies"))
    assert not trace.exists()
    assert [file.suffix for file in (tmp_path / "copies").iterdir()] == [".tar"]  # no half of one


def test_shards_of_several_commands_go_by_a_pattern(tmp_path: Path, tiny_shards: Path) -> None:
    pattern = f"pipe:cat {tiny_shards}/automatic-{{000000..000001}}.tar"
    shards = ShardSet.open(pattern, pipes=Pipes(("cat",), tmp_path / "copies"))
    assert [shard.total for shard in shards.shards] == [4, 2]
