"""Pack frames of DAVIS with their objects.

    python data/davis/prepare.py --root DAVIS --videos ImageSets/2017/val.txt --out data/davis/shards
    python data/davis/prepare.py --root DAVIS --frames frames.txt --out data/davis/shards

ROOT holds JPEGImages/480p/VIDEO/FRAME.jpg and Annotations/480p/VIDEO/FRAME.png. In DAVIS 2017 the palette's indices are
the objects of a frame; in DAVIS 2016 a frame has one object, 255. Frames are all of the videos listed, or those of a
list of VIDEO/FRAME: interactive segmentation is measured on 345 frames of the 50 videos of 2016 (Jang and Kim 2019).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from anymask.data.folders import listed
from anymask.data.layouts.labels import LabelPngs
from anymask.data.packing import key_of, keyed
from anymask.data.preparing import command_line, prepare
from anymask.errors import UserError


def main() -> None:
    """Pack, and say what was packed."""
    parser = command_line(__doc__)
    parser.add_argument("--root", type=Path, required=True, help="folder with JPEGImages and Annotations")
    parser.add_argument("--resolution", default="480p", help="default %(default)s")
    chosen = parser.add_mutually_exclusive_group(required=True)
    chosen.add_argument("--videos", type=Path, help="list of videos, below ROOT")
    chosen.add_argument("--frames", type=Path, help="list of VIDEO/FRAME")
    prepare(parser, layout)


def layout(given: argparse.Namespace) -> LabelPngs:
    """The frames that were chosen, by video and number."""
    photographs, labels = (given.root / kind / given.resolution for kind in ("JPEGImages", "Annotations"))
    frames = listed(given.frames) if given.frames else frames_of(labels, listed(given.root / given.videos))
    return LabelPngs(keyed((key_of(f), (photographs / f"{f}.jpg", labels / f"{f}.png")) for f in frames))


def frames_of(labels: Path, videos: list[str]) -> list[str]:
    """All frames of some videos that have a label picture."""
    frames = [f"{video}/{file.stem}" for video in videos for file in sorted((labels / video).glob("*.png"))]
    if not frames:
        raise UserError(f"there is no label picture of {', '.join(videos[:3])} in {labels}")
    return frames


if __name__ == "__main__":
    main()
