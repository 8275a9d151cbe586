"""A program: hostile files go the ways of training and of evaluation, and what happened is printed as JSON.

    python -m tests.unit.data.hostile --kind photographs --number 500 --seed 0

It runs in a process of its own, whose memory is limited and measured, and which may crash or hang: the name of each
case is written to the standard error before it is read. For each kind there is one line on the standard output.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import warnings
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from pycocotools import mask as coco_mask

from anymask import masks
from anymask.data.coco import read_ground_truth
from anymask.data.detections import read_detections
from anymask.data.mixture import Mixture
from anymask.data.records import BadSample, RawSample, parse
from anymask.data.shards import Records, ShardSet
from anymask.data.stream import TrainBatches
from anymask.data.transforms import ToExample
from anymask.errors import UserError
from anymask.shard_command.indexing import index_tars
from anymask.structures import Rle, Skipped
from tests.unit.data.mutations.damage import Case
from tests.unit.data.mutations.files import detections, ground_truths
from tests.unit.data.mutations.good import annotation, instances, photograph, record
from tests.unit.data.mutations.json_texts import json_texts
from tests.unit.data.mutations.masks import run_lengths
from tests.unit.data.mutations.photographs import photographs
from tests.unit.data.mutations.tars import TarCase, member, tars
from tests.unit.data.watching import Report, limit, watched

GOOD_EVERY = 10
"""Among hostile records."""
TO_EXAMPLE = ToExample(image_size=64, loss_size=16)


# ---- the ways ----


def read_tars(report: Report, cases: Iterable[TarCase], folder: Path) -> None:
    """Headers and annotations as ``anymask-shards index`` reads them, then records as training does."""
    for case in cases:
        with tempfile.TemporaryDirectory(dir=folder) as own:
            (Path(own) / "x.tar").write_bytes(case.data)
            with watched(report, case.name):
                _read_tar(report, case, Path(own))


def _read_tar(report: Report, case: TarCase, folder: Path) -> None:
    try:
        shards, told = _indexed(folder)
        bare = ShardSet.open(str(folder / "x.tar"), source="manual")
    except UserError:
        report.expect(not case.whole, case.name, "it is refused, and has whole records")
        report.refused += 1
        report.defects += 1
        return
    found, wrong = _records_of(shards)
    told += wrong
    report.expect(_records_of(bare)[0] == found, case.name, "without an index other records are read")
    for key in sorted(case.whole):
        report.expect(found.get(key) == record(int(key[1:])), case.name, f"{key} is not what it was")
    lost = {f"g{number}" for number in range(4)} - set(found)
    report.expect(told or not (case.counted or lost), case.name, f"nothing is told, {sorted(lost)} are lost")
    for defect in told:
        report.expect(_is_whole(defect), case.name, f"the defect {defect} is not told properly")
    report.defects += len(told)
    report.refused += not found


def _indexed(folder: Path) -> tuple[ShardSet, list[Skipped]]:
    """The tar ``x.tar`` with a manifest beside it in ``index``; and what headers tell."""
    found = index_tars(str(folder / "x.tar"), folder / "index", source="manual", annotations=True)
    return ShardSet.open(str(folder / "index")), list(found.defects)


def _records_of(shards: ShardSet) -> tuple[dict[str, dict[str, bytes]], list[Skipped]]:
    """The files of each that can be trained on, and what is told of the others."""
    records = Records(shards.shards, shards.default_source)
    found: dict[str, dict[str, bytes]] = {}
    told: list[Skipped] = []
    for number in range(len(records)):
        raw = records.read(number)
        reason = raw.reason if isinstance(raw, Skipped) else _wrong_with(raw)
        if reason is not None:
            told.append(Skipped(raw.shard, raw.key, reason))
        elif isinstance(raw, RawSample):
            found[raw.key] = raw.files
    records.close()
    return found, told


def _wrong_with(raw: RawSample) -> str | None:
    """For training, and for evaluation, which decodes every mask."""
    try:
        sample = parse(raw, "manual")
        TO_EXAMPLE(sample, random.Random(0))
    except BadSample as error:
        return str(error)
    for rle in (*sample.masks, *filter(None, sample.ignore)):
        _decode(rle)
    return None


def _decode(rle: Rle) -> None:
    """Compare with pycocotools: it believes everything, so this must be right."""
    bitmap = masks.decode(rle)
    true = coco_mask.area({"size": list(rle.size), "counts": rle.counts})
    assert np.count_nonzero(bitmap) == true, f"{np.count_nonzero(bitmap)} pixels, to pycocotools they are {true}"


def _is_whole(defect: Skipped) -> bool:
    return bool(defect.shard and defect.key and defect.reason) and defect.key.isprintable()


def read_records(report: Report, cases: Iterable[tuple[Case, dict[str, bytes]]], folder: Path) -> None:
    """Of one shard, with good ones among them: each alone, then all as training reads them."""
    by_key = _pack(folder / "x.tar", cases)
    shards, defects = _indexed(folder)
    told = {defect.key: defect for defect in defects}
    records = Records(shards.shards, "manual")
    for number, (_, key) in enumerate(records.names()):
        name, _ = by_key.get(key, (key, False))
        with watched(report, name):
            raw = records.read(number)
            reason = raw.reason if isinstance(raw, Skipped) else _wrong_with(raw)
            if reason is not None:
                told[key] = Skipped(raw.shard, raw.key, reason)
            elif key not in by_key:
                report.expect(isinstance(raw, RawSample) and raw.files == record(0), key, "it is not what it was")
    records.close()
    for key, (name, refused) in by_key.items():
        report.expect(key in told or not refused, name, "it is not refused")
        report.expect(_is_whole(told[key]) if key in told else True, name, "it is not told properly")
    report.expect(set(told) <= set(by_key), "good records", "they are refused")
    report.refused = report.defects = len(told)
    with watched(report, "all at once"):
        _train(report, shards, set(told) - {defect.key for defect in defects})


def _pack(path: Path, cases: Iterable[tuple[Case, dict[str, bytes]]]) -> dict[str, tuple[str, bool]]:
    """A shard; the names of its hostile records by key, and whether they must be refused."""
    names = {}
    with path.open("wb") as file:
        for number, (case, files) in enumerate(cases):
            names[f"c{number}"] = (case.name, case.refused)
            all_files = {f"c{number}": files} | ({} if number % GOOD_EVERY else {f"good{number}": record(0)})
            for key, of_key in all_files.items():
                file.writelines(member(f"{key}.{ending}".encode(), data) for ending, data in of_key.items())
        file.write(b"\0" * 1024)
    return names


def _train(report: Report, shards: ShardSet, bad: set[str]) -> None:
    """A pass over all: each record is in a batch or told, whatever lies beside it."""
    batches = TrainBatches(
        Mixture.of([shards], oversample={}), TO_EXAMPLE, images=1, seed=0, rank=0, world=1, workers=0, max_bad_share=1
    )
    number, used, skipped = sum(shards.samples.values()), set[str](), set[str]()
    for batch in batches:
        assert not isinstance(batch, UserError), batch
        used.update(batch.keys)
        skipped.update(defect.key for defect in batch.skipped)
        if batch.drawn >= number:
            break
    report.expect(skipped == bad, "all at once", f"told are {len(skipped)}, and {len(bad)} are bad")
    report.expect(len(used) + len(skipped) == number, "all at once", f"{number} became {len(used)} and {len(skipped)}")


def read_files(report: Report, cases: Iterable[Case], folder: Path, read: Callable[[Path], Any]) -> None:
    """Each is believed or refused as a whole."""
    for case in cases:
        (folder / "x.json").write_bytes(case.data)
        with watched(report, case.name):
            try:
                read(folder / "x.json")
                report.expect(not case.refused, case.name, "it is not refused")
            except UserError as error:
                report.refused += 1
                report.defects += bool(str(error))


def _read_truth(path: Path) -> None:
    truth = read_ground_truth(path)
    truth.as_json()
    for some in truth.annotations.values():
        for one in some:
            _decode(one.mask)


# ---- the kinds ----


def _tars(report: Report, seed: int, number: int, folder: Path) -> None:
    read_tars(report, tars(seed, number), folder)


def _annotations(report: Report, seed: int, number: int, folder: Path) -> None:
    cases = ((case, {"jpg": photograph(0), "json": case.data}) for case in json_texts(annotation(0), seed, number))
    read_records(report, cases, folder)


def _photographs(report: Report, seed: int, number: int, folder: Path) -> None:
    cases = ((case, {"jpg": case.data, "json": _about(case.size)}) for case in photographs(seed, number))
    read_records(report, cases, folder)


def _about(size: tuple[int, int]) -> bytes:
    """An annotation of a photograph of that size, with one mask: half of it."""
    height, width = size
    mask = masks.encode_runs(np.array([0]), np.array([height * width // 2]), size)
    entry = {"segmentation": masks.rle_to_json(mask)}
    return json.dumps({"image": {"width": width, "height": height}, "annotations": [entry]}).encode()


def _run_lengths(report: Report, seed: int, number: int, folder: Path) -> None:
    good = annotation(0)
    good["annotations"][0]["segmentation"] = "HERE"
    before, after = json.dumps(good).encode().split(b'"HERE"')
    cases = ((c, {"jpg": photograph(0), "json": before + c.data + after}) for c in run_lengths(seed, number))
    read_records(report, cases, folder)


def _ground_truths(report: Report, seed: int, number: int, folder: Path) -> None:
    read_files(report, ground_truths(seed, number), folder, _read_truth)


def _detections(report: Report, seed: int, number: int, folder: Path) -> None:
    (folder / "truth.json").write_text(json.dumps(instances()))
    truth = read_ground_truth(folder / "truth.json")
    read_files(report, detections(seed, number), folder, lambda path: read_detections(path, truth))


KINDS = {
    "tars": _tars,
    "annotations": _annotations,
    "photographs": _photographs,
    "run_lengths": _run_lengths,
    "ground_truths": _ground_truths,
    "detections": _detections,
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Read hostile files; print what happened.")
    parser.add_argument("--kind", choices=list(KINDS), help="all of them, if it is not given")
    parser.add_argument("--number", type=int, default=400, help="cases of each kind")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    warnings.simplefilter("error")
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    imports = limit()
    for kind in [asked.kind] if asked.kind else KINDS:
        report = Report(kind, imports)
        with tempfile.TemporaryDirectory() as folder:
            KINDS[kind](report, asked.seed, asked.number, Path(folder))
        print(json.dumps(asdict(report)), flush=True)


if __name__ == "__main__":
    main()
