"""Point-to-mask (SAM, section 7.1 and appendix D.1): from one click, and from some more, to a mask.

records.jsonl, one line per image ─> results.json ─> report.md, report.html

The mask that counts is the one that the model believes best; "oracle" is the best of those that it offers.
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

from anymask.data.shards import ShardSet
from anymask.data.stream import read_samples
from anymask.errors import UserError
from anymask.evaluation import summary
from anymask.evaluation.gathering import Gathered, gather
from anymask.evaluation.image_records import Stopwatch, records_of
from anymask.evaluation.protocol import PointToMask
from anymask.evaluation.provenance import circumstances, identity_of
from anymask.evaluation.ranks import ALONE, Ranks
from anymask.evaluation.report import write_report
from anymask.evaluation.results import Identity, Numbers, Record, Results, write_results
from anymask.inference.predictor import Predictor
from anymask.metrics.overlap import clicks_to_reach
from anymask.models.sam import Sam
from anymask.structures import Sample

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
    ranks: Ranks = ALONE,
) -> Results | None:
    """Evaluate a model on the first ``limit`` samples, or all; write records, results and report into ``folder``.

    A run that was stopped is taken up where it was. Samples that cannot be used are counted and listed. ``checkpoint``
    is what the model was loaded from, for the record; ``published`` a JSON file of numbers to show beside ours;
    ``pictures`` puts some photographs into the report, where their licence lets them be passed on. Of several
    processes each takes its share of the images; the first one writes and returns the results.
    Raises UserError if the folder holds another evaluation, or if there is no mask that can be evaluated.
    """
    identity = identity_of(task.protocol, asdict(task), shards, checkpoint, limit)
    watch = Stopwatch(next(sam.parameters()).device)
    predictor = Predictor(sam)

    def records(sample: Sample) -> list[Record]:
        with watch.measure(watch.encode_image):
            predictor.set_image(sample.image)
        return records_of(sample, predictor.predict, task, watch)

    gathered = gather(
        read_samples(shards, limit=limit, workers=workers, rank=ranks.rank, world=ranks.world),
        records,
        lambda sample: len(sample.masks),
        folder,
        identity,
        ranks=ranks,
        title="point-to-mask",
        total=ranks.share_of(min(shards.samples.total(), limit or sys.maxsize)),
        progress=progress,
    )
    if gathered is None:
        return None
    results = _results(gathered, task, identity, watch)
    write_results(folder / "results.json", results)
    write_report(folder, shards if pictures else None, published)
    return results


def _results(gathered: Gathered, task: PointToMask, identity: Identity, watch: Stopwatch) -> Results:
    records: list[Record] = gathered.records
    counts = {
        "images": gathered.images,
        "masks": len(records),
        "empty_masks": gathered.offered - len(records),
        "skipped_samples": len(gathered.skipped),
    }
    if not records:
        reason = f"; the first: {gathered.skipped[0].key}: {gathered.skipped[0].reason}" if gathered.skipped else ""
        raise UserError(f"there is no mask to evaluate in {identity['data']['name']}: {counts}{reason}")
    return {
        **identity,
        **_numbers(records, task),
        "task": "point_to_mask",
        "counts": counts | _not_reached(records, task),
        "skipped": [{"shard": Path(bad.shard).name, "key": bad.key, "reason": bad.reason} for bad in gathered.skipped],
        "pictured": task.pictured,
        **circumstances(watch.device),
        "latency_ms": watch.medians(),
    }


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
