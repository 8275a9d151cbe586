"""Pack Hypersim (synthetic interiors), one of the paper's 23 sets. Needs h5py.

    python data/hypersim/prepare.py --root hypersim --out data/hypersim/shards

ROOT holds, for each scene ai_VVV_NNN, images/scene_cam_CC_final_preview/frame.FFFF.tonemap.jpg and
images/scene_cam_CC_geometry_hdf5/frame.FFFF.semantic_instance.hdf5. A number is an object, -1 is none; an object in
several parts has one number. Volumes 1 to 55 without 20, 25, 40 and 49, as in the paper.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int

from anymask.data.layouts.labels import check_labels, pairs_below, photograph_of
from anymask.data.packing import Photograph
from anymask.data.preparing import command_line, prepare
from anymask.data.sa23 import SA23
from anymask.errors import UserError

VOLUMES = frozenset(range(1, 56)) - {20, 25, 40, 49}


def main() -> None:
    """Pack, and say what was packed."""
    parser = command_line(__doc__)
    parser.add_argument("--root", type=Path, required=True, help="folder of the scenes")
    prepare(parser, layout, published=SA23["hypersim"])


@dataclass(frozen=True, slots=True)
class Frames:
    """Photographs with the files of their objects."""

    pairs: Mapping[str, tuple[Path, Path]]

    def items(self) -> Mapping[str, tuple[Path, Path]]:
        return self.pairs

    def read(self, item: tuple[Path, Path]) -> Photograph:
        return photograph_of(item[0], read_instances(item[1]), background=frozenset({-1}))


def layout(given: argparse.Namespace) -> Frames:
    """The frames of the paper's volumes."""
    pairs = pairs_below(given.root, "ai_*/images/scene_cam_*_geometry_hdf5/*.semantic_instance.hdf5", photograph)
    chosen = {key: files for key, files in pairs.items() if volume_of(key) in VOLUMES}
    if not chosen:
        raise UserError(f"{given.root} has no frame of a volume that the paper takes")
    return Frames(chosen)


def photograph(instances: str) -> str:
    """The path of the photograph of a frame."""
    return instances.replace("_geometry_hdf5/", "_final_preview/").replace(".semantic_instance.hdf5", ".tonemap.jpg")


def volume_of(key: str) -> int:
    """From ai_VVV_NNN, the scene's name."""
    named = re.match(r"ai_(\d{3})_", key)
    return int(named[1]) if named else 0


def read_instances(path: Path) -> Int[np.ndarray, "h w"]:
    """The objects' numbers. Raises UserError for a file that has none, and where h5py is not installed."""
    try:
        import h5py
    except ImportError:
        raise UserError("Hypersim's files need h5py: pip install h5py") from None
    try:
        with h5py.File(path) as file:
            stored = file["dataset"]
            check_labels(stored.shape, stored.dtype, "it")
            return np.asarray(stored).astype(np.int64)
    except (OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise UserError(f"{path} is not a file of objects of Hypersim: {error}") from None


if __name__ == "__main__":
    main()
