"""Write the annotated boxes of an instances file as detections, for instance segmentation without a detector.

    python data/coco/boxes.py --annotations lvis_v1_val.json --out boxes.json

Every box has the score 1 and the right category, so that the average precision says what the masks alone are worth: it
is no number to be compared with those that a detector's boxes give. Crowd regions are left out.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from anymask.atomic import write_atomically
from anymask.data.coco import read_ground_truth
from anymask.errors import UserError


def main() -> None:
    """Read one file, write the other, and say how many boxes there are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--annotations", type=Path, required=True, help="instances_….json")
    parser.add_argument("--out", type=Path, required=True, help="the file of detections to be written")
    arguments = parser.parse_args()
    try:
        boxes = annotated_boxes(arguments.annotations)
    except UserError as error:
        parser.exit(2, f"{error}\n")
    write_atomically(arguments.out, lambda part: part.write_text(json.dumps(boxes)))
    print(f"{arguments.out}: {len(boxes)} boxes")


def annotated_boxes(path: Path) -> list[dict[str, Any]]:
    """COCO's result form. Raises UserError for what is no instances file."""
    annotations = read_ground_truth(path).annotations
    return [
        {"image_id": image, "category_id": entry.category_id, "bbox": list(entry.xywh), "score": 1.0}
        for image, entries in annotations.items()
        for entry in entries
        if not entry.crowd
    ]


if __name__ == "__main__":
    main()
