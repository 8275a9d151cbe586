"""The command line that the programs ``data/*/prepare.py`` share.

def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--images", type=Path, required=True, help="folder of the photographs")
    prepare(parser, lambda given: MyLayout(given.images), published=SA23["gtea"])
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from anymask.data.packing import Counts, Layout, pack
from anymask.data.sa23 import EvaluationSet
from anymask.errors import UserError

__all__ = ["command_line", "prepare"]


def command_line(documentation: str | None) -> argparse.ArgumentParser:
    """A parser that shows the program's own documentation and knows the options that all programs have."""
    parser = argparse.ArgumentParser(
        description=documentation, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the shards, empty or absent")
    parser.add_argument("--expect-images", type=int, help="refuse any other number of photographs")
    parser.add_argument("--expect-masks", type=int, help="refuse any other number of masks")
    parser.add_argument("--samples-per-shard", type=int, default=1000, help="at most, default %(default)s")
    parser.add_argument("--workers", type=int, default=1, help="processes that read, default %(default)s")
    return parser


def prepare(
    parser: argparse.ArgumentParser,
    open_layout: Callable[[argparse.Namespace], Layout[Any]],
    *,
    published: EvaluationSet | None = None,
) -> None:
    """Pack human masks as the options say, print what was packed, and how that compares with what the paper counts.

    A set of which the paper took a part is drawn until it has about as many masks. A user's mistake ends the program
    with one sentence and exit status 2. A parser may know ``--held-out`` and ``--source``, which are heeded then.
    """
    given = parser.parse_args()
    try:
        counts = pack(
            open_layout(given),
            given.out,
            source=getattr(given, "source", "manual"),
            held_out=getattr(given, "held_out", None),
            enough_masks=published.drawn_masks if published else None,
            expected=(given.expect_images, given.expect_masks),
            samples_per_shard=given.samples_per_shard,
            workers=given.workers,
        )
    except UserError as error:
        parser.exit(2, f"{error}\n")
    print(f"{given.out}: {counts}")
    if published:
        print(_compared(counts, published))


def _compared(counts: Counts, published: EvaluationSet) -> str:
    found = counts.photographs.total(), counts.masks.total()
    paper = f"the paper evaluates on {published.images} photographs with {published.masks} masks"
    if found == (published.images, published.masks):
        return f"{paper}: these numbers are the same"
    if published.drawn_masks:
        return f"{paper}, drawn in a way that it does not tell; here they are drawn by the hashes of their names"
    return f"{paper}; here there are {found[0]} and {found[1]}: this is not quite the paper's set"
