"""Pack the sparse annotations of EPIC-KITCHENS VISOR (hands and objects, egocentric), one of the paper's 23 sets.

    python data/visor/prepare.py --root GroundTruth-SparseAnnotations --out data/visor/shards

ROOT holds annotations/val/VIDEO.json and, unpacked, rgb_frames/val/…/FRAME.jpg at any depth, of 1920 x 1080 pixels. An
annotation of a frame is an object with its polygons ("segments"); several polygons are one object.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import msgspec

from anymask.data.layouts.pictures import photograph_size
from anymask.data.layouts.polygons import mask_of_polygons
from anymask.data.packing import Photograph, annotation, key_of, keyed
from anymask.data.preparing import command_line, prepare
from anymask.data.sa23 import SA23
from anymask.errors import UserError
from anymask.masks import area, runs

Polygons = list[list[list[float]]]


class Frame(msgspec.Struct):
    """The name of a photograph."""

    name: str


class Drawn(msgspec.Struct):
    """An object."""

    segments: Polygons


class Annotated(msgspec.Struct):
    """A photograph with its objects."""

    image: Frame
    annotations: list[Drawn]


class Video(msgspec.Struct):
    """A file."""

    video_annotations: list[Annotated]


FILE = msgspec.json.Decoder(Video)


def main() -> None:
    """Pack, and say what was packed."""
    parser = command_line(__doc__)
    parser.add_argument("--root", type=Path, required=True, help="folder with annotations and rgb_frames")
    parser.add_argument("--split", default="val", help="default %(default)s, the paper's")
    prepare(parser, lambda given: Frames(given.root, given.split), published=SA23["visor"])


@dataclass(frozen=True, slots=True)
class Frames:
    """A split."""

    root: Path
    split: str

    def items(self) -> Mapping[str, tuple[Path, list[Polygons]]]:
        frames = {file.name: file for file in sorted((self.root / "rgb_frames" / self.split).rglob("*.jpg"))}
        files = sorted((self.root / "annotations" / self.split).glob("*.json"))
        if not files:
            raise UserError(f"there is no annotation of a video in {self.root / 'annotations' / self.split}")
        return keyed(item for file in files for item in _of_video(file, frames))

    def read(self, item: tuple[Path, list[Polygons]]) -> Photograph:
        photograph, objects = item
        size = photograph_size(photograph)
        masks = [mask_of_polygons(polygons, size, str(photograph)) for polygons in objects]
        entries = [annotation(number, mask) for number, mask in enumerate(masks) if area(runs(mask))]
        about = {"height": size[0], "width": size[1], "file_name": photograph.name}
        return Photograph(photograph.read_bytes(), about, entries, {"empty masks": len(masks) - len(entries)})


def _of_video(file: Path, frames: Mapping[str, Path]) -> Iterator[tuple[str, tuple[Path, list[Polygons]]]]:
    try:
        video = FILE.decode(file.read_bytes())
    except (OSError, msgspec.MsgspecError, RecursionError) as error:
        raise UserError(f"{file} is not a file of VISOR's annotations: {error}") from None
    for annotated in video.video_annotations:
        name = PurePosixPath(annotated.image.name).name
        if name not in frames:
            raise UserError(f"{file} annotates {name!r}, of which there is no photograph")
        yield key_of(PurePosixPath(name).stem), (frames[name], [drawn.segments for drawn in annotated.annotations])


if __name__ == "__main__":
    main()
