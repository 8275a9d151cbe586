"""``records.jsonl``: written image by image, so that an evaluation that was stopped goes on where it was.

The first line says what is evaluated and how; every other line is one image with its records. Of several processes each
writes a file of its own beside it; at the end they become one, in the order of the images' names.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from anymask.atomic import write_atomically
from anymask.errors import UserError
from anymask.evaluation.results import Identity

__all__ = ["Journal", "read_records"]

Image = tuple[str, str]
"""Shard or folder, and key."""

Records = list[Any]
"""What a task writes of one image."""


class Journal:
    """Which images are done, and the file that this process adds to."""

    def __init__(self, folder: Path, header: Identity, *, rank: int = 0) -> None:
        """Open or begin the file of process ``rank``; a torn last line is removed. The others' files are read.

        Raises UserError if one of them is of another evaluation: of other settings, weights or data.
        """
        self._folder, self._header = folder, header
        self._path = folder / ("records.jsonl" if rank == 0 else f"records.{rank}.jsonl")
        self._done = {image for image, _ in _read_all(folder, header)}
        own = dict(_images(self._path)) if self._path.exists() else {}
        write_atomically(self._path, lambda part: part.write_text(_text([header, *map(_line, own.items())])))

    def __contains__(self, image: Image) -> bool:
        return image in self._done

    def append(self, image: Image, records: Sequence[Any]) -> None:
        """Add all records of one image; there may be none."""
        self._done.add(image)
        with self._path.open("a") as file:
            file.write(_text([_line((image, list(records)))]))

    def merge(self) -> None:
        """Make one file of all processes' files; to be called by one of them when all are done."""
        images = dict(_read_all(self._folder, self._header))
        lines = [self._header, *map(_line, sorted(images.items()))]
        write_atomically(self._folder / "records.jsonl", lambda part: part.write_text(_text(lines)))
        for path in self._folder.glob("records.*.jsonl"):
            path.unlink()


def read_records(path: Path) -> Records:
    """The records of all images of a finished file."""
    return [record for _, records in _images(path) for record in records]


def _read_all(folder: Path, header: Identity) -> Iterator[tuple[Image, Records]]:
    for path in sorted(folder.glob("records*.jsonl")):
        _refuse_another(path, header)
        yield from _images(path)


def _refuse_another(path: Path, header: Identity) -> None:
    stored, told = next(_lines(path), None), json.loads(json.dumps(header))
    if stored is not None and stored != told:
        differing = [name for name in told if stored.get(name) != told[name]]
        raise UserError(
            f"{path} is of another evaluation (it differs in {', '.join(differing) or 'its form'}): "
            "name another folder, or remove the file to begin again"
        )


def _images(path: Path) -> Iterator[tuple[Image, Records]]:
    lines = _lines(path)
    next(lines, None)
    yield from (((line["shard"], line["image"]), line["records"]) for line in lines)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """Up to the first that is not whole."""
    with path.open() as file:
        for line in file:
            try:
                yield json.loads(line)
            except ValueError:
                return


def _line(of_image: tuple[Image, Records]) -> dict[str, Any]:
    (shard, image), records = of_image
    return {"shard": shard, "image": image, "records": records}


def _text(lines: Sequence[Any]) -> str:
    return "".join(json.dumps(line) + "\n" for line in lines)
