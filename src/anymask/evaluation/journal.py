"""``records.jsonl``: written image by image, so that an evaluation that was stopped goes on where it was.

The first line says what is evaluated and how; every other line is one mask's record.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from anymask.errors import UserError
from anymask.evaluation.results import Identity, Record
from anymask.models.checkpoints import write_atomically

__all__ = ["Journal", "read_records"]

Image = tuple[str, str]
"""Shard and key."""


class Journal:
    """The records of the images that are complete, and the file that they are in."""

    def __init__(self, path: Path, header: Identity) -> None:
        """Open or begin the file. Lines of an image that was not finished, and a torn last line, are removed.

        Raises UserError if the file is of another evaluation: of other settings, weights or data.
        """
        self._path = path
        self._images: dict[Image, list[Record]] = {}
        lines = list(_lines(path)) if path.exists() else []
        told = json.loads(json.dumps(header))
        if lines and lines[0] != told:
            differing = [name for name in told if lines[0].get(name) != told[name]]
            raise UserError(
                f"{path} is of another evaluation (it differs in {', '.join(differing) or 'its form'}): "
                "name another folder, or remove the file to begin again"
            )
        for image, records in _by_image(lines[1:]).items():
            if len(records) == records[0]["masks_in_image"]:
                self._images[image] = records
        kept = [header, *(record for records in self._images.values() for record in records)]
        write_atomically(path, lambda part: part.write_text(_text(kept)))

    def __contains__(self, image: Image) -> bool:
        return image in self._images

    def __getitem__(self, image: Image) -> list[Record]:
        return self._images[image]

    def append(self, image: Image, records: list[Record]) -> None:
        """Add all records of one image."""
        self._images[image] = records
        with self._path.open("a") as file:
            file.write(_text(records))


def read_records(path: Path) -> list[Record]:
    """All records of a finished file."""
    return cast(list[Record], list(_lines(path))[1:])


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """Up to the first that is not whole."""
    with path.open() as file:
        for line in file:
            try:
                yield json.loads(line)
            except ValueError:
                return


def _by_image(lines: list[dict[str, Any]]) -> dict[Image, list[Record]]:
    images: dict[Image, list[Record]] = {}
    for line in lines:
        images.setdefault((line["shard"], line["image"]), []).append(cast(Record, line))
    return images


def _text(lines: list[Any]) -> str:
    return "".join(json.dumps(line) + "\n" for line in lines)
