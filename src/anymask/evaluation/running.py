"""One task from images to ``results.json``: taken up where it stopped, shared by processes."""

from __future__ import annotations

from pathlib import Path

from anymask.errors import UserError
from anymask.evaluation.gathering import Gathered, gather
from anymask.evaluation.provenance import circumstances, identity_of
from anymask.evaluation.ranks import ALONE, Ranks
from anymask.evaluation.results import Identity, Results, write_results
from anymask.evaluation.task import Item, Task

__all__ = ["run"]


def run(
    task: Task[Item],
    folder: Path,
    *,
    checkpoint: Path | str | None = None,
    limit: int | None = None,
    progress: bool = True,
    ranks: Ranks = ALONE,
) -> Results | None:
    """Evaluate the first ``limit`` images, or all; write ``records.jsonl`` and ``results.json`` into ``folder``.

    ``checkpoint`` is what the model was loaded from, for the record. A run that was stopped is taken up where it was.
    Images that cannot be used are counted and listed. Of several processes each takes its share of the images; the
    first one writes and returns the results.
    Raises UserError if the folder holds another evaluation, or if there is nothing that can be evaluated.
    """
    identity = identity_of(task, checkpoint, limit)
    gathered = gather(task, folder, identity, ranks=ranks, progress=progress)
    if gathered is None:
        return None
    results = _results(task, gathered, identity, ranks.world)
    write_results(folder / "results.json", results)
    return results


def _results(task: Task[Item], gathered: Gathered, identity: Identity, processes: int) -> Results:
    counts = {"images": gathered.images, "skipped_images": len(gathered.skipped)}
    if not gathered.records:
        reason = f"; the first: {gathered.skipped[0].key}: {gathered.skipped[0].reason}" if gathered.skipped else ""
        raise UserError(f"there is nothing to evaluate in {identity['data']['name']}: {counts}{reason}")
    numbers = task.numbers(gathered.records, gathered.offered)
    numbers["counts"] = counts | numbers["counts"]
    return {
        **identity,
        **numbers,
        "skipped": [{"shard": Path(bad.shard).name, "key": bad.key, "reason": bad.reason} for bad in gathered.skipped],
        **circumstances(task.watch.device, processes),
        "latency_ms": task.watch.medians(),
    }
