"""Pack the training videos of OVIS (objects that hide one another), one of the paper's 23 sets.

    python data/ovis/prepare.py --root OVIS --out data/ovis/shards

ROOT holds annotations_train.json, in the form of YouTube-VIS, and train/VIDEO/FRAME.jpg. An annotation has a mask for
each frame of its video, or none where the object is not seen. Frames without any mask are left out, and so are crowd
regions, which are counted. A key is VIDEO_FRAME.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from anymask.data.coco import parse, rle_from_segmentation
from anymask.data.layouts.coco import file_key
from anymask.data.packing import Photograph, annotation, keyed
from anymask.data.preparing import command_line, prepare
from anymask.data.records import MAX_PIXELS
from anymask.data.sa23 import SA23
from anymask.errors import UserError
from anymask.masks import area, runs

Segmentation = dict[str, Any] | list[list[float]]


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
    segmentations: list[Segmentation | None]
    iscrowd: int | bool = 0


class Annotated(msgspec.Struct):
    """The file."""

    videos: list[Video]
    annotations: list[Track]


FILE = msgspec.json.Decoder(Annotated)


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame and what is seen on it: the object's number, whether it is a crowd, and its mask."""

    name: str
    size: tuple[int, int]
    objects: list[tuple[int, bool, Segmentation]]


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
        check(path, content)
        frames = {v.id: [Frame(name, (v.height, v.width), []) for name in v.file_names] for v in content.videos}
        for track in content.annotations:
            if track.video_id not in frames or len(track.segmentations) != len(frames[track.video_id]):
                raise UserError(f"{path}: annotation {track.id} does not fit its video {track.video_id}")
            for frame, segmentation in zip(frames[track.video_id], track.segmentations, strict=True):
                if segmentation is not None:
                    frame.objects.append((track.id, bool(track.iscrowd), segmentation))
        return keyed((file_key(f.name, path), f) for some in frames.values() for f in some if f.objects)

    def read(self, item: Frame) -> Photograph:
        file = self.root / "train" / item.name
        if not file.is_file():
            raise UserError(f"there is no photograph {file}")
        objects = [(number, mask) for number, crowd, mask in item.objects if not crowd]
        try:
            masks = [(number, rle_from_segmentation(mask, item.size)) for number, mask in objects]
        except ValueError as error:
            raise UserError(f"{item.name}: {error}") from None
        entries = [annotation(number, mask) for number, mask in masks if area(runs(mask))]
        left_out = {"crowd regions": len(item.objects) - len(masks), "empty masks": len(masks) - len(entries)}
        about = {"height": item.size[0], "width": item.size[1], "file_name": item.name}
        return Photograph(file.read_bytes(), about, entries, left_out)


def check(path: Path, content: Annotated) -> None:
    """Raises UserError for ids that occur twice, of which one would be lost, and sizes of no photograph."""
    for what, entries in (("video", content.videos), ("annotation", content.annotations)):
        times = Counter(entry.id for entry in entries)
        double = next((number for number, n in times.items() if n > 1), None)
        if double is not None:
            raise UserError(f"{path} has more than one {what} with the id {double}")
    for video in content.videos:
        if min(video.height, video.width) < 1 or video.height * video.width > MAX_PIXELS:
            raise UserError(f"{path}: video {video.id} has the size {video.height} x {video.width} (height x width)")


if __name__ == "__main__":
    main()
