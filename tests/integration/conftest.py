"""The real programs, in processes of their own, on settings that take seconds."""

from __future__ import annotations

import json
import multiprocessing
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from jaxtyping import Bool, UInt8
from scipy.io import savemat

import anymask
from anymask import masks
from anymask.drawing import jpeg

ROOT = Path(__file__).resolve().parents[2]

SMALL = [
    "model.image_size=64",
    "module=sam1",
    "optim=adamw",
    "data=shards",
    "data.loading.validation_images=2",
    "data.loading.images_per_batch=1",
    "data.loading.workers=1",
    "trainer.accelerator=cpu",
    "trainer.progress_bar=false",
    "trainer.pictured_objects=1",
    "trainer.log_every=1",
    "logger=csv",
    "point_to_mask.floors=[disc]",
    "point_to_mask.clicks=3",
    "point_to_mask.report_at=[1,2,3]",
]

Start = Callable[..., multiprocessing.process.BaseProcess]

os.environ.setdefault("OMP_NUM_THREADS", "1")  # of what is started from here: so small a model gains nothing from more
_CONTEXT = multiprocessing.get_context("forkserver")  # everything is imported once, and forked for each run
_CONTEXT.set_forkserver_preload(["anymask.cli"])


def _program(path: str, arguments: list[str], output: Path, environment: Mapping[str, str]) -> None:
    multiprocessing.set_start_method("fork", force=True)  # else the loader's workers would be forkserver's too
    os.chdir(output.parent)
    file = output.open("w")
    os.dup2(file.fileno(), 1)
    os.dup2(file.fileno(), 2)
    os.environ.update(environment)
    sys.argv = [path, *arguments]
    sys.path.insert(0, str(ROOT / "src"))
    from anymask import cli

    {"train": cli.train, "evaluate": cli.evaluate}[Path(path).stem]()


def begin_program(
    path: str, arguments: Sequence[str], output: Path, environment: Mapping[str, str] = {}
) -> multiprocessing.process.BaseProcess:
    """``train.py`` or ``evaluate.py``, in the folder of the file that it prints to."""
    process = _CONTEXT.Process(target=_program, args=(path, list(arguments), output, environment))
    process.start()
    return process


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """``start("train", "key=value", …)``: the running program; what it prints lies in output.txt."""

    def start(name: str, *arguments: str) -> multiprocessing.process.BaseProcess:
        return begin_program(f"{name}.py", arguments, tmp_path / "output.txt")

    return start


@pytest.fixture
def run(start: Start, tmp_path: Path) -> Callable[..., str]:
    """``run("train", "key=value", …, status=0)``: what the program printed."""

    def run(name: str, *arguments: str, status: int = 0) -> str:
        process = start(name, *arguments)
        process.join()
        printed = (tmp_path / "output.txt").read_text()
        assert process.exitcode == status, printed
        return printed

    return run


@pytest.fixture
def run_together(tmp_path: Path) -> Callable[..., list[str]]:
    """``run_together("key=value", …)``: two processes evaluate, as if torchrun had begun them; what each printed."""

    def run(*arguments: str) -> list[str]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        where = {
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
            "WORLD_SIZE": "2",
            "PYTHONPATH": str(ROOT / "src"),
        }
        processes = [
            subprocess.Popen(
                [sys.executable, ROOT / "evaluate.py", *arguments],
                cwd=tmp_path,
                env=os.environ | where | {"RANK": str(rank), "PYTHONPATH": str(ROOT / "src")},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for rank in range(2)
        ]
        printed = [process.communicate(timeout=300)[0] for process in processes]
        assert [process.returncode for process in processes] == [0, 0], printed
        return printed

    return run


@pytest.fixture
def small(tiny_shards: Path) -> list[str]:
    """Settings of a small run on ``tiny_shards``."""
    return [*SMALL, f"data.train=[{{path: {tiny_shards}}}]", f"data.held_out={tiny_shards}"]


SIZE = (48, 64)
QUICK = [
    "device=cpu", "workers=0", "point_to_mask.clicks=2", "point_to_mask.report_at=[1,2]", "point_to_mask.floors=[disc]",
    "edges.points_per_side=3", "edges.bootstrap=5", "proposals.points_per_side=4",
    "proposals.floors=[boxes]", "instance_segmentation.bootstrap=5",
]  # fmt: skip


def scene(number: int) -> tuple[UInt8[np.ndarray, "h w 3"], list[Bool[np.ndarray, "h w"]]]:
    """A photograph of two rectangles, and their masks."""
    rectangles = [(4 + 2 * number, 6, 20, 26), (34, 18, 56 - number, 40)]
    image = np.full((*SIZE, 3), 90, dtype=np.uint8)
    drawn = [np.zeros(SIZE, dtype=bool) for _ in rectangles]
    for mask, (x0, y0, x1, y1), colour in zip(drawn, rectangles, [(200, 40, 40), (40, 60, 200)], strict=True):
        mask[y0:y1, x0:x1] = True
        image[mask] = colour
    return image, drawn


def xywh(mask: Bool[np.ndarray, "h w"]) -> list[float]:
    return [float(side) for side in cv2.boundingRect(mask.astype(np.uint8))]


def outline(mask: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    return mask & (cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) == 0)


@pytest.fixture
def world(tmp_path: Path) -> list[str]:
    """Settings that name COCO's files, a detector's boxes, a folder like BSDS500's, and random weights."""
    photographs, truths = tmp_path / "bsds" / "images" / "test", tmp_path / "bsds" / "groundTruth" / "test"
    photographs.mkdir(parents=True)
    truths.mkdir(parents=True)
    images: list[Any] = []
    annotations: list[Any] = []
    detections: list[Any] = []
    for number in range(4):
        image, drawn = scene(number)
        (photographs / f"{number}.jpg").write_bytes(jpeg(image))
        cells = np.empty((1, 1), dtype=object)
        cells[0, 0] = {"Boundaries": np.logical_or(*map(outline, drawn)).astype(np.uint8)}
        savemat(truths / f"{number}.mat", {"groundTruth": cells})
        images.append({"id": number, "height": SIZE[0], "width": SIZE[1], "file_name": f"{number}.jpg"})
        for category, mask in enumerate(drawn, start=1):
            about = {"image_id": number, "category_id": category, "bbox": xywh(mask)}
            rle = masks.rle_to_json(masks.encode(mask))
            area = int(mask.sum())
            annotations.append({**about, "id": len(annotations) + 1, "segmentation": rle, "area": area, "iscrowd": 0})
            detections.append({**about, "score": 0.9 - 0.1 * number})
    categories = [{"id": 1, "name": "red"}, {"id": 2, "name": "blue"}]
    truth = {"images": images, "annotations": annotations, "categories": categories}
    (tmp_path / "instances.json").write_text(json.dumps(truth))
    (tmp_path / "boxes.json").write_text(json.dumps(detections))
    torch.manual_seed(0)
    anymask.save(anymask.build("tiny", image_size=64), tmp_path / "random.pth")
    return [
        "task=all", "checkpoint=random.pth", "data=instances.json", f"images={photographs}", "detections=boxes.json",
        "data_of.edges=bsds", *QUICK,
    ]  # fmt: skip
