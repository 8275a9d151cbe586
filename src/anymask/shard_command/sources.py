"""Which data a command is about: the options that name a layout, and the layout."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from anymask.data.layouts.coco import CocoLayout
from anymask.data.layouts.labelme import LabelmeLayout
from anymask.data.layouts.labels import LabelPngs
from anymask.data.layouts.mask_pngs import MaskPngs
from anymask.data.layouts.sa1b import Sa1bPairs
from anymask.data.packing import Layout
from anymask.errors import UserError

__all__ = ["FORMS", "add_layout_options", "layout_of"]

_Opened = Callable[[argparse.Namespace], Layout[Any]]

FORMS: dict[str, tuple[tuple[str, ...], _Opened]] = {
    "coco": (("annotations", "images"), lambda given: CocoLayout.of(given.annotations, given.images)),
    "lvis": (("annotations", "images"), lambda given: CocoLayout.of(given.annotations, given.images)),
    "sa1b": (("images",), lambda given: Sa1bPairs(given.images)),
    "labels": (("images", "labels"), lambda given: LabelPngs.of_folders(given.images, given.labels)),
    "masks": (("images", "masks"), lambda given: MaskPngs.of_folders(given.images, given.masks)),
    "labelme": (("annotations",), lambda given: LabelmeLayout(given.annotations, given.images or given.annotations)),
}
"""Forms of data, the options that each needs, and what opens it."""
_MAY = {"labelme": ("images",)}  # options that may be left out


def add_layout_options(parser: argparse.ArgumentParser, *, required: bool) -> None:
    """``--from`` and the folders and files that it needs."""
    parser.add_argument("--from", dest="form", choices=FORMS, required=required, help="the form of the data")
    parser.add_argument("--images", type=Path, help="folder of the photographs, of sa1b of the pairs")
    parser.add_argument("--annotations", type=Path, help="coco, lvis: the JSON; labelme: the folder of the JSONs")
    parser.add_argument("--labels", type=Path, help="labels: the folder with a picture of numbers for each photograph")
    parser.add_argument("--masks", type=Path, help="masks: the folder with a PNG for each mask")


def layout_of(given: argparse.Namespace) -> Layout[Any]:
    """Raises UserError for options that are missing, or mean nothing to this form."""
    needed, opened = FORMS[given.form]
    missing = [f"--{name}" for name in needed if getattr(given, name) is None]
    if missing:
        raise UserError(f"--from {given.form} needs {' and '.join(missing)}")
    known = {*needed, *_MAY.get(given.form, ())}
    for name in ("images", "annotations", "labels", "masks"):
        if name not in known and getattr(given, name) is not None:
            raise UserError(f"--{name} {getattr(given, name)} means nothing to --from {given.form}: leave it out")
    return opened(given)
