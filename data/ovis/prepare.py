"""Pack the training videos of OVIS (objects that hide one another), one of the paper's 23 sets.

    python data/ovis/prepare.py --root OVIS --out data/ovis/shards

ROOT holds annotations_train.json, in the form of YouTube-VIS, and train/VIDEO/FRAME.jpg. An annotation has a mask for
each frame of its video, or none where the object is not seen. A frame without any mask is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from anymask.data.coco import parse, rle_from_segmentation
from anymask.data.packing import Photograph, annotation, key_of, keyed
from anymask.data.preparing import command_line, prepare
from anymask.data.sa23 import SA23
from anymask.errors import UserError
from anymask.masks import area, runs


class Video(msgspec.Struct):
    """The frames of a video."""

    id: int
    height: int
    width: int
    file_names: list[str]


class Track(msgspec.Struct):
    """An object of a video, frame by frame."""

    id: int
    video_id: int
    segmentations: list[dict[str, Any] | list[list[float]] | None]


class Annotated(msgspec.Struct):
    """The file."""

    videos: list[Video]
    annotations: list[Track]


FILE = msgspec.json.Decoder(Annotated)


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame and what is seen on it, by the object's number."""

    name: str
    size: tuple[int, int]
    objects: list[tuple[int, dict[str, Any] | list[list[float]]]]


def main() -> None:
    """Pack, and say what was packed."""
    parser = command_line(__doc__)
    parser.add_argument("--root", type=Path, required=True, help="folder with annotations_train.json and train")
    prepare(parser, lambda given: Videos(given.root), published=SA23["ovis"])


@dataclass(frozen=True, slots=True)
class Videos:
    """The folder of videos and annotations."""

    root: Path

    def items(self) -> Mapping[str, Frame]:
        path = self.root / "annotations_train.json"
        content = parse(path, FILE, "a file of annotated videos")
        videos = {video.id: video for video in content.videos}
        frames = {
            (v.id, n): Frame(name, (v.height, v.width), [])
            for v in content.videos
            for n, name in enumerate(v.file_names)
        }
        for track in content.annotations:
            if track.video_id not in videos or len(track.segmentations) != len(videos[track.video_id].file_names):
                raise UserError(f"{path}: annotation {track.id} does not fit its video {track.video_id}")
            for number, segmentation in enumerate(track.segmentations):
                if segmentation is not None:
                    frames[track.video_id, number].objects.append((track.id, segmentation))
        return keyed((key_of(str(PurePosixPath(f.name).with_suffix(""))), f) for f in frames.values() if f.objects)

    def read(self, item: Frame) -> Photograph:
        name = PurePosixPath(item.name)
        file = self.root / "train" / name
        if name.is_absolute() or ".." in name.parts or not file.is_file():
            raise UserError(f"there is no photograph {item.name!r} in {self.root / 'train'}")
        try:
            masks = [(number, rle_from_segmentation(segmentation, item.size)) for number, segmentation in item.objects]
        except ValueError as error:
            raise UserError(f"{item.name}: {error}") from None
        entries = [annotation(number, mask) for number, mask in masks if area(runs(mask))]
        about = {"height": item.size[0], "width": item.size[1], "file_name": item.name}
        return Photograph(file.read_bytes(), about, entries, {"empty masks": len(masks) - len(entries)})


if __name__ == "__main__":
    main()
