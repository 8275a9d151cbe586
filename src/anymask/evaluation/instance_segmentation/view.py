"""How a report shows instance segmentation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from anymask.evaluation import view
from anymask.evaluation.instance_segmentation import pictures
from anymask.evaluation.instance_segmentation.records import Record
from anymask.evaluation.instance_segmentation.summary import HEADLINES
from anymask.evaluation.published import PublishedFile
from anymask.evaluation.results import Results

__all__ = ["HEADLINES", "METRICS", "chart", "section"]

CAUTION = (
    "The detector matters as much as the model: compare rows with the same boxes alone. Rows differ in refinement and "
    "in the choice of the mask, as their set-up says."
)
TICKS = tuple((number / 100, str(number)) for number in range(0, 101, 20))
WORDS = {"s": "small", "m": "medium", "l": "large", "r": "rare", "c": "common", "f": "frequent"}


def title(metric: str) -> str:
    """As papers call it.

    >>> title("ap"), title("ap75"), title("aps"), title("ar")
    ('AP', 'AP75', 'AP small', 'AR')
    """
    kind, rest = metric[:2].upper(), metric[2:]
    return f"{kind} {WORDS[rest]}" if rest in WORDS else f"{kind}{rest}"


METRICS = view.Metrics(title, view.per_cent)


def section(
    folder: Path, results: Results, records: list[Record], published: PublishedFile, find: pictures.Find | None
) -> view.Section:
    """All of it; without ``find`` or records there are no pictures. ``folder`` has nothing more to look at."""
    blocks = [_floors(results), _curves(results)]
    if find is not None and records:
        blocks.append(_pictures(results, records, find))
    blocks += view.published_block(results, METRICS, published, CAUTION)
    return view.Section(
        title="Instance segmentation",
        results=results,
        tiles=view.tiles(results, METRICS, HEADLINES),
        note=_note(results),
        blocks=tuple(blocks),
        facts=view.facts(results),
    )


def _note(results: Results) -> str:
    detector = results["details"]["detector"]
    box_ap = "unknown" if detector["box_ap"] is None else view.per_cent(detector["box_ap"])
    return (
        "Mask AP in per cent, averaged over ten thresholds of IoU from .50 to .95 and over the categories, by the "
        f"rules of {results['details']['benchmark'].upper()}; AR is the recall with as many detections as these allow. "
        f"The boxes, categories and scores are those of {results['data']['detections']}, whose own box AP is "
        f"{box_ap}: no mask can find what has no box."
    )


def _floors(results: Results) -> view.Block:
    table = view.against_floors(results, METRICS)
    own = results["details"]["detector"]["masks"]
    if own is not None:
        row = view.Row("the detector's own masks", view.cells(tuple(results["metrics"]), own, {}, METRICS))
        table = replace(table, rows=(*table.rows, row))
    return view.Block(
        title="Model and floors",
        text=(
            "A floor has learned nothing: it fills the box, or the ellipse in it, and keeps the detector's category "
            "and score. The detector's own masks, where it has made some, were learned from such data: they are no "
            "floor."
        ),
        tables=(table,),
    )


def _curves(results: Results) -> view.Block:
    charts = tuple(_chart(results["details"]["precision_over_recall"], threshold) for threshold in ("50", "75"))
    return view.Block(
        title="Precision and recall",
        text="Averaged over the categories that have an object; 0 beyond the recall that a category reaches.",
        charts=tuple(chart for chart in charts if chart.curves),
    )


def chart(results: Results) -> view.Lines:
    """Precision over recall at an IoU of one half."""
    return _chart(results["details"]["precision_over_recall"], "50")


def _chart(of_all: dict[str, Any], threshold: str) -> view.Lines:
    """The model first."""
    curves = [
        view.Curve(
            "the detector's own masks" if name == "detector" else name,
            tuple((level / 100, precision, 0.0) for level, precision in enumerate(some[threshold])),
            dots=False,
        )
        for name, some in of_all.items()
        if some[threshold] is not None
    ]
    return view.Lines(
        title=f"Precision over recall at an IoU of .{threshold}",
        x_title="recall, %",
        y_title="precision, %",
        x_ticks=TICKS,
        y_ticks=TICKS,
        curves=tuple(curves),
    )


def _pictures(results: Results, records: list[Record], find: pictures.Find) -> view.Block:
    groups: dict[str, list[tuple[str, str, float]]] = results["details"]["pictured"]
    names = [(shard, key) for some in groups.values() for shard, key, _ in some]
    drawn = pictures.draw_images(names, records, find)
    return view.Block(
        title="Pictures",
        text=(
            "On the left the objects of the ground truth (green). On the right as many of the detections, those with "
            "the highest scores: the detector's boxes (yellow) with the model's masks (blue). Images are ranked by how "
            "well the masks cover the objects: the mean, over the objects, of the IoU with the nearest mask of their "
            "category."
        ),
        pictures=tuple(
            (
                f"{name.capitalize()} by mean IoU of the objects",
                tuple(
                    view.Picture(
                        drawn[shard, key],
                        f"{key}: {view.per_cent(overlap)}",
                        f"Objects and masks of {key}",
                        is_broad=True,
                    )
                    for shard, key, overlap in some
                    if (shard, key) in drawn
                ),
            )
            for name, some in groups.items()
        ),
    )
