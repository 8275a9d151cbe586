"""Pack the objects of the Semantic Boundaries Dataset (Hariharan et al. 2011).

    python data/sbd/prepare.py --root benchmark_RELEASE/dataset --split val --out data/sbd/shards

ROOT holds img/NAME.jpg, inst/NAME.mat, in which GTinst.Segmentation numbers the objects, and the names of a split in
SPLIT.txt. Interactive segmentation is measured on the 6,671 objects of val (RITM, Sofiiuk et al. 2021, whose paper has
them in 2,820 photographs, and whose program's page in 2,857).
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int
from scipy.io import loadmat

from anymask.data.folders import listed
from anymask.data.layouts.labels import check_labels, photograph_of
from anymask.data.packing import Photograph
from anymask.data.preparing import command_line, prepare
from anymask.errors import UserError


def main() -> None:
    """Pack, and say what was packed."""
    parser = command_line(__doc__)
    parser.add_argument("--root", type=Path, required=True, help="folder with img, inst and the lists")
    parser.add_argument("--split", default="val", help="train or val; default %(default)s")
    prepare(parser, layout)


@dataclass(frozen=True, slots=True)
class Instances:
    """Photographs with the files of their objects."""

    pairs: Mapping[str, tuple[Path, Path]]

    def items(self) -> Mapping[str, tuple[Path, Path]]:
        return self.pairs

    def read(self, item: tuple[Path, Path]) -> Photograph:
        return photograph_of(item[0], read_instances(item[1]), background=frozenset({0}))


def layout(given: argparse.Namespace) -> Instances:
    """The photographs that a split names."""
    root = given.root
    names = listed(root / f"{given.split}.txt")
    return Instances({name: (root / "img" / f"{name}.jpg", root / "inst" / f"{name}.mat") for name in names})


def read_instances(path: Path) -> Int[np.ndarray, "h w"]:
    """The objects' numbers. Raises UserError for a file that has none."""
    try:
        stored = np.asarray(loadmat(path)["GTinst"]["Segmentation"][0, 0])
        check_labels(stored.shape, stored.dtype, "it")
        return stored.astype(np.int64)
    except FileNotFoundError:
        raise UserError(f"there is no {path}") from None
    except Exception as error:  # scipy has no error of its own for a damaged file: it raises whatever it meets
        raise UserError(f"{path} is not a file of objects of SBD: {error}") from None


if __name__ == "__main__":
    main()
