"""Average precision of instance segmentation and of boxes on COCO and on LVIS (SAM, section 7.4 and appendix D.4).

The numbers are those of the two official evaluations: pycocotools computes COCO's, hotcoco LVIS's, as lvis-api does to
the bit. What surrounds them here keeps out known ways to a wrong number: an annotation with the id 0 is never found,
two with the same id are one, a result with a ``bbox`` beside its mask is small, medium or large by the box, a ground
truth without ``iscrowd`` breaks off, and a limit other than 100 detections turns COCO's AP into -1.

LVIS is annotated in part: a detection can be wrong only where its category was looked for, which is where an object of
it is annotated or where the image lists it as negative; and not where the image lists it as not exhaustive (Gupta,
Dollár and Girshick 2019). Of an image's detections, all categories together, the 300 best count. Versions 0.5 and 1
have the same rules.
"""

from __future__ import annotations

import io
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any, Literal

from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from anymask.errors import UserError

if TYPE_CHECKING:
    from hotcoco import StreamingEval

__all__ = ["Kind", "coco_average_precision", "lvis_average_precision"]

Kind = Literal["segm", "bbox"]
"""What the overlap is measured of: masks, or boxes."""

Entry = Mapping[str, Any]
Detections = Mapping[int, Sequence[Entry]]
"""By the id of the image, ``{"category_id", "score"}`` with a ``segmentation`` (a compressed run-length code) or a
``bbox`` (x, y, width, height), whichever is measured; all else is left unread. Images without any may be absent."""

COCO_NAMES = (
    "AP", "AP50", "AP75", "APs", "APm", "APl", "AR@1", "AR@10", "AR@100", "ARs@100", "ARm@100", "ARl@100"
)  # fmt: skip
LVIS_NAMES = (
    "AP", "AP50", "AP75", "APs", "APm", "APl", "APr", "APc", "APf", "AR@300", "ARs@300", "ARm@300", "ARl@300"
)  # fmt: skip


def coco_average_precision(truth: Entry, detections: Detections, kind: Kind = "segm") -> dict[str, float]:
    """COCO's twelve numbers, 0 to 1, with up to 100 detections of a category on an image; NaN where no object counts.

    ``truth`` is the content of an instances file. Raises ValueError for detections on images or of categories that it
    does not list, and for scores that are not finite.
    """
    found = [entry for _, entries in _image_by_image(truth, detections, kind) for entry in entries]
    for number, entry in enumerate(found, start=1):
        entry |= {"id": number, "area": _area(entry)}
    with redirect_stdout(io.StringIO()):  # pycocotools tells its progress
        evaluation = COCOeval(_indexed(truth, _objects(truth)), _indexed(truth, found), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return {name: _or_nan(value) for name, value in zip(COCO_NAMES, evaluation.stats, strict=True)}


def lvis_average_precision(truth: Entry, detections: Detections, kind: Kind = "segm") -> dict[str, float]:
    """LVIS's thirteen numbers, 0 to 1, by size and by frequency of the category; NaN where no object counts.

    The images are taken one after the other and nothing is kept of their masks: ``detections`` may read them from a
    file when asked. Raises as ``coco_average_precision``, and UserError for a ground truth that is not LVIS's and where
    hotcoco is not installed.
    """
    evaluation = _lvis_evaluation(truth, kind)
    objects = defaultdict(list)
    for entry in _objects(truth):
        objects[entry["image_id"]].append(entry | {"iscrowd": 0})  # lvis-api knows no crowds
    for image, found in _image_by_image(truth, detections, kind):
        evaluation.update([dict(image)], objects[image["id"]], found)
    finished = evaluation.finalize()
    with redirect_stdout(io.StringIO()):
        finished.accumulate()
        finished.summarize()
    results = finished.get_results()
    return {name: _or_nan(results[name]) for name in LVIS_NAMES}


def _image_by_image(truth: Entry, detections: Detections, kind: Kind) -> Iterator[tuple[Entry, list[dict[str, Any]]]]:
    """Detections with nothing but what overlaps, so that the area can only be its."""
    images = {image["id"]: image for image in truth["images"]}
    strangers = detections.keys() - images.keys()
    if strangers:
        raise ValueError(f"there are detections on image {min(strangers)}, which the ground truth does not list")
    categories = {category["id"] for category in truth["categories"]}
    fields = ("category_id", "score", "segmentation" if kind == "segm" else "bbox")
    for number, image in images.items():
        found = [{"image_id": number} | {key: entry[key] for key in fields} for entry in detections.get(number, ())]
        for entry in found:
            if entry["category_id"] not in categories:
                raise ValueError(f"image {number} has a detection of the category {entry['category_id']}, not listed")
            if not math.isfinite(entry["score"]):
                raise ValueError(f"image {number} has a detection with the score {entry['score']}")
        yield image, found


def _objects(truth: Entry) -> list[dict[str, Any]]:
    """Numbered anew from 1, with nothing but what is measured; an ``ignore`` beside ``iscrowd`` is not."""
    fields = ("image_id", "category_id", "segmentation", "bbox", "area")
    return [
        {key: entry[key] for key in fields if key in entry} | {"id": number, "iscrowd": entry.get("iscrowd", 0)}
        for number, entry in enumerate(truth["annotations"], start=1)
    ]


def _area(entry: Entry) -> float:
    return float(
        coco_mask.area(entry["segmentation"]) if "segmentation" in entry else entry["bbox"][2] * entry["bbox"][3]
    )


def _indexed(truth: Entry, entries: list[dict[str, Any]]) -> COCO:
    coco = COCO()
    coco.dataset = {"images": truth["images"], "categories": truth["categories"], "annotations": entries}
    coco.createIndex()
    return coco


def _lvis_evaluation(truth: Entry, kind: Kind) -> StreamingEval:
    if any("neg_category_ids" not in image or "not_exhaustive_category_ids" not in image for image in truth["images"]):
        raise UserError(
            "the ground truth is not LVIS's: an image lacks neg_category_ids or not_exhaustive_category_ids"
        )
    if any(category.get("frequency") not in ("r", "c", "f") for category in truth["categories"]):
        raise UserError("the ground truth is not LVIS's: a category lacks its frequency, r, c or f")
    try:
        from hotcoco import StreamingEval
    except ImportError:
        raise UserError("average precision on LVIS needs hotcoco: pip install 'anymask[lvis]'") from None
    return StreamingEval([dict(category) for category in truth["categories"]], kind, lvis_style=True)


def _or_nan(value: float) -> float:
    """Both evaluations say -1 where there is nothing to measure, which an average would take for a number."""
    return float(value) if value >= 0 else math.nan
