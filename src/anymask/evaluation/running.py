"""One task from images to ``results.json``: taken up where it stopped, shared by processes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

from anymask.errors import UserError
from anymask.evaluation.gathering import Gathered, gather
from anymask.evaluation.provenance import circumstances, identity_of
from anymask.evaluation.results import Circumstances, Identity, Results, write_results
from anymask.evaluation.task import Item, Task
from anymask.ranks import ALONE, Ranks

__all__ = ["run"]


def run(
    task: Task[Item],
    folder: Path,
    *,
    checkpoint: Path | str | None = None,
    image_size: int | None = None,
    limit: int | None = None,
    progress: bool = True,
    ranks: Ranks = ALONE,
    keep_finished: bool = False,
) -> Results | None:
    """Evaluate the first ``limit`` images, or all; write ``records.jsonl`` and ``results.json`` into ``folder``.

    ``checkpoint`` is what the model was loaded from, ``image_size`` the side of its frame, for the record. A run that
    was stopped is taken up where it was. Images that cannot be used are counted and listed. Of several processes each
    takes its share of the images; the first one writes and returns the results. With ``keep_finished`` the results of
    an evaluation that has come to its end are given back as they are, without a look at its images.
    Raises UserError if the folder holds another evaluation, or if there is nothing that can be evaluated.
    """
    restricts = limit is not None and limit < len(task)
    identity = identity_of(task, checkpoint, image_size, limit if restricts else None)
    if keep_finished and (folder / "records.jsonl").is_file() and (kept := _earlier(folder / "results.json", identity)):
        return kept if ranks.rank == 0 else None
    gathered = gather(task, folder, identity, ranks=ranks, progress=progress)
    if gathered is None:
        return None
    results = _results(task, gathered, identity, ranks.world)
    if gathered.made == 0:
        results = _with_circumstances_of(folder / "results.json", results, identity)
    write_results(folder / "results.json", results)
    return results


def _results(task: Task[Item], gathered: Gathered, identity: Identity, processes: int) -> Results:
    counts = {"images": gathered.images, "skipped_images": len(gathered.skipped)}
    if not gathered.records:
        reason = f"; the first: {gathered.skipped[0].key}: {gathered.skipped[0].reason}" if gathered.skipped else ""
        raise UserError(
            f"there is nothing to evaluate in {identity['data']['name']}: {counts['images']} images without an object, "
            f"{counts['skipped_images']} that cannot be used{reason}"
        )
    numbers = task.numbers(gathered.records, gathered.offered)
    numbers["counts"] = counts | numbers["counts"]
    return {
        **identity,
        **numbers,
        "skipped": [{"shard": Path(bad.shard).name, "key": bad.key, "reason": bad.reason} for bad in gathered.skipped],
        **circumstances(task.watch.device, processes),
        "latency_ms": task.watch.medians(),
    }


def _with_circumstances_of(path: Path, results: Results, identity: Identity) -> Results:
    """Where no image was made now, those of the run that made them, if it left its results."""
    before = _earlier(path, identity) or results
    kept = {name: before[name] for name in (*Circumstances.__annotations__, "latency_ms")}  # type: ignore[literal-required]
    return cast(Results, {**results, **kept})


def _earlier(path: Path, identity: Identity) -> Results | None:
    """What a run of the same evaluation left."""
    try:
        before = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    if not isinstance(before, dict) or not before.keys() >= Results.__annotations__.keys():
        return None
    told = json.loads(json.dumps(identity))
    return cast(Results, before) if all(before[name] == value for name, value in told.items()) else None
