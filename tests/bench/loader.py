"""How fast samples reach training: ours beside a naive loader, where the time goes, start-up and memory.

    python tests/bench/loader.py sample --repeats 5      # 1500 x 2250 JPEG, 64 of 100 masks, 1024 px; one core
    python tests/bench/loader.py start --shards 1000     # from ShardSet.open to the first batch
    python tests/bench/loader.py memory --samples 10000  # of the program and its workers

The naive loader is what fine-tuning scripts do: Pillow decodes and resizes, ``json`` parses, every mask is decoded at
full size and resized, and all become float32. Both read the same records of one shard and take turns in one process.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import statistics
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import simplejpeg
import torch
from PIL import Image
from pycocotools import mask as coco_mask

from anymask import masks
from anymask.data.collate import collate
from anymask.data.mixture import Mixture, Order
from anymask.data.records import RawSample, _parse_annotation, decode_image, parse
from anymask.data.shard_writer import ShardWriter
from anymask.data.shards import ShardSet
from anymask.data.stream import TrainBatches, TrainLoader
from anymask.data.transforms import ToExample
from anymask.geometry import Frame, resize_image
from anymask.masks import encode, rle_to_json
from anymask.training.run import _keep_freed_memory

HEIGHT, WIDTH, MASKS, TRAINED, SIDE, LOSS = 1500, 2250, 100, 64, 1024, 256


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["sample", "start", "memory"], nargs="+")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--shards", type=int, default=1000)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument(
        "--keep-freed-memory", action="store_true", help="of both, as a training run lets the C library"
    )
    given = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    if given.keep_freed_memory:
        _keep_freed_memory()
    for what in given.what:
        with tempfile.TemporaryDirectory() as folder:
            {"sample": sample, "start": start, "memory": memory}[what](Path(folder), given)


# ---- one sample ----


def sample(folder: Path, given: argparse.Namespace) -> None:
    """Medians of whole samples and of each step, in CPU seconds of one thread."""
    write(folder, [photograph(seed) for seed in range(4)], per_shard=4)
    shards = ShardSet.open(str(folder), source="manual")
    mixture = Mixture.of([shards], oversample={})
    (part,) = mixture.parts
    order, records = Order(mixture, seed=0), part.records()
    transform = ToExample(image_size=SIDE, loss_size=LOSS, masks_per_image=TRAINED)

    def ours(number: int) -> Any:
        raw = records.read(order.draw(number).record)
        assert isinstance(raw, RawSample)
        return collate([transform(parse(raw, "manual"), random.Random(number))])

    def theirs(number: int) -> Any:
        return naive(Path(part.shards[0].url), number % 4)

    def decode_alone(number: int) -> Any:
        raw = records.read(order.draw(number).record)
        assert isinstance(raw, RawSample)
        return simplejpeg.decode_jpeg(raw.files["jpg"], colorspace="RGB")

    timed = in_turns({"ours": ours, "naive": theirs, "exact JPEG decode alone": decode_alone}, given.repeats)
    raw = records.read(0)
    assert isinstance(raw, RawSample)
    size = f"{len(raw.files['jpg']) // 1000} kB JPEG, {len(raw.files['json']) // 1000} kB JSON"
    runs = statistics.mean(len(masks.runs(rle)) for rle in parse(raw, "manual").masks)
    print(f"{WIDTH} x {HEIGHT}, {size}, {MASKS} masks of {runs:.0f} runs")
    print(f"{TRAINED} masks, {SIDE} px, loss at {LOSS}; {torch.get_num_threads()} thread, medians of {given.repeats}")
    for name, seconds in timed.items():
        print(f"{name:26}{1000 * seconds:9.1f} ms{1 / seconds:9.1f} a second")
    print(f"ours against naive {timed['naive'] / timed['ours']:.1f} times as fast (bar: 20)")
    print(
        f"ours against the decode alone {timed['ours'] / timed['exact JPEG decode alone']:.2f} times as long (bar: 2.5)"
    )
    shares(raw, transform, given.repeats)


def shares(raw: RawSample, transform: ToExample, repeats: int) -> None:
    """What each step of a sample takes by itself."""
    frame = Frame((0, 0, WIDTH, HEIGHT), SIDE)
    decoded = decode_image(raw.files["jpg"])
    parsed = parse(raw, "manual")
    counts = [masks.runs(rle) for rle in parsed.masks[:TRAINED]]
    rows, columns = frame.sampled_pixels(LOSS)
    lattice = masks.Lattice((HEIGHT, WIDTH), rows, columns)
    steps: dict[str, Callable[[int], Any]] = {
        "JPEG decode": lambda _: decode_image(raw.files["jpg"]),
        "resize and pad": lambda _: resize_image(decoded, frame),
        "annotation": lambda _: _parse_annotation(raw),
        "run lengths of 64 masks": lambda _: [masks.runs(rle) for rle in parsed.masks[:TRAINED]],
        "64 masks on the lattice": lambda _: [lattice.bitmap(each) for each in counts],
        "boxes of 64 masks": lambda _: [masks.box(each, HEIGHT) for each in counts],
        "collate": lambda _: None,
    }
    example = transform(parsed, random.Random(0))
    steps["collate"] = lambda _: collate([example])
    timed = in_turns(steps, 4 * repeats)
    total = sum(timed.values())
    for name, seconds in timed.items():
        print(f"  {name:26}{1000 * seconds:7.2f} ms{seconds / total:7.0%}")


def naive(shard: Path, number: int) -> dict[str, torch.Tensor]:
    """One record: everything at full size and in float32."""
    with tarfile.open(shard) as tar:
        members = [member for member in tar if member.isreg()][2 * number : 2 * number + 2]
        photo, annotation = ((tar.extractfile(member) or io.BytesIO()).read() for member in members)
    picture = Image.open(io.BytesIO(photo)).convert("RGB")
    record = json.loads(annotation)
    scale = SIDE / max(picture.size)
    size = (round(picture.height * scale), round(picture.width * scale))
    pixels = torch.from_numpy(np.array(picture.resize(size[::-1], Image.Resampling.BILINEAR), dtype=np.float32))
    pixels = (pixels - torch.tensor([123.675, 116.28, 103.53])) / torch.tensor([58.395, 57.12, 57.375])
    image = torch.zeros(3, SIDE, SIDE)
    image[:, : size[0], : size[1]] = pixels.permute(2, 0, 1)
    full = np.stack([coco_mask.decode(entry["segmentation"]) for entry in record["annotations"]])
    chosen = torch.from_numpy(full[np.random.default_rng(0).permutation(len(full))[:TRAINED]]).float()
    small = torch.nn.functional.interpolate(chosen[None], size=size, mode="nearest")[0]
    targets = torch.zeros(TRAINED, SIDE, SIDE)
    targets[:, : size[0], : size[1]] = small
    return {"image": image, "targets": targets}


def in_turns(functions: dict[str, Callable[[int], Any]], repeats: int) -> dict[str, float]:
    """Medians of CPU seconds; each is called once before."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for number in range(repeats + 1):
        for name, function in functions.items():
            begin = time.process_time()
            function(number)
            times[name].append(time.process_time() - begin)
    return {name: statistics.median(seconds[1:]) for name, seconds in times.items()}


def photograph(seed: int) -> dict[str, bytes]:
    """Smooth noise with grain, as large a JPEG as SA-1B's, and outlines of some six hundred runs."""
    chance = np.random.default_rng(seed)
    coarse = chance.integers(0, 256, (HEIGHT // 20, WIDTH // 20, 3), dtype=np.uint8)
    image = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC).astype(np.int16)
    image += chance.integers(-12, 13, image.shape, dtype=np.int16)
    data = simplejpeg.encode_jpeg(np.clip(image, 0, 255).astype(np.uint8), quality=65, colorspace="RGB")
    entries = []
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    for number in range(MASKS):
        cy, cx, radius = chance.uniform(0, HEIGHT), chance.uniform(0, WIDTH), chance.uniform(30, 130)
        angle = np.arctan2(y - cy, x - cx)
        wave = 1 + 0.2 * np.sin(chance.integers(3, 30) * angle) + 0.02 * np.sin(31 * angle)
        mask = np.hypot(y - cy, x - cx) < radius * wave
        entries.append({"id": number, "segmentation": rle_to_json(encode(mask)), "bbox": [0, 0, WIDTH, HEIGHT]})
    record = {"image": {"width": WIDTH, "height": HEIGHT}, "annotations": entries}
    return {"jpg": data, "json": json.dumps(record).encode()}


# ---- start-up and memory ----


def start(folder: Path, given: argparse.Namespace) -> None:
    """Small samples in many shards: what counts is how long it takes to know them."""
    write(folder, [small(number) for number in range(3)], per_shard=2, shards=given.shards)
    begin = time.monotonic()
    loader = small_loader(folder, length=10, workers=given.workers)
    opened = time.monotonic() - begin
    next(iter(loader))
    print(
        f"{given.shards} shards, {given.workers} workers: first batch after {time.monotonic() - begin:.2f} s (bar: 10)"
    )
    print(f"  of which {opened:.2f} s to know the shards")


def memory(folder: Path, given: argparse.Namespace) -> None:
    """The resident memory of the program and its workers while samples are drawn, passing over the shards often."""
    write(folder, [small(number) for number in range(3)], per_shard=20, shards=50)
    print(f"{'samples':>9}{'program':>12}{'workers':>12}   MB")
    for number, _ in enumerate(small_loader(folder, length=given.samples // 2, workers=given.workers), 1):
        if number in (50, 500, given.samples // 4, given.samples // 2):
            print(f"{2 * number:9}{resident(os.getpid()):12.1f}{sum(map(resident, children())):12.1f}", flush=True)


def small_loader(folder: Path, *, length: int, workers: int) -> TrainLoader:
    """Batches of two."""
    batches = TrainBatches(
        Mixture.of([ShardSet.open(str(folder))], oversample={"manual": 10.0}),
        ToExample(image_size=64, loss_size=16, masks_per_image=8),
        images=2,
        seed=0,
        rank=0,
        world=1,
        workers=workers,
        max_bad_share=0.0,
    )
    return TrainLoader(batches, length=length, workers=workers, pin_memory=False)


def write(folder: Path, records: list[dict[str, bytes]], *, per_shard: int, shards: int = 1) -> None:
    """Shards of these records, again and again."""
    with ShardWriter(folder, samples_per_shard=per_shard) as writer:
        for number in range(per_shard * shards):
            writer.write(f"sa_{number}", records[number % len(records)], source="manual")


def small(seed: int) -> dict[str, bytes]:
    """A photograph of 200 x 300 pixels with ten masks."""
    chance = np.random.default_rng(seed)
    data = simplejpeg.encode_jpeg(chance.integers(0, 256, (200, 300, 3), dtype=np.uint8), colorspace="RGB")
    entries = []
    for number in range(10):
        mask = np.zeros((200, 300), dtype=bool)
        mask[10 * number : 10 * number + 60, 20 * number : 20 * number + 80] = True
        entries.append({"id": number, "segmentation": rle_to_json(encode(mask))})
    return {"jpg": data, "json": json.dumps({"image": {"width": 300, "height": 200}, "annotations": entries}).encode()}


def resident(process: int) -> float:
    """Megabytes."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def children() -> list[int]:
    """Processes that this one has started."""
    return [int(number) for number in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]


if __name__ == "__main__":
    main()
