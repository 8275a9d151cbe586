"""Pack a folder of SA-1B pairs, sa_N.jpg with sa_N.json, into shards.

    python data/sa1b/prepare.py --images sa_mini --source manual --held-out 0.1 --out data/sa1b/shards

SA-1B's own tars need no packing: they are read as they are.
"""

from __future__ import annotations

import json
from pathlib import Path

from anymask.data.packing import Photograph, command_line, files_by_stem, pack, pair
from anymask.errors import UserError
from anymask.structures import SOURCES


def main() -> None:
    """Pack, and say what was packed."""
    parser = command_line(__doc__)
    parser.add_argument("--images", type=Path, required=True, help="folder of the pairs")
    parser.add_argument("--source", choices=SOURCES, required=True, help="where the masks come from (SAM, section 4)")
    parser.add_argument("--held-out", type=float, metavar="SHARE", help="share of photographs for OUT/held_out")
    arguments = parser.parse_args()
    try:
        pairs = pair(files_by_stem(arguments.images, ".jpg", ".jpeg"), files_by_stem(arguments.images, ".json"))
        counts = pack(
            pairs,
            read,
            arguments.out,
            source=arguments.source,
            held_out=arguments.held_out,
            expected=(arguments.expect_images, arguments.expect_masks),
        )
    except UserError as error:
        parser.exit(2, f"{error}\n")
    print(f"{arguments.out}: {counts}")


def read(files: tuple[Path, Path]) -> Photograph:
    """What the two files say; only ``source`` will be added."""
    photograph, annotation = files
    try:
        content = json.loads(annotation.read_bytes())
        return Photograph(photograph.stem, photograph.read_bytes(), content["image"], content["annotations"])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{annotation} is not an annotation in SA-1B's form: {error!r}") from None


if __name__ == "__main__":
    main()
