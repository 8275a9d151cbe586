"""COCO's instances files and those in their form: LVIS, and what many sites distribute."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from anymask import masks
from anymask.data.coco import Annotation, Image, photograph, read_ground_truth
from anymask.data.packing import Photograph, annotation, key_of, keyed
from anymask.errors import UserError

__all__ = ["CocoLayout", "file_key"]


@dataclass(frozen=True, slots=True)
class CocoLayout:
    """Photographs of one or several instances files, each with its folder.

    Crowd regions, and polygons too small to cover a pixel, are left out and counted.
    """

    sets: tuple[tuple[Path, Path], ...]  # instances file, folder of its photographs

    @classmethod
    def of(cls, annotations: Path, images: Path) -> CocoLayout:
        """One file."""
        return cls(((annotations, images),))

    def items(self) -> Mapping[str, tuple[Path, Image, tuple[Annotation, ...]]]:
        found = []
        for path, folder in self.sets:
            truth = read_ground_truth(path)
            images = sorted(truth.images.values(), key=lambda image: image.file_name)
            found += [(_key(image, path), (folder, image, truth.annotations[image.id])) for image in images]
        return keyed(found)

    def read(self, item: tuple[Path, Image, tuple[Annotation, ...]]) -> Photograph:
        folder, image, objects = item
        file = photograph(folder, image)
        left_out = Counter({"crowd regions": 0, "empty masks": 0})
        entries = []
        for entry in objects:
            if entry.crowd or not masks.area(masks.runs(entry.mask)):
                left_out["crowd regions" if entry.crowd else "empty masks"] += 1
            else:
                entries.append(annotation(entry.id, entry.mask))
        height, width = image.size
        about = {"image_id": image.id, "height": height, "width": width, "file_name": image.file_name}
        return Photograph(file.read_bytes(), about, entries, dict(left_out))


def file_key(name: str, path: Path) -> str:
    """Key of a photograph, from the name that the file at ``path`` gives it.

    Raises UserError for one that leaves the folder of the photographs or names no file.

    >>> file_key("images/log 1.png", Path("annotations.json"))
    'images_log_1'
    """
    file = PurePosixPath(name)
    if not file.name or file.is_absolute() or ".." in file.parts:
        raise UserError(f"{path} has a photograph {name!r}, which is no file or leaves the folder")
    return key_of(str(file.with_suffix("")))


def _key(image: Image, path: Path) -> str:
    if image.folder == "..":  # LVIS's address names it
        raise UserError(f"{path} has a photograph {f'../{image.file_name}'!r}, which is no file or leaves the folder")
    return file_key(image.file_name, path)
