"""``records.jsonl``: written image by image, so that an evaluation that was stopped goes on where it was.

The first line says what is evaluated and how; every other line is one image with its records. Of several processes each
writes a file of its own beside it; at the end they become one, in the order of the images' names.

The records of a large data set do not fit in memory: but for ``read_records``, one image's are held at a time.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from anymask.atomic import write_atomically
from anymask.errors import UserError
from anymask.evaluation.results import Identity

__all__ = ["AnotherEvaluation", "Journal", "read_records"]

Image = tuple[str, str]
"""Shard or folder, and key."""

Records = list[Any]
"""What a task writes of one image."""


class AnotherEvaluation(UserError):
    """The folder holds one of other settings, weights or data."""


class _Place(NamedTuple):
    """Where the line of an image is."""

    path: Path
    start: int  # bytes
    size: int  # bytes, with the end of the line if it has one


class Journal:
    """Which images are done, and the file that this process adds to."""

    def __init__(self, folder: Path, header: Identity, *, rank: int = 0) -> None:
        """Open or begin the file of process ``rank``; from a line that is torn or of another form on, it is cut off.

        The others' files are read. Raises AnotherEvaluation if one of them is of other settings, weights or data, or
        has a first line that no evaluation writes.
        """
        self._folder, self._header = folder, header
        self._path = folder / ("records.jsonl" if rank == 0 else f"records.{rank}.jsonl")
        self._done: set[Image] = set()
        own: dict[Image, _Place] = {}
        for image, place in _places(folder, header):
            self._done.add(image)
            if place.path.name == self._path.name:
                own[image] = place
        _write(self._path, header, own.values())

    def __contains__(self, image: Image) -> bool:
        return image in self._done

    def append(self, image: Image, records: Sequence[Any]) -> None:
        """Add all records of one image; there may be none."""
        self._done.add(image)
        shard, key = image
        with self._path.open("ab") as file:
            file.write(_line({"shard": shard, "image": key, "records": list(records)}))

    def merge(self) -> None:
        """Make one file of all processes' files; to be called by one of them when all are done."""
        places = dict(_places(self._folder, self._header))
        _write(self._folder / "records.jsonl", self._header, (places[image] for image in sorted(places)))
        for path in self._folder.glob("records.*.jsonl"):
            path.unlink()


def read_records(path: Path) -> Records:
    """The records of all images of a finished file."""
    return [record for _, records, _ in _images(path) for record in records]


def _places(folder: Path, header: Identity) -> Iterator[tuple[Image, _Place]]:
    """Of all processes' files; of an image that is there twice the later one counts."""
    for path in sorted(folder.glob("records*.jsonl")):
        _refuse_another(path, header)
        yield from ((image, place) for image, _, place in _images(path))


def _refuse_another(path: Path, header: Identity) -> None:
    with path.open("rb") as file:
        line = file.readline()
    try:
        stored = json.loads(line.decode())
    except UnicodeDecodeError:  # no part of a line of ours, which is ASCII
        stored = None
    except ValueError:  # torn
        return
    told = json.loads(json.dumps(header))
    if stored != told:
        differing = [name for name in told if stored.get(name) != told[name]] if isinstance(stored, dict) else []
        raise AnotherEvaluation(
            f"{path} is of another evaluation (it differs in {', '.join(differing) or 'its form'}): "
            "name another folder, or remove the file to begin again"
        )


def _images(path: Path) -> Iterator[tuple[Image, Records, _Place]]:
    """Those after the first line, up to a line that is torn or of another form."""
    with path.open("rb") as file:
        first = file.readline()
        if _parsed(first) is None:
            return
        start = len(first)
        for line in file:
            match _parsed(line):
                case {"shard": str(shard), "image": str(key), "records": list(records)}:
                    yield (shard, key), records, _Place(path, start, len(line))
                case _:
                    return
            start += len(line)


def _parsed(line: bytes) -> Any:
    """None if it is torn."""
    try:
        return json.loads(line.decode())
    except ValueError:  # not JSON, or not UTF-8
        return None


def _write(path: Path, header: Identity, places: Iterable[_Place]) -> None:
    def write(part: Path) -> None:
        with part.open("wb") as file:
            file.write(_line(header))
            file.writelines(map(_copy, places))

    write_atomically(path, write)


def _copy(place: _Place) -> bytes:
    with place.path.open("rb") as file:
        file.seek(place.start)
        return file.read(place.size).rstrip() + b"\n"


def _line(value: Any) -> bytes:
    return json.dumps(value).encode() + b"\n"
