"""How a report shows point-to-mask."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from anymask.evaluation import view
from anymask.evaluation.point_to_mask import pictures
from anymask.evaluation.point_to_mask.records import Record
from anymask.evaluation.published import PublishedFile
from anymask.evaluation.results import Results
from anymask.metrics.overlap import iou_after

__all__ = ["HEADLINES", "METRICS", "chart", "section"]

HEADLINES = ("miou@1", "oracle@1", "miou@3", "miou@5", "noc@90")
TENTHS = tuple(str(10 * number) for number in range(11))
CAUTION = (
    "None of them was measured on these masks, and the set-ups differ from ours and from one another: they show the "
    "scale and rank nothing."
)
PER_CENT_TICKS = tuple((number / 100, str(number)) for number in range(0, 101, 20))


def title(metric: str) -> str:
    """As papers call it.

    >>> title("miou@5"), title("noc@90")
    ('mIoU, 5 clicks', 'NoC at 90')
    """
    kind, _, number = metric.partition("@")
    if kind == "noc":
        return f"NoC at {number}"
    words = {"miou": "mIoU", "oracle": "oracle"}
    return f"{words.get(kind, kind)}, {number} click{'s' if number != '1' else ''}"


def shown(value: float, metric: str) -> str:
    """IoUs in per cent, as papers print them; clicks as they are."""
    return f"{value:.2f}" if metric.startswith("noc@") else view.per_cent(value)


METRICS = view.Metrics(title, shown)


def section(
    folder: Path, results: Results, records: list[Record], published: PublishedFile, find: pictures.Find | None
) -> view.Section:
    """All of it; without ``find`` or records there are no pictures. ``folder`` has nothing more to look at."""
    blocks = [_floors(results), _sizes(results), _beliefs(results)]
    if find is not None and records:
        blocks.append(_pictures(records, find, results["details"]["pictured"]))
    blocks += view.published_block(results, METRICS, published, CAUTION)
    return view.Section(
        title="Point-to-mask",
        results=results,
        tiles=view.tiles(results, METRICS, HEADLINES),
        note=(
            "IoU in per cent ± its standard error over the masks (those of one image are not quite independent: it is "
            "rather too small). The mask that counts is the one that the model believes best; the oracle is the best "
            "of those that it offers. NoC is the mean number of clicks to reach an IoU, "
            f"{results['settings']['clicks']} where it is not reached."
        ),
        blocks=tuple(blocks),
        facts=view.facts(results),
    )


def _floors(results: Results) -> view.Block:
    bars = view.Bars(
        title="Masks by IoU after the first click",
        x_title="IoU after the first click, %",
        y_title="masks",
        edges=TENTHS,
        counts=tuple(results["details"]["histogram"]),
    )
    return view.Block(
        title="Model and floors",
        text="A floor has learned nothing. It gets its clicks from the same simulated user, by its own errors.",
        charts=(chart(results), bars),
        tables=(view.against_floors(results, METRICS),),
    )


def chart(results: Results) -> view.Lines:
    """The model first, then the floors, then the oracle."""
    metrics, errors = results["metrics"], results["standard_errors"]
    floors = [
        _curve(name.replace("_", " "), "miou", values, results["floor_standard_errors"][name])
        for name, values in results["floors"].items()
    ]
    model, oracle = _curve("model", "miou", metrics, errors), _curve("oracle", "oracle", metrics, errors)
    return view.Lines(
        title="Mean IoU over clicks",
        x_title="clicks",
        y_title="mean IoU, %",
        x_ticks=tuple((x, str(round(x))) for x, _, _ in model.points),
        y_ticks=PER_CENT_TICKS,
        curves=(model, *floors, oracle),
    )


def _curve(name: str, kind: str, metrics: dict[str, float | None], errors: dict[str, float | None]) -> view.Curve:
    keys = [key for key in metrics if key.startswith(f"{kind}@")]
    return view.Curve(
        name, tuple((float(key.partition("@")[2]), metrics[key] or 0.0, errors[key] or 0.0) for key in keys)
    )


def _sizes(results: Results) -> view.Block:
    names = tuple(results["metrics"])
    rows = [
        view.Row(size, (str(int(values["masks"])), *(shown(values[name], name) for name in names)))
        for size, values in results["details"]["by_size"].items()
    ]
    caption = "Small is below 32 x 32 pixels of the image, large from 96 x 96."
    table = view.Table(
        columns=("size", "masks", *map(title, names)),
        rows=tuple(rows),
        caption=" ".join(filter(None, [caption, view.sample_said(results)])),
    )
    return view.Block(title="By size of the mask", tables=(table,))


def _beliefs(results: Results) -> view.Block:
    tenths = results["details"]["calibration"]
    rows = [
        view.Row(
            f"{tenth['low']:.1f} to {tenth['low'] + 0.1:.1f}",
            (str(tenth["masks"]), view.per_cent(tenth["predicted"]), view.per_cent(tenth["true"])),
        )
        for tenth in tenths
    ]
    dots = view.Dots(
        title="Estimated and true IoU after the first click",
        x_title="estimated IoU, %",
        y_title="true IoU, %",
        dots=tuple((min(max(tenth["predicted"], 0), 1), tenth["true"], tenth["masks"]) for tenth in tenths),
        note="Each dot is the masks whose estimate lies in one tenth, its area their number; "
        "on the dashed line the estimate is right.",
    )
    table = view.Table(
        columns=("its estimate at the first click", "masks", "mean estimate", "mean IoU"),
        rows=tuple(rows),
        caption=view.sample_said(results),
    )
    return view.Block(title="What the model believes", charts=(dots,), tables=(table,))


def _pictures(records: Sequence[Record], find: pictures.Find, clicks: Any) -> view.Block:
    first, later = clicks
    drawn = pictures.draw_extremes(records, find, (first, later))
    words = f"{later} click{'s' if later > 1 else ''}"
    return view.Block(
        title="Pictures",
        text=(
            "Each in four panels: the true mask (green) with the first click; the model's mask (blue) after "
            f"{first} click{'s' if first > 1 else ''}; after {later} or fewer; and the error that is left, missed in "
            "light blue, too much in orange. A round mark with a plus is a foreground click, a square with a minus a "
            "background click."
        ),
        pictures=tuple(
            (f"{name} by IoU after {words}", tuple(_captioned(picture, (first, later)) for picture in some))
            for name, some in (("Best", drawn.best), ("Median", drawn.median), ("Worst", drawn.worst))
        ),
    )


def _captioned(picture: pictures.Picture, clicks: tuple[int, int]) -> view.Picture:
    record = picture.record
    course = record["model"]
    ious = ", ".join(
        f"{view.per_cent(iou_after(course['ious'], click))} at click {click}" for click in sorted(set(clicks))
    )
    caption = (
        f"{record['image']}, mask {record['mask']}, {record['area']} pixels. IoU {ious}; estimated "
        f"{view.per_cent(course['predicted_ious'][0])} at the first."
    )
    return view.Picture(picture.jpeg, caption, f"Mask {record['mask']} of {record['image']} in four panels")
