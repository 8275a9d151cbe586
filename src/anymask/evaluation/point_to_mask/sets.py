"""The paper's 23 data sets of point-to-mask: which of them are at hand, and the mean over those.

SAM, section 7.1 and appendix D.1: the mean over the masks of each set, then over the sets, each counting the same.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from anymask.data.sa23 import SA23
from anymask.data.shards import MANIFEST
from anymask.data.storage import exists, join
from anymask.errors import UserError
from anymask.evaluation.journal import AnotherEvaluation
from anymask.evaluation.results import SCHEMA, Results, Verdict, write_results
from anymask.metrics.overlap import mean_and_error
from anymask.ranks import ALONE, Ranks

__all__ = ["SETS", "absent", "at_hand", "command", "over_sets", "run_sets", "where_from"]

SETS = "sa23"
"""``data=sa23``: those of the 23 that are at hand."""

KEPT = ("data", "limit", "counts", "metrics", "standard_errors", "floors", "verdict")
"""What the overview repeats of each set."""


def at_hand(root: str) -> dict[str, str]:
    """The sets whose shards are below ``root``, and the address of these; raises UserError where there is none."""
    folders = {name: join(join(root, name), "shards") for name in SA23}
    found = {name: folder for name, folder in folders.items() if exists(join(folder, MANIFEST))}
    if not found:
        looked_for = join(join(root, "<set>"), f"shards/{MANIFEST}")
        raise UserError(f"root={root!r} has none of the 23 sets: there is no {looked_for} of {', '.join(SA23)}")
    return found


def absent(names: Iterable[str]) -> list[str]:
    """Those of the 23 that are not among ``names``."""
    there = set(names)
    return [name for name in SA23 if name not in there]


def where_from(name: str, root: str) -> str:
    """One line: the site of a set, and the program that prepares it."""
    return f"{SA23[name].title}: {SA23[name].site}; {command(name, root)}"


def command(name: str, root: str = "data") -> str:
    """How a set is prepared; the program tells with ``--help`` what stands for the dots.

    >>> command("gtea")
    'python data/gtea/prepare.py --out data/gtea/shards …'
    """
    return f"python data/{name}/prepare.py --out {join(join(root, name), 'shards')} …"


def run_sets(
    sets: Mapping[str, str], folder: Path, measure: Callable[[str, Path], Results | None], *, ranks: Ranks = ALONE
) -> Results | None:
    """Measure each set into ``folder/<name>``, and write the results over all of them.

    ``sets`` has the addresses of their shards by name, which ``measure`` gets with the set's folder. A set that cannot
    be measured does not keep the others from it: ``details.failed`` tells of it. Of several processes the first one
    gets the results. Raises UserError where none can be measured, or ``folder`` holds another evaluation.
    """
    if (folder / "records.jsonl").exists():
        raise UserError(f"{folder} holds the evaluation of a single data set: name another folder")
    found: dict[str, Results] = {}
    failed: dict[str, str] = {}
    for number, (name, shards) in enumerate(sets.items(), start=1):
        if ranks.rank == 0:
            print(f"{SA23[name].title}, set {number} of {len(sets)}", flush=True)
        try:
            results = measure(shards, folder / name)
        except AnotherEvaluation:  # a mistake about the folder, or the sets would be measured in different ways
            raise
        except UserError as error:  # the other sets have data of their own
            failed[name] = str(error).replace(shards, f"{name}/shards")  # a report tells nothing of the machine
            continue
        if results is not None:
            found[name] = results
    if ranks.rank > 0:
        return None
    if not found:
        raise UserError("; ".join(f"{name}: {reason}" for name, reason in failed.items()))
    overview = over_sets(found, failed)
    write_results(folder / "results.json", overview)
    return overview


def over_sets(found: Mapping[str, Results], failed: Mapping[str, str]) -> Results:
    """Results over the sets by their names, of which there is at least one; all were measured in one way.

    ``failed`` says why others that are at hand could not be measured.
    """
    results = list(found.values())
    first = results[0]
    metrics, errors = _means([one["metrics"] for one in results])
    floors = {floor: _means([one["floors"][floor] for one in results]) for floor in first["floors"]}
    return {
        "schema": SCHEMA,
        "task": first["task"],
        "protocol": first["protocol"],
        "settings": first["settings"],
        "data": {"name": f"{len(found)} of the paper's {len(SA23)} sets", "fingerprint": _fingerprint(found)},
        "limit": next((one["limit"] for one in results if one["limit"] is not None), None),
        "checkpoint": first["checkpoint"],
        "image_size": first["image_size"],
        "metrics": metrics,
        "standard_errors": errors,
        "errors_are": "over the sets at hand, as if these were drawn at random from many of their kind, which they "
        "were not: they tell how much the sets differ, not how exactly each is measured",
        "floors": {floor: means for floor, (means, _) in floors.items()},
        "floor_standard_errors": {floor: errors_of for floor, (_, errors_of) in floors.items()},
        "verdict": _verdict(found),
        "counts": {"sets": len(found), **_sums([one["counts"] for one in results])},
        "details": {
            "sets": {name: {key: one[key] for key in KEPT} for name, one in found.items()},  # type: ignore[literal-required]
            "failed": dict(failed),
            "missing": absent([*found, *failed]),
        },
        "skipped": [
            {**bad, "shard": f"{name}/{bad['shard']}"} for name, one in found.items() for bad in one["skipped"]
        ],
        "commit": _joined(one["commit"] for one in results),
        "date": max(one["date"] for one in results),
        "hardware": _joined(one["hardware"] for one in results) or "",
        "torch": _joined(one["torch"] for one in results) or "",
        "processes": max(one["processes"] for one in results),
        "latency_ms": {},  # each set's own results have them
    }


def _means(values: Sequence[Mapping[str, float | None]]) -> tuple[dict[str, float | None], dict[str, float | None]]:
    """Of each metric over the sets, with its standard error, which a single set does not have."""
    pairs = {name: mean_and_error([of_set[name] or 0.0 for of_set in values]) for name in values[0]}
    errors = {name: None if math.isnan(error) else error for name, (_, error) in pairs.items()}
    return {name: mean for name, (mean, _) in pairs.items()}, errors


def _sums(counts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    return {name: sum(of_set[name] for of_set in counts) for name in counts[0]}


def _verdict(found: Mapping[str, Results]) -> Verdict:
    verdicts = {SA23[name].title: one["verdict"] for name, one in found.items()}
    if unknown := [verdict for verdict in verdicts.values() if verdict["beats_every_floor"] is None]:
        return unknown[0]
    behind = [title for title, verdict in verdicts.items() if not verdict["beats_every_floor"]]
    if behind:
        sentence = f"On {len(behind)} of the {len(found)} sets at hand the model does not beat every floor: "
        return {"beats_every_floor": False, "sentence": f"{sentence}{', '.join(behind)}."}
    sentence = f"The model beats every floor at every click that they share, on all {len(found)} sets at hand."
    return {"beats_every_floor": True, "sentence": sentence}


def _fingerprint(found: Mapping[str, Results]) -> str:
    told = json.dumps([one["data"] for one in found.values()], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()[:12]


def _joined(values: Iterable[str | None]) -> str | None:
    """All different ones: the sets may have been measured on several days."""
    return ", ".join(sorted({value for value in values if value})) or None
