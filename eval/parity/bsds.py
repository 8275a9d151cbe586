"""The boundary benchmark of BSDS500, ours beside the official one, on results that somebody has.

    python eval/parity/bsds.py BSDS500/data/groundTruth/test BSDS500/ucm2/test
    python eval/parity/bsds.py groundTruth/ edges/ --official edges_eval/eval_bdry.txt

A result is a file with the ground truth's name: ``.mat`` with a ``ucm2``, a grey ``.png``, or a ``.npy`` with values
from 0 to 1. The official numbers are those of the file that the official benchmark wrote; without one, and with 200
``.mat`` files, those that come with the data set for gPb-owt-ucm on its test images. The official benchmark draws
random numbers and differs from itself by up to 5e-4; the exit status is 1 where ours differs from it by more than 6e-4.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from anymask.data import bsds
from anymask.errors import UserError
from anymask.evaluation.edges.maps import READERS, read_map
from anymask.metrics.boundaries import HAS_NUMBA, BoundaryCounts, count_image
from anymask.metrics.boundary_summary import BoundarySummary, summarise

LARGEST_DIFFERENCE = 6e-4
UCM2 = {"ODS": 0.726253, "recall": 0.726698, "precision": 0.725808, "OIS": 0.759505, "AP": 0.726626, "R50": 0.888335}
"""gPb-owt-ucm on the 200 test images: the data set's ``ucm2/test_eval``; R50 from its curve."""
PLACES = {"recall": 1, "precision": 2, "ODS": 3, "OIS": 6, "AP": 7}
"""Where ``eval_bdry.txt`` has them."""


def main() -> None:
    """Count every image, then print a line for each number."""
    arguments = _arguments()
    counts = []
    start = time.perf_counter()
    for truth, result in pairs(arguments.truth, arguments.results):
        counts.append(count(truth, result, arguments.thresholds))
        print(f"\r{len(counts)} images", end="", file=sys.stderr, flush=True)
    each = (time.perf_counter() - start) / len(counts)
    print(f"\r{len(counts)} images, {each:.2f} s each, {'with' if HAS_NUMBA else 'without'} numba", file=sys.stderr)
    sys.exit(int(compare(numbers(summarise(counts)), official(arguments, len(counts)))))


def pairs(truths: Path, results: Path) -> Iterator[tuple[Path, Path]]:
    """Files of ground truth and result with the same name. Raises UserError where one is missing."""
    by_name = {file.stem: file for file in sorted(results.glob("*")) if file.suffix in READERS}
    names = {file.stem: file for file in sorted(truths.glob("*.mat"))}
    if not names or names.keys() != by_name.keys():
        odd = ", ".join(sorted(names.keys() ^ by_name.keys())[:5]) or "there are none"
        raise UserError(f"{truths} and {results} need a file for each image, of the same name: {odd}")
    return ((names[name], by_name[name]) for name in names)


def count(truth: Path, result: Path, thresholds: int) -> BoundaryCounts:
    """Raises UserError, with the files' names, where they do not fit together."""
    soft = read_map(result)
    try:
        return count_image(soft, bsds.ground_truth(truth), thresholds=thresholds)
    except UserError as error:
        raise UserError(f"{result} with {truth}: {error}") from None


def numbers(summary: BoundarySummary) -> dict[str, float]:
    """As they are printed; recall and precision are those of the ODS."""
    ods = summary.ods
    of_ods = {"ODS": ods.f, "recall": ods.recall, "precision": ods.precision}
    return of_ods | {"OIS": summary.ois.f, "AP": summary.ap, "R50": summary.r50}


def official(arguments: argparse.Namespace, images: int) -> dict[str, float]:
    """What is known of the official numbers, by name."""
    if arguments.official is not None:
        return _read_official(arguments.official)
    whole = images == 200 and arguments.thresholds == 99 and any(arguments.results.glob("*.mat"))
    return UCM2 if whole else {}


def compare(ours: dict[str, float], theirs: dict[str, float]) -> bool:
    """Print both; whether any differs too much."""
    print(f"{'':10}{'ours':>10}{'official':>10}{'difference':>12}")
    for name, value in ours.items():
        print(
            f"{name:10}{value:10.6f}" + (f"{theirs[name]:10.6f}{value - theirs[name]:+12.6f}" if name in theirs else "")
        )
    return any(not abs(ours[name] - theirs[name]) <= LARGEST_DIFFERENCE for name in theirs)


def _read_official(path: Path) -> dict[str, float]:
    try:
        values = [float(word) for word in path.read_text().split()]
        return {name: values[place] for name, place in PLACES.items()}
    except (OSError, ValueError, IndexError) as error:
        raise UserError(f"{path} is no eval_bdry.txt of the benchmark: {error}") from None


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("truth", type=Path, help="folder of ground truth, .mat")
    parser.add_argument("results", type=Path, help="folder of results, .mat, .png or .npy")
    parser.add_argument(
        "--official", type=Path, help="eval_bdry.txt that the official benchmark wrote of these results"
    )
    parser.add_argument("--thresholds", type=int, default=99)
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
