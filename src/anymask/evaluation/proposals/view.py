"""How a report shows object proposals."""

from __future__ import annotations

from pathlib import Path

from anymask.evaluation import view
from anymask.evaluation.proposals import pictures
from anymask.evaluation.proposals.records import Record
from anymask.evaluation.proposals.summary import PREFIXES
from anymask.evaluation.published import PublishedFile
from anymask.evaluation.results import Results

__all__ = ["HEADLINES", "METRICS", "chart", "section"]

HEADLINES = ("ar@1000", "ar@100", "ars@1000", "arm@1000", "arl@1000")
WORDS = {prefix: "" if group == "all" else f", {group}" for group, prefix in PREFIXES.items()}
PER_CENT_TICKS = tuple((number / 100, str(number)) for number in range(0, 101, 20))
CAUTION = (
    "Measured on all of LVIS v1 val, by evaluators that differ: others who tried to repeat SAM's 59.3 got 50 to 54, "
    "and less for ViTDet-H as well. They show the scale; the paper's own evaluator was never published."
)


def title(metric: str) -> str:
    """As papers call it.

    >>> title("ar@1000"), title("arr@1000")
    ('AR@1000', 'AR@1000, rare')
    """
    prefix, _, cutoff = metric.partition("@")
    return f"AR@{cutoff}{WORDS.get(prefix, '')}"


METRICS = view.Metrics(title, view.per_cent)


def section(
    folder: Path, results: Results, records: list[Record], published: PublishedFile, find: pictures.Find | None
) -> view.Section:
    """All of it; without ``find`` or records there are no pictures. ``folder`` has nothing more to look at."""
    blocks = [_floors(results), _groups(results)]
    if find is not None and any(record["best"] for record in records):
        blocks.append(_pictures(records, find))
    blocks += view.published_block(results, METRICS, published, CAUTION)
    proposals = results["settings"]["proposals"]
    headlines = dict.fromkeys(name.replace("@1000", f"@{proposals}") for name in HEADLINES)
    return view.Section(
        title="Object proposals",
        results=results,
        tiles=view.tiles(results, METRICS, tuple(headlines)),
        note=(
            "AR@K, average recall in per cent ± its standard error over the images: the share of all annotated "
            "objects, whatever their category, that are among the first K masks of their image, averaged over the IoU "
            "that it takes, .50 to .95. Small objects are of up to 32 x 32 annotated pixels, large ones from 96 x 96."
        ),
        blocks=tuple(blocks),
        facts=view.facts(results),
    )


def _floors(results: Results) -> view.Block:
    each = results["details"]["proposals_per_image"]
    return view.Block(
        title="Model and floors",
        text=(
            "A floor has learned nothing: boxes that do not look at the photograph, segments of even colour "
            "(Felzenszwalb and Huttenlocher 2004). Masks an image: "
            f"{', '.join(f'{_said(side)} {number:.0f}' for side, number in each.items())}."
        ),
        charts=(chart(results), _over_iou(results)),
        tables=(view.against_floors(results, METRICS),),
    )


def chart(results: Results) -> view.Lines:
    """Average recall over the number of masks."""
    cutoffs = results["details"]["cutoffs"]
    ticks = [cutoff for cutoff in cutoffs if cutoff in (1, 10, 100, cutoffs[-1])]
    curves = [
        view.Curve(
            _said(side),
            tuple((float(k), value, error or 0.0) for k, (value, error) in zip(cutoffs, values, strict=True)),
        )
        for side, values in results["details"]["recall_by_cutoff"].items()
    ]
    return view.Lines(
        title="Average recall over the number of masks",
        x_title="masks an image",
        y_title="average recall, %",
        x_ticks=tuple((float(cutoff), str(cutoff)) for cutoff in ticks),
        y_ticks=PER_CENT_TICKS,
        curves=tuple(curves),
        log_x=True,
    )


def _over_iou(results: Results) -> view.Lines:
    thresholds = results["details"]["iou_thresholds"]
    curves = [
        view.Curve(_said(side), tuple((t, value, 0.0) for t, value in zip(thresholds, values, strict=True)))
        for side, values in results["details"]["recall_by_iou"].items()
    ]
    return view.Lines(
        title=f"Recall among {results['settings']['proposals']} masks over the IoU that it takes",
        x_title="IoU",
        y_title="recall, %",
        x_ticks=tuple((t, f"{t:.2f}") for t in thresholds[::3]),
        y_ticks=PER_CENT_TICKS,
        curves=tuple(curves),
    )


def _groups(results: Results) -> view.Block:
    proposals = results["settings"]["proposals"]
    sides = {"model": results["metrics"]} | results["floors"]
    rows = []
    for group, number in results["details"]["objects"].items():
        name = f"{PREFIXES[group]}@{proposals}"
        values = [side.get(name) for side in sides.values()]
        shown = [view.NOTHING if value is None else view.per_cent(value) for value in values]
        rows.append(view.Row(group, (str(number), *shown)))
    caption = f"AR@{proposals}. Sizes share their bounds: an object of 32 x 32 pixels is small and medium."
    table = view.Table(
        columns=("objects", "number", *map(_said, sides)),
        rows=tuple(rows),
        caption=" ".join(filter(None, [caption, view.sample_said(results)])),
    )
    return view.Block(title="By size and frequency of the objects", tables=(table,))


def _pictures(records: list[Record], find: pictures.Find) -> view.Block:
    drawn = pictures.draw_extremes(records, find)
    kept = sum(bool(record["best"]) for record in records)
    return view.Block(
        title="Pictures",
        text=(
            "Left the annotated objects (green), right the model's first masks, at most 100 of them, coloured by the "
            "IoU that the model predicts: from dark blue, the least of this picture, over grey to yellow, the highest. "
            f"Small masks lie on large ones. Chosen of {kept} images whose masks were kept."
        ),
        pictures=tuple(
            (f"{name} by average recall", tuple(map(_captioned, some)))
            for name, some in (("Best", drawn.best), ("Median", drawn.median), ("Worst", drawn.worst))
        ),
    )


def _captioned(picture: pictures.Picture) -> view.Picture:
    record, (low, high) = picture.record, picture.estimates
    caption = (
        f"{record['image']}: average recall {view.per_cent(picture.recall)} of {record['objects']['all']} objects "
        f"among {record['model']['proposals']} masks; predicted IoU {low:.2f} (dark blue) to {high:.2f} (yellow)."
    )
    return view.Picture(
        picture.jpeg, caption, f"Objects and proposals of {record['image']}, side by side", is_broad=True
    )


def _said(side: str) -> str:
    return side.replace("_", " ")
