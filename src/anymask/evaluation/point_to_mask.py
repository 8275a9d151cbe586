"""Point-to-mask (SAM, section 7.1 and appendix D.1): from one click, and from some more, to a mask.

records.jsonl, one line per mask ─> results.json ─> report.md, report.html

The mask that counts is the one that the model believes best; "oracle" is the best of those that it offers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import torch
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from anymask.data.shards import ShardSet
from anymask.data.stream import read_samples
from anymask.errors import UserError
from anymask.evaluation import summary
from anymask.evaluation.image_records import Stopwatch, records_of
from anymask.evaluation.journal import Journal
from anymask.evaluation.protocol import PointToMask
from anymask.evaluation.provenance import code_commit, hardware, sha256_of, shown_path
from anymask.evaluation.report import write_report
from anymask.evaluation.results import SCHEMA, Identity, Numbers, Record, Results, write_results
from anymask.inference.predictor import Predictor
from anymask.metrics.overlap import clicks_to_reach
from anymask.models.sam import Sam
from anymask.structures import Sample, Skipped

__all__ = ["PointToMask", "evaluate"]


def evaluate(
    sam: Sam,
    shards: ShardSet,
    task: PointToMask,
    folder: Path,
    *,
    checkpoint: Path | str,
    limit: int | None = None,
    workers: int = 0,
    published: Path | None = None,
    pictures: bool = True,
    progress: bool = True,
) -> Results:
    """Evaluate a model on the first ``limit`` samples, or all; write records, results and report into ``folder``.

    A run that was stopped is taken up where it was. Samples that cannot be used are counted and listed. ``checkpoint``
    is what the model was loaded from, for the record; ``published`` a JSON file of numbers to show beside ours;
    ``pictures`` puts some photographs into the report, where their licence lets them be passed on.
    Raises UserError if the folder holds another evaluation, or if there is no mask that can be evaluated.
    """
    folder.mkdir(parents=True, exist_ok=True)
    identity = _identity(shards, task, checkpoint, limit)
    journal = Journal(folder / "records.jsonl", identity)
    watch = Stopwatch(next(sam.parameters()).device)
    samples = read_samples(shards, limit=limit, workers=workers)
    total = shards.samples.total() if limit is None else min(limit, shards.samples.total())
    with _progress_bar(samples, total, visible=progress) as tracked:
        records, counts, skipped = _gather(tracked, sam, task, journal, watch)
    if not records:
        reason = f"; the first: {skipped[0].key}: {skipped[0].reason}" if skipped else ""
        raise UserError(f"there is no mask to evaluate in {shards.name}: {counts}{reason}")
    results: Results = {
        **identity,
        **_numbers(records, task),
        "task": "point_to_mask",
        "counts": counts | _not_reached(records, task),
        "skipped": [{"shard": Path(bad.shard).name, "key": bad.key, "reason": bad.reason} for bad in skipped],
        "pictured": task.pictured,
        "commit": code_commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "hardware": hardware(watch.device),
        "torch": torch.__version__,
        "latency_ms": watch.medians(),
    }
    write_results(folder / "results.json", results)
    write_report(folder, shards if pictures else None, published)
    return results


def _identity(shards: ShardSet, task: PointToMask, checkpoint: Path | str, limit: int | None) -> Identity:
    """What must be the same for two runs to be one."""
    return {
        "schema": SCHEMA,
        "protocol": task.protocol,
        "settings": asdict(task),
        "data": {"name": shards.name, "fingerprint": shards.fingerprint()},
        "limit": limit,
        "checkpoint": {"path": shown_path(Path(checkpoint)), "sha256": sha256_of(Path(checkpoint))},
    }


def _gather(
    samples: Iterable[Sample | Skipped], sam: Sam, task: PointToMask, journal: Journal, watch: Stopwatch
) -> tuple[list[Record], dict[str, int], list[Skipped]]:
    """The records of all samples, those that the journal lacks made now; what they count; what was skipped."""
    predictor = Predictor(sam)
    records: list[Record] = []
    skipped: list[Skipped] = []
    images = empty = 0
    for sample in samples:
        if isinstance(sample, Skipped):
            skipped.append(sample)
            continue
        image = (Path(sample.shard).name, sample.key)
        if image not in journal:
            with watch.measure(watch.encode_image):
                predictor.set_image(sample.image)
            journal.append(image, records_of(sample, predictor.predict, task, watch))
        records += journal[image]
        images += 1
        empty += len(sample.masks) - len(journal[image])
    counts = {"images": images, "masks": len(records), "empty_masks": empty, "skipped_samples": len(skipped)}
    return records, counts, skipped


def _numbers(records: list[Record], task: PointToMask) -> Numbers:
    """All that is computed from the records alone."""
    of_model = [
        summary.model_values(
            record, report_at=task.report_at, oracle_at=task.oracle_at, noc=task.noc, limit=task.clicks
        )
        for record in records
    ]
    of_floors = {
        floor: [summary.floor_values(record, floor, task.floor_clicks) for record in records] for floor in task.floors
    }
    metrics = summary.means(of_model)
    floors = {floor: summary.means(values) for floor, values in of_floors.items()}
    return {
        "metrics": metrics,
        "standard_errors": summary.standard_errors(of_model),
        "by_size": summary.by_size(records, of_model),
        "floors": floors,
        "floor_standard_errors": {floor: summary.standard_errors(values) for floor, values in of_floors.items()},
        "calibration": summary.calibration(records),
        "verdict": summary.verdict(metrics, floors),
    }


def _not_reached(records: list[Record], task: PointToMask) -> dict[str, int]:
    courses = [record["model"]["ious"] for record in records]
    return {
        f"not_reached@{round(t * 100)}": sum(clicks_to_reach(ious, t, task.clicks) is None for ious in courses)
        for t in task.noc
    }


@contextmanager
def _progress_bar(
    samples: Iterator[Sample | Skipped], total: int, *, visible: bool
) -> Iterator[Iterable[Sample | Skipped]]:
    columns = (
        TextColumn("point-to-mask"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, disable=not visible) as bar:
        yield bar.track(samples, total=total)
