"""The program ``anymask-shards``.

anymask-shards pack --from coco --annotations instances.json --images photographs --out shards
anymask-shards index /sa1b          anymask-shards info shards          anymask-shards verify shards
anymask-shards show shards --out sheet.html
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import track

from anymask.data.packing import pack
from anymask.data.shards import Records, ShardSet, name_of
from anymask.errors import UserError
from anymask.shard_command.contact_sheet import chosen_numbers, write_contact_sheet
from anymask.shard_command.indexing import Found, index_tars, is_sa1b
from anymask.shard_command.info import described, shard_table
from anymask.shard_command.sources import add_layout_options, layout_of
from anymask.shard_command.survey import Described, described_layout, described_shards, survey
from anymask.shard_command.verifying import Verified, doubles, strangers, verify
from anymask.structures import SOURCES, Skipped

__all__ = ["main"]

SURVEYED = 5000
"""Photographs at most whose masks are looked at for a contact sheet."""
SA1B_PHOTOGRAPHS = 11_185_362
"""As TensorFlow Datasets' catalogue counts them; the paper says 11 million."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command. A user's mistake, or the system's refusal, ends it with one sentence and exit status 2."""
    given = _parser().parse_args(arguments)
    try:
        given.run(given)
    except (UserError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit("stopped; a pack or index goes on where the same command is given again")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="anymask-shards", description="Pack, index, look at and verify shards.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_pack(commands.add_parser("pack", help="shards of any data", allow_abbrev=False))
    _add_index(commands.add_parser("index", help="write down what is in tars, such as SA-1B's own", allow_abbrev=False))
    _add_info(commands.add_parser("info", help="what is in a shard set", allow_abbrev=False))
    _add_verify(commands.add_parser("verify", help="read everything and tell each defect", allow_abbrev=False))
    _add_show(commands.add_parser("show", help="a page with photographs, masks and warnings", allow_abbrev=False))
    return parser


def _add_pack(parser: argparse.ArgumentParser) -> None:
    add_layout_options(parser, required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder for the shards, empty or absent")
    parser.add_argument("--source", choices=SOURCES, default="manual", help="where the masks come from, %(default)s")
    parser.add_argument("--held-out", type=float, metavar="SHARE", help="share of photographs for OUT/held_out")
    parser.add_argument("--enough-masks", type=int, metavar="N", help="photographs by chance until there are N masks")
    parser.add_argument("--samples-per-shard", type=int, default=1000, help="at most, default %(default)s")
    parser.add_argument("--workers", type=int, default=1, help="processes that read, default %(default)s")
    parser.set_defaults(run=_pack)


def _pack(given: argparse.Namespace) -> None:
    counts = pack(
        layout_of(given),
        given.out,
        source=given.source,
        held_out=given.held_out,
        enough_masks=given.enough_masks,
        samples_per_shard=given.samples_per_shard,
        workers=given.workers,
    )
    print(f"{given.out}: {counts}")


def _add_index(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "path", help="folder of the tars; or, with --out, a pattern such as s3://…/sa_{000000..000999}.tar"
    )
    parser.add_argument("--out", type=Path, help="folder for manifest and indexes; default: that of the tars")
    parser.add_argument("--source", choices=SOURCES, default="automatic", help="of all masks, default %(default)s")
    parser.add_argument("--annotations", action="store_true", help="count masks, and heed the sources of records")
    parser.add_argument("--checksums", action="store_true", help="of the tars, which reads all of them")
    parser.add_argument("--workers", type=int, default=1, help="processes that read, default %(default)s")
    parser.set_defaults(run=_index)


def _index(given: argparse.Namespace) -> None:
    found = index_tars(
        given.path,
        given.out,
        source=given.source,
        workers=given.workers,
        checksums=given.checksums,
        annotations=given.annotations,
    )
    for defect in found.defects:
        print(_sentence(defect))
    photographs = sum(shard.total for shard in found.shards)
    told = f"{given.out or given.path}: {len(found.shards)} shards, {photographs:,} photographs"
    print(f"{told}, {len(found.defects)} defects{_kept(found)}")
    if is_sa1b(found.shards):
        print(f"SA-1B has {SA1B_PHOTOGRAPHS:,} photographs (tensorflow.org/datasets/catalog/segment_anything)")


def _kept(found: Found) -> str:
    if not found.kept:
        return ""
    return f"; {found.kept} shards were indexed before and are unchanged, which are not read again"


def _sentence(defect: Skipped) -> str:
    return f"{defect.shard} {defect.key} {defect.reason}"


def _add_info(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", help="folder, manifest or pattern of tars")
    parser.add_argument("--json", action="store_true", help="plain numbers instead of a table")
    parser.set_defaults(run=_info)


def _info(given: argparse.Namespace) -> None:
    shards = ShardSet.open(given.path)
    if given.json:
        print(json.dumps(described(shards), indent=1))
    else:
        Console().print(shard_table(shards))


def _add_verify(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", help="folder, manifest or pattern of tars")
    parser.add_argument("--report", type=Path, help="file for a JSON line of each defect")
    parser.add_argument("--workers", type=int, default=1, help="processes that read, default %(default)s")
    parser.set_defaults(run=_verify)


def _verify(given: argparse.Namespace) -> None:
    shards = ShardSet.open(given.path)
    records = masks = defects = 0
    with given.report.open("w") if given.report else nullcontext() as report:
        for found in _verified(given.path, shards, given.workers):
            records, masks, defects = records + found.records, masks + found.masks, defects + len(found.defects)
            for defect in found.defects:
                print(_sentence(defect), flush=True)
                if report is not None:
                    print(json.dumps(asdict(defect)), file=report, flush=True)
    print(f"{given.path}: {len(shards.shards)} shards, {records:,} records, {masks:,} masks, {defects} defects")
    if defects:
        sys.exit(1)


def _verified(path: str, shards: ShardSet, workers: int) -> Iterator[Verified]:
    """Shard by shard, with what only the whole set tells before and after."""
    told = set(shards.defects)  # that headers tell, which are read once more
    yield Verified(0, 0, (*shards.defects, *strangers(path, shards)))
    for found in verify(shards, workers=workers):
        yield replace(found, defects=tuple(defect for defect in found.defects if defect not in told))
    yield Verified(0, 0, tuple(doubles(shards)))


def _add_show(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", nargs="?", help="folder, manifest or pattern of tars; or --from with what it needs")
    add_layout_options(parser, required=False)
    parser.add_argument("--out", type=Path, default=Path("sheet.html"), help="a page, or .jpg; default %(default)s")
    parser.add_argument("--samples", type=int, default=24, help="photographs that are pictured, default %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn, default %(default)s")
    parser.set_defaults(run=_show)


def _show(given: argparse.Namespace) -> None:
    if (given.path is None) == (given.form is None):
        raise UserError("name a shard set, or its form by --from, and not both")
    if given.samples < 1:
        raise UserError(f"--samples {given.samples}: at least one photograph is pictured")
    if given.out.suffix.lower() not in (".html", ".jpg", ".jpeg"):
        raise UserError(f"--out {given.out} is neither a page (.html) nor a picture (.jpg)")
    name, total, read = _opened(given)
    surveyed, pictured = (chosen_numbers(total, wanted, given.seed) for wanted in (SURVEYED, given.samples))
    shown = track(read(surveyed), "looking", total=len(surveyed), console=Console(stderr=True))
    write_contact_sheet(given.out, name, total, survey(shown), read(pictured))
    print(given.out)


def _opened(given: argparse.Namespace) -> tuple[str, int, Callable[[Sequence[int]], Iterator[Described]]]:
    """Name and length of a shard set or of data in another form, and what describes some of it."""
    if given.path is not None:
        shards = ShardSet.open(given.path)
        records = Records(shards.shards, shards.default_source)
        return shards.name, len(records), partial(described_shards, records)
    layout = layout_of(given)
    items = layout.items()
    return name_of(given.images or given.annotations), len(items), partial(described_layout, layout, items)
