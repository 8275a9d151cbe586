"""How fast automatic masks are beside Meta's own generator with the same weights: in one process, taking turns.

    python tests/bench/generator.py --grid 32 --repeats 1
    python tests/bench/generator.py --grid 16 --image photograph.jpg

Both get the same photograph, 1200 x 1800 pixels and drawn if none is given, and the official defaults. Weights are
random but arranged so that masks differ and about half of them pass the estimate of their IoU. Printed are each side's
seconds by the clock and of the CPU, where they went, and how many of the masks are the same.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import UInt8

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from anymask.inference import generator
from anymask.inference.generator import MaskGenerator
from anymask.inference.windows import AtImageSize
from anymask.models.sam import ARCHITECTURES
from tests.parity.lively import lively
from tests.parity.official import matched, official_generator

Seconds = np.ndarray[Any, np.dtype[np.float64]]  # by the clock, of the CPU


def main() -> None:
    """Print a line for each turn, the medians with their ratio, and the parts of the last turn."""
    arguments = _arguments()
    image = _photograph(1200, 1800) if arguments.image is None else _read(arguments.image)
    sam = lively(ARCHITECTURES[arguments.model], passing=0.45, seed=6)
    options: dict[str, Any] = {"points_per_side": arguments.grid, "crop_n_layers": arguments.crop_layers}
    theirs = official_generator(sam, output_mode="coco_rle", **options)
    ours = MaskGenerator(sam.to(arguments.device), **options)
    theirs.predictor.model.to(arguments.device)
    print(
        f"{arguments.model}, {image.shape[1]} x {image.shape[0]} px, {arguments.grid} x {arguments.grid} points, "
        f"{arguments.device}, torch {torch.__version__}, {torch.get_num_threads()} threads"
    )
    stopwatches = _stopwatch_of_ours(ours), _stopwatch_of_theirs(theirs)
    turns: list[tuple[Seconds, Seconds]] = []
    for _ in range(arguments.repeats):
        (masks, seconds), (their_masks, their_seconds) = (
            watch.turn(side.generate, image) for watch, side in zip(stopwatches, (ours, theirs), strict=True)
        )
        turns.append((seconds, their_seconds))
    _report(turns, stopwatches)
    same = len(matched(masks, their_masks))
    print(f"masks: {len(masks)} of ours, {len(their_masks)} of theirs, {same} the same (IoU of .99 and more)")


class Stopwatch:
    """Adds up what goes on inside the functions that it watches."""

    def __init__(self, name: str, device: torch.device, others: str) -> None:
        self.name, self.device, self.others = name, device, others
        self.parts: dict[str, Seconds] = defaultdict(lambda: np.zeros(2))

    def watch(self, owner: Any, function: str, part: str) -> None:
        """From now on, count the calls of this function of an object, a class or a module."""
        watched = getattr(owner, function)

        def counted(*arguments: Any, **named: Any) -> Any:
            start = self.now()
            result = watched(*arguments, **named)
            self.parts[part] += self.now() - start
            return result

        setattr(owner, function, counted)

    def turn(self, function: Callable[..., Any], *arguments: Any) -> tuple[Any, Seconds]:
        """The result of one call and its seconds; the parts begin at zero."""
        self.parts.clear()
        start = self.now()
        result = function(*arguments)
        seconds = self.now() - start
        print(f"{self.name:7}{_columns(seconds)}   load {os.getloadavg()[0]:.1f}", flush=True)
        self.parts[self.others] = seconds - sum(self.parts.values())
        return result, seconds

    def now(self) -> Seconds:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return np.array([time.perf_counter(), time.process_time()])


def _stopwatch_of_ours(ours: MaskGenerator) -> Stopwatch:
    stopwatch, sam = Stopwatch("ours", ours.sam.device, "everything else"), ours.sam
    stopwatch.watch(sam, "encode", "encoder")
    stopwatch.watch(sam.mask_decoder, "share", "decoder: the image's part")
    stopwatch.watch(sam.mask_decoder, "attend", "decoder: attention")
    stopwatch.watch(sam.mask_decoder, "logits", "decoder: masks that pass")
    stopwatch.watch(AtImageSize, "measure", "stability and boxes")
    stopwatch.watch(generator, "non_maximum_suppression", "non-maximum suppression")
    stopwatch.watch(AtImageSize, "encode", "run lengths of those that stay")
    return stopwatch


def _stopwatch_of_theirs(theirs: Any) -> Stopwatch:
    model = theirs.predictor.model
    stopwatch = Stopwatch("theirs", model.device, "filters, stability, boxes, run lengths")
    stopwatch.watch(model.image_encoder, "forward", "encoder")
    stopwatch.watch(model.mask_decoder, "forward", "decoder")
    stopwatch.watch(model, "postprocess_masks", "up-sampling")
    return stopwatch


def _report(turns: list[tuple[Seconds, Seconds]], stopwatches: tuple[Stopwatch, Stopwatch]) -> None:
    medians = [[statistics.median(turn[side][kind] for turn in turns) for kind in (0, 1)] for side in (0, 1)]
    clock, cpu = (medians[1][kind] / medians[0][kind] for kind in (0, 1))
    print(f"{'':7}{clock:9.2f} x {cpu:9.2f} x (CPU): how many times faster ours is, by the medians\n")
    for stopwatch in stopwatches:
        print(stopwatch.name)
        for part, seconds in stopwatch.parts.items():
            print(f"    {part:40}{_columns(seconds)}")


def _columns(seconds: Seconds) -> str:
    return f"{seconds[0]:9.2f} s {seconds[1]:9.2f} s (CPU)"


def _photograph(height: int, width: int) -> UInt8[np.ndarray, "h w 3"]:
    """Discs on a slow change of colours."""
    chance = np.random.default_rng(0)
    colours = chance.integers(0, 256, (5, 5, 3), dtype=np.uint8)
    image = cv2.resize(colours, (width, height), interpolation=cv2.INTER_CUBIC)
    for radius in chance.integers(height // 60, height // 6, 60).tolist():
        centre = chance.integers((width, height)).tolist()
        cv2.circle(image, centre, radius, chance.integers(0, 256, 3).tolist(), -1)
    return image


def _read(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    if image is None:
        sys.exit(f"there is no image at {path}")
    return image


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--grid", type=int, default=32, help="points per side")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--model", choices=list(ARCHITECTURES), default="vit_b")
    parser.add_argument("--image", type=Path)
    parser.add_argument("--crop-layers", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser.parse_args()


if __name__ == "__main__":
    main()
