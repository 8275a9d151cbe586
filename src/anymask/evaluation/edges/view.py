"""How a report shows edges."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from anymask.evaluation import view
from anymask.evaluation.edges import pictures, summary
from anymask.evaluation.edges.records import Record
from anymask.evaluation.published import PublishedFile
from anymask.evaluation.results import Results

__all__ = ["HEADLINES", "METRICS", "chart", "section"]

HEADLINES = summary.METRICS
TICKS = tuple((number / 10, f"{number / 10:.1f}") for number in range(0, 11, 2))
NOTE = (
    "ODS is the best F of recall and precision of boundary pixels with one threshold for all images, OIS with the best "
    "threshold of each; AP is the mean precision over recalls, R50 the recall at a precision of one half. Behind ± "
    "stands the standard error over the images. People are asked for the boundaries of objects, no model of masks was "
    "taught these: the numbers are zero-shot only if no photograph of BSDS500 was trained on, of whatever split."
)
CAUTION = "Measured on all 200 test images of BSDS500, by the benchmark's own program as far as is known."


def shown(value: float, _: str = "") -> str:
    """As papers on edges print it.

    >>> shown(0.7684), shown(1.0)
    ('.768', '1.000')
    """
    return f"{value:.3f}".removeprefix("0")


METRICS = view.Metrics(str.upper, shown)


def section(
    folder: Path, results: Results, records: list[Record], published: PublishedFile, find: pictures.Find | None
) -> view.Section:
    """All of it; the pictures need ``find``, the records and the maps in ``folder``."""
    blocks = [_against_floors(results)]
    if find is not None and records:
        blocks.append(_pictures(records, find, folder / "maps"))
    blocks += view.published_block(results, METRICS, published, CAUTION)
    return view.Section(
        title="Edges",
        results=results,
        tiles=view.tiles(results, METRICS, HEADLINES),
        note=NOTE,
        blocks=tuple(blocks),
        facts=view.facts(results),
    )


def _against_floors(results: Results) -> view.Block:
    return view.Block(
        title="Model and floors",
        text="A floor is a filter of the grey photograph and has learned nothing.",
        charts=(chart(results),),
        tables=(view.against_floors(results, METRICS), _operating_points(results)),
    )


def chart(results: Results) -> view.Lines:
    """Precision over recall, the model's first; a threshold at which nothing is drawn has no place on a curve."""
    curves = [
        view.Curve(_called(name, results), tuple((r, p, 0.0) for r, p in own["curve"] if r or p), dots=False)
        for name, own in results["details"].items()
    ]
    return view.Lines(
        title="Precision over recall",
        x_title="recall",
        y_title="precision",
        x_ticks=TICKS,
        y_ticks=TICKS,
        curves=tuple(curve for curve in curves if curve.points),
        note="One curve for all thresholds, over the pooled pixels of all images.",
    )


def _operating_points(results: Results) -> view.Table:
    rows = [
        view.Row(
            _called(name, results),
            (
                shown(own["ods_threshold"]),
                *(shown(own[key]) for key in ("ods_recall", "ods_precision", "ois_recall", "ois_precision")),
            ),
            is_ours=name == "model",
        )
        for name, own in results["details"].items()
    ]
    columns = ("where ODS and OIS are", "ODS threshold", "recall", "precision", "OIS recall", "precision")
    return view.Table(columns=columns, rows=tuple(rows), caption=view.sample_said(results))


def _called(name: str, results: Results) -> str:
    return view.ours(results, name) if name == "model" else name


def _pictures(records: Sequence[Record], find: pictures.Find, maps: Path) -> view.Block:
    groups = pictures.extremes(records)
    images = find({(record["shard"], record["image"]) for _, some in groups for record in some})
    drawn = []
    for name, some in groups:
        found = [(record, images.get((record["shard"], record["image"]))) for record in some]
        jpegs = [(record, pictures.picture(record, image, maps)) for record, image in found if image is not None]
        shown_here = tuple(_captioned(record, jpeg) for record, jpeg in jpegs if jpeg is not None)
        drawn.append((f"{name} by F at the image's best threshold", shown_here))
    return view.Block(
        title="Pictures",
        text=(
            "Each in three panels: the photograph; the map, stronger edges darker; and what people drew, darker where "
            "more of them did."
        ),
        pictures=tuple(drawn),
    )


def _captioned(record: Record, jpeg: bytes) -> view.Picture:
    model = record["model"]
    masks = f" {record['masks']} masks," if record["masks"] is not None else ""
    caption = (
        f"{record['image']},{masks} {record['annotators']} annotators. "
        f"F {shown(model['best_f'])} at threshold {shown(model['best_threshold'])}."
    )
    return view.Picture(
        jpeg, caption, f"Photograph, edge map and people's boundaries of {record['image']}", is_broad=True
    )
