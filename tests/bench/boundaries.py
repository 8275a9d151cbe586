"""Seconds per image of the boundary benchmark: 99 thresholds, all annotators, one core, with numba and without.

    python tests/bench/boundaries.py ../shared/data/eval/bsds_bench

The folder holds ``groundTruth`` and ``ucm2`` of BSDS500. Printed are CPU seconds, the smallest of several runs that
take turns, and apart from them what numba needs before its first image: to compile, and in later processes to read what
it compiled. Bars: 0.3 s an image with numba, 4 s without. The official matcher (C++) needs 90 s on average.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from anymask.data import bsds
from anymask.metrics.boundaries import HAS_NUMBA, BoundaryCounts, count_image

BARS = {True: 0.3, False: 4.0}
"""Seconds per image, with numba and without."""
FIRST = """
import time
import numpy as np
from anymask.metrics.boundaries import count_image
line = np.eye(32)
start = time.process_time()
count_image(line, [line > 0], thresholds=1, machine_code=True)
print(time.process_time() - start)
"""


def main() -> None:
    """Print a line for each image and one for their mean; the exit status is 1 if that misses its bar."""
    arguments = _arguments()
    ways = [True, False] if HAS_NUMBA else [False]
    if HAS_NUMBA:
        with tempfile.TemporaryDirectory() as cache:
            print("first image, more than the others: {:.2f} s, later processes {:.2f} s".format(*_first(cache)))
    print(f"{'':10}{'numba':>9}{'Python':>9}{'pixels':>9}{'annotators':>12}")
    seconds = []
    for file in sorted((arguments.folder / "ucm2").glob("*.mat")):
        soft, annotators = bsds.ucm2(file), bsds.ground_truth(arguments.folder / "groundTruth" / file.name)
        taken = _taken(soft, annotators, ways, arguments.repeats)
        seconds.append(taken)
        print(f"{file.stem:10}{_columns(taken)}{np.count_nonzero(soft >= 0.01):9}{len(annotators):12}", flush=True)
    mean = {way: float(np.mean([taken[way] for taken in seconds])) for way in ways}
    print(f"{'mean':10}{_columns(mean)}")
    sys.exit(int(any(mean[way] > BARS[way] for way in ways)))


def _first(cache: str) -> list[float]:
    """Of two processes, one after the other; in either, what the rest of so small an image needs does not count."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": cache}
    command = [sys.executable, "-c", FIRST]
    return [
        float(subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE).stdout) for _ in range(2)
    ]


def _taken(soft: np.ndarray, annotators: list[np.ndarray], ways: list[bool], repeats: int) -> dict[bool, float]:
    """The smallest CPU time of each way, after one run of each that must agree."""
    counts = [count_image(soft, annotators, machine_code=way) for way in ways]
    assert all(_equal(one, counts[0]) for one in counts)
    times: dict[bool, list[float]] = {way: [] for way in ways}
    for _ in range(repeats):
        for way in ways:
            start = time.process_time()
            count_image(soft, annotators, machine_code=way)
            times[way].append(time.process_time() - start)
    return {way: min(each) for way, each in times.items()}


def _equal(one: BoundaryCounts, other: BoundaryCounts) -> bool:
    return np.array_equal(one.found, other.found) and np.array_equal(one.right, other.right)


def _columns(seconds: dict[bool, float]) -> str:
    return "".join(f"{seconds[way]:8.3f}s" if way in seconds else f"{'-':>9}" for way in (True, False))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path, help="with groundTruth/ and ucm2/")
    parser.add_argument("--repeats", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    main()
