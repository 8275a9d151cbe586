"""Bytes by their address: a file, ``http(s)``, an object store, or what a command prints.

Everything is read by ranges, so that any record of any shard is one request. What fsspec has a package for can be read:
``s3://`` needs s3fs, ``gs://`` gcsfs. A command's output has no ranges: it is copied to a file first, once.
"""

from __future__ import annotations

import hashlib
import io
import os
import shlex
import subprocess
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import fsspec

from anymask.atomic import write_atomically
from anymask.errors import UserError

__all__ = [
    "NO_PIPES",
    "Pipes",
    "Ranges",
    "StorageError",
    "exists",
    "is_remote",
    "join",
    "open_file",
    "read_whole",
    "sha256_of",
    "size_of",
]

Got = TypeVar("Got")

WAITS = (0.5, 1.0, 2.0, 4.0)
"""Seconds before each further attempt where a server does not answer: a dropped connection is no lost sample."""
OPEN_FILES = 64
BLOCK = 2**16
"""Bytes of a file on a server that are asked for at once, for headers without the photographs behind them."""


class StorageError(Exception):
    """Something that cannot be read; the message says why."""


def is_remote(url: str) -> bool:
    """Whether it is not a file of this machine."""
    return "://" in url and not url.startswith("file://")


def join(folder: str, name: str) -> str:
    """The address of a file in a folder, unless ``name`` is a whole address already."""
    return name if is_remote(name) or os.path.isabs(name) else f"{folder.rstrip('/')}/{name}"


def exists(url: str) -> bool:
    """Raises UserError for a kind of address that nothing here can read."""
    return _asked(url, lambda system, path: system.isfile(path)) if is_remote(url) else Path(_local(url)).is_file()


def size_of(url: str) -> int:
    """In bytes. Raises StorageError where there is no such file."""
    try:
        if is_remote(url):
            return int(_asked(url, lambda system, path: system.size(path)))
        return os.stat(_local(url)).st_size
    except OSError as error:
        raise StorageError(f"{url} cannot be read: {error.strerror or error}") from None


def read_whole(url: str) -> bytes:
    """All of a small file. Raises StorageError where it cannot be read."""
    try:
        if is_remote(url):
            return _asked(url, lambda system, path: system.cat_file(path))
        return Path(_local(url)).read_bytes()
    except OSError as error:
        raise StorageError(f"{url} cannot be read: {error.strerror or error}") from None


def open_file(url: str) -> io.BufferedReader:
    """To be read in order or by seeking. Raises OSError or StorageError where it cannot be, now or while it is read."""
    return io.BufferedReader(_Remote(url), BLOCK) if is_remote(url) else open(_local(url), "rb")


def sha256_of(url: str) -> str:
    """Reads all of it. Raises StorageError where it cannot be read."""
    digest = hashlib.sha256()
    try:
        with open_file(url) as file:
            while block := file.read(2**22):
                digest.update(block)
    except OSError as error:
        raise StorageError(f"{url} cannot be read: {error.strerror or error}") from None
    return digest.hexdigest()


class _Remote(io.RawIOBase):
    """A file of a server: fsspec's own does not ask again."""

    def __init__(self, url: str) -> None:
        self._url, self._size, self._at = url, size_of(url), 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # the buffered reader's own
        size = max(0, min(len(buffer), self._size - self._at))
        buffer[:size] = _asked_range(self._url, self._at, size) if size else b""
        self._at += size
        return size


class Ranges:
    """Reads parts of files; the last ones that were used stay open. For one process: a fork opens its own."""

    def __init__(self) -> None:
        self._files: OrderedDict[str, int] = OrderedDict()
        self._process = os.getpid()
        self._lock = threading.Lock()

    def read(self, url: str, offset: int, size: int) -> bytes:
        """Raises StorageError where the file is absent, does not answer or ends early."""
        try:
            if is_remote(url):
                data = _asked_range(url, offset, size)
            else:
                with self._lock:  # another thread may close the file
                    data = os.pread(self._opened(_local(url)), size, offset)
        except OSError as error:
            raise StorageError(f"the shard cannot be read: {error.strerror or error}") from None
        if len(data) < size:
            raise StorageError("the shard ends early")
        return data

    def _opened(self, path: str) -> int:
        if self._process != os.getpid():
            self._files.clear()
            self._process = os.getpid()
        if path not in self._files:
            self._files[path] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            if len(self._files) > OPEN_FILES:
                os.close(self._files.popitem(last=False)[1])
        self._files.move_to_end(path)
        return self._files[path]

    def __reduce__(self) -> tuple[type[Ranges], tuple[()]]:
        return Ranges, ()  # an open file is of its process

    def close(self) -> None:
        """Close what is open."""
        if self._process == os.getpid():
            for file in self._files.values():
                os.close(file)
        self._files.clear()


def _local(url: str) -> str:
    return url.removeprefix("file://")


def _asked_range(url: str, offset: int, size: int) -> bytes:
    """Raises StorageError for a server that sends something else: some know no ranges and send the whole file."""
    data = _asked(url, lambda system, path: system.cat_file(path, start=offset, end=offset + size))
    if len(data) > size:
        raise StorageError(f"{url} is on a server that does not send parts of files: copy it to a disk")
    if len(data) < size:
        raise StorageError("the shard ends early")
    return data


def _asked(url: str, ask: Callable[[fsspec.AbstractFileSystem, str], Got]) -> Got:
    """The answer of a server, which is asked again where it gives none."""
    try:
        system, path = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise UserError(f"{url} cannot be read: {error}") from None
    for wait in (*WAITS, None):
        try:
            return ask(system, path)
        except (FileNotFoundError, PermissionError):
            raise
        except Exception as error:  # each store has errors of its own, most of which are no OSError
            if wait is None:
                raise StorageError(f"{url} does not answer: {type(error).__name__}: {error}") from None
            time.sleep(wait)
    raise AssertionError("the last attempt returns or raises")


@dataclass(frozen=True, slots=True)
class Pipes:
    """Which programs a ``pipe:`` address may run, and the folder that keeps what they printed."""

    programs: tuple[str, ...] = ()
    copies: Path | None = None

    def copied(self, url: str) -> str:
        """The file with what the command of ``pipe:COMMAND`` prints; it runs, without a shell, where there is none yet.

        Raises UserError for a program that is not allowed, and where the command fails.
        """
        command = shlex.split(url.removeprefix("pipe:"))
        if not command or command[0] not in self.programs:
            raise UserError(
                f"{url!r} would run a command: allowed are the programs of data.pipes.programs={list(self.programs)}"
            )
        if self.copies is None:
            raise UserError(f"what {url!r} prints needs a folder for a copy: data.pipes.copies=…")
        copy = self.copies / f"{hashlib.sha256(url.encode()).hexdigest()[:16]}.tar"
        if not copy.is_file():
            write_atomically(copy, lambda part: _run(command, part, url))
        return str(copy)


NO_PIPES = Pipes()


def _run(command: list[str], part: Path, url: str) -> None:
    with part.open("wb") as file:
        try:
            ended = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.PIPE, check=False)
        except OSError as error:
            raise UserError(f"{url!r} cannot be run: {error.strerror}") from None
    if ended.returncode:
        last = ended.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise UserError(f"{url!r} failed with exit status {ended.returncode}: {''.join(last)}")
