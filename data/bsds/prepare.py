"""Pack photographs with the boundaries that people drew, in BSDS500's layout, into shards.

    python data/bsds/prepare.py --bsds BSDS500 --out data/bsds/shards --expect-images 200

BSDS500 is the folder that holds images and groundTruth, or data with both in it; of train, val and test the last is
taken. An annotator's boundaries count as a mask. The shards are for the task edges and hold nothing to train on.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from anymask.data.bsds import ground_truth
from anymask.data.edge_sets import BsdsFolder, parse_boundaries
from anymask.data.preparing import command_line
from anymask.data.records import BadSample, RawSample
from anymask.data.shard_writer import ShardWriter
from anymask.errors import UserError
from anymask.masks import encode, rle_to_json


def main() -> None:
    """Pack, and say what was packed."""
    parser = command_line(__doc__)
    parser.add_argument("--bsds", type=Path, required=True, help="folder with images and groundTruth")
    arguments = parser.parse_args()
    try:
        pairs = BsdsFolder.open(arguments.bsds).pairs
        annotators = pack(pairs, arguments.out, expected=(arguments.expect_images, arguments.expect_masks))
    except UserError as error:
        parser.exit(2, f"{error}\n")
    print(f"{arguments.out}: {len(pairs)} photographs, {annotators} annotators")


def pack(pairs: tuple[tuple[Path, Path], ...], out: Path, *, expected: tuple[int | None, int | None]) -> int:
    """The number of annotators' boundaries that were packed into ``out``.

    ``expected`` are the numbers of photographs and of boundaries. Raises UserError where they differ, and for the
    first photograph that does not match its boundaries; then nothing is left behind.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} is not an empty folder: name another or remove it")
    part = out.absolute().with_name(f".{out.absolute().name}.{os.getpid()}.part")
    try:
        with ShardWriter(part) as writer:
            annotators = sum(write(writer, photograph, truth) for photograph, truth in pairs)
        for what, number, wanted in zip(("photographs", "boundaries"), (len(pairs), annotators), expected, strict=True):
            if wanted not in (None, number):
                raise UserError(f"there are {number} {what}, not {wanted} as expected")
        part.replace(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return annotators


def write(writer: ShardWriter, photograph: Path, truth: Path) -> int:
    """Add a pair as a record, checked by what will read it; the number of its annotators."""
    boundaries = ground_truth(truth)
    height, width = boundaries[0].shape
    record = {
        "image": {"width": width, "height": height, "file_name": photograph.name},
        "boundaries": [rle_to_json(encode(drawn)) for drawn in boundaries],
    }
    ending = "png" if photograph.suffix.lower() == ".png" else "jpg"
    files = {ending: photograph.read_bytes(), "json": json.dumps(record).encode()}
    try:
        parse_boundaries(RawSample("", photograph.stem, files))
    except BadSample as error:
        raise UserError(f"{photograph}: {error}") from None
    writer.write(photograph.stem, files, source="manual")
    return len(boundaries)


if __name__ == "__main__":
    main()
