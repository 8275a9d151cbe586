"""anymask-shards on small folders: each command as a user runs it, and what it leaves."""

from __future__ import annotations

import io
import json
import os
import pkgutil
import re
import shutil
import signal
import subprocess
import tarfile
import time
import tomllib
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from anymask.data import shard_index
from anymask.data.shards import Records, ShardSet
from anymask.data.stream import read_samples
from anymask.drawing import jpeg
from anymask.masks import encode, rle_to_json
from anymask.shard_command import contact_sheet, indexing
from anymask.shard_command.main import main
from anymask.structures import Sample

Draw = Callable[..., dict[str, bytes]]
Write = Callable[..., Path]
Capture = pytest.CaptureFixture[str]

CHROMIUM = next((found for name in ("chromium", "google-chrome", "chrome") if (found := shutil.which(name))), None)
FRAME = """<!doctype html><body style="margin: 0"><iframe src="{url}" width="{width}" height="900" frameborder="0">
</iframe><pre></pre><script>
addEventListener("load", () => {{
  const page = frames[0].document, all = [...page.images], drawn = all.filter(i => i.complete && i.naturalWidth > 0);
  const overflow = page.documentElement.scrollWidth - page.documentElement.clientWidth;
  document.querySelector("pre").textContent =
    `frame ${{frames[0].innerWidth}} pictures ${{all.length}} drawn ${{drawn.length}} overflow ${{overflow}}`;
}});
</script>"""
"""A page in a frame, and what is seen there."""


def _files(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def _fails(capsys: Capture, *arguments: object, status: int = 2) -> str:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert ended.value.code == status
    return capsys.readouterr().err.strip().splitlines()[-1]


@pytest.fixture
def sa1b(tmp_path: Path, draw_record: Draw) -> Path:
    """Two tars as the site distributes them: every field of the published schema, names that begin with ./"""
    folder = tmp_path / "sa1b"
    folder.mkdir()
    for number in range(2):
        with tarfile.open(folder / f"sa_{number:06d}.tar", "w") as tar:
            for image in range(3 * number, 3 * number + 3):
                files = draw_record(image, None)
                record = json.loads(files["json"])
                for entry in record["annotations"]:
                    x, y, w, h = entry["bbox"]
                    entry |= {
                        "area": w * h,
                        "predicted_iou": 0.9,
                        "stability_score": 0.95,
                        "crop_box": [0.0, 0.0, 64.0, 48.0],
                        "point_coords": [[x + 0.5, y + 0.5]],
                    }
                files["json"] = json.dumps(record).encode()
                for ending, data in files.items():
                    member = tarfile.TarInfo(f"./sa_{image}.{ending}")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
    return folder


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Three photographs of 20 x 30 pixels with one picture of numbers and two mask pictures each."""
    for name in "abc":
        labels = np.zeros((20, 30), dtype=np.uint8)
        labels[2:9, 3:12], labels[10:18, 14:28] = 1, 2
        for folder, file, data in (
            ("photographs", f"{name}.jpg", jpeg(np.full((20, 30, 3), 90, dtype=np.uint8))),
            ("labels", f"{name}.png", cv2.imencode(".png", labels)[1].tobytes()),
            ("masks", f"{name}_1.png", cv2.imencode(".png", 255 * (labels == 1).astype(np.uint8))[1].tobytes()),
            ("masks", f"{name}_2.png", cv2.imencode(".png", 255 * (labels == 2).astype(np.uint8))[1].tobytes()),
        ):
            (tmp_path / folder).mkdir(exist_ok=True)
            (tmp_path / folder / file).write_bytes(data)
        shapes = [
            {"label": "x", "shape_type": "rectangle", "points": [[x, y], [X, Y]], "group_id": None}
            for x, y, X, Y in ((3, 2, 12, 9), (14, 10, 28, 18))
        ]
        content = {"imagePath": f"{name}.jpg", "imageData": None, "imageHeight": 20, "imageWidth": 30, "shapes": shapes}
        (tmp_path / "labelme").mkdir(exist_ok=True)
        (tmp_path / "labelme" / f"{name}.json").write_text(json.dumps(content))
    images = [{"id": n, "file_name": f"{name}.jpg", "height": 20, "width": 30} for n, name in enumerate("abc")]
    boxes = [[3, 2, 12, 2, 12, 9, 3, 9], [14, 10, 28, 10, 28, 18, 14, 18]]
    entries = [
        {"id": 10 * image + n, "image_id": image, "category_id": 1, "segmentation": [box], "iscrowd": 0}
        for image in range(3)
        for n, box in enumerate(boxes)
    ]
    (tmp_path / "instances.json").write_text(json.dumps({"images": images, "annotations": entries}))
    return tmp_path


def _forms(folder: Path) -> dict[str, list[object]]:
    images = ["--images", folder / "photographs"]
    return {
        "coco": [*images, "--annotations", folder / "instances.json"],
        "lvis": [*images, "--annotations", folder / "instances.json"],
        "labels": [*images, "--labels", folder / "labels"],
        "masks": [*images, "--masks", folder / "masks"],
        "labelme": [*images, "--annotations", folder / "labelme"],
    }


# ---- pack ----


@pytest.mark.parametrize("form", ["coco", "lvis", "labels", "masks", "labelme"])
def test_every_form_packs_the_same_masks(pictures: Path, capsys: Capture, form: str) -> None:
    out = pictures / "out"
    main(["pack", "--from", form, *map(str, _forms(pictures)[form]), "--out", str(out), "--source", "semi_automatic"])
    assert capsys.readouterr().out == f"{out}: 3 photographs, 6 masks\n"
    for sample in read_samples(ShardSet.open(str(out))):
        assert isinstance(sample, Sample)
        assert sample.source == "semi_automatic"
        bitmap = np.zeros((20, 30), dtype=bool)
        bitmap[2:9, 3:12] = True
        assert sample.masks[0] == encode(bitmap)


def test_options_that_do_not_belong_together_are_told(pictures: Path, capsys: Capture) -> None:
    out = ("--out", pictures / "out")
    told = _fails(capsys, "pack", "--from", "coco", "--images", pictures / "photographs", *out)
    assert told == "error: --from coco needs --annotations"
    told = _fails(capsys, "pack", "--from", "masks", *_forms(pictures)["masks"], "--labels", pictures, *out)
    assert told == f"error: --labels {pictures} means nothing to --from masks: leave it out"
    told = _fails(capsys, "pack", "--from", "masks", *_forms(pictures)["masks"], "--samples-per-shard", 0, *out)
    assert "not samples_per_shard=0" in told
    assert not (pictures / "out").exists()


def _pack_slowly(folder: Path, out: Path, workers: int = 1) -> None:
    options = ["--samples-per-shard", "5", "--workers", str(workers)]
    main(["pack", "--from", "sa1b", "--images", str(folder), "--out", str(out), *options])


def _is_alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize("workers", [1, 2])
def test_a_packing_that_is_killed_goes_on_to_the_same_bytes(tmp_path: Path, draw_record: Draw, workers: int) -> None:
    """By SIGKILL, which nothing can answer; the processes that read end with the one that writes."""
    folder = tmp_path / "pairs"
    folder.mkdir()
    for number in range(200):
        for ending, data in draw_record(number, None).items():
            (folder / f"sa_{number}.{ending}").write_bytes(data)
    _pack_slowly(folder, tmp_path / "whole")
    part, kills, readers = tmp_path / ".out.part", 0, list[int]()
    for wanted in (3, 12, 25):
        process = get_context("fork").Process(target=_pack_slowly, args=(folder, tmp_path / "out", workers))
        process.start()
        while process.is_alive() and len(list(part.glob("*.tar"))) < wanted:
            time.sleep(0.002)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        if process.is_alive():
            readers += [int(pid) for pid in children.read_text().split()]
            os.kill(process.pid or 0, signal.SIGKILL)
            kills += 1
        process.join()
        assert (tmp_path / "out").exists() == (process.exitcode == 0)
    if not (tmp_path / "out").exists():
        _pack_slowly(folder, tmp_path / "out")
    assert kills >= 1
    assert len(readers) == (kills * workers if workers > 1 else 0)
    deadline = time.monotonic() + 20
    while any(map(_is_alive, readers)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(map(_is_alive, readers))
    assert _files(tmp_path / "out") == _files(tmp_path / "whole")


# ---- index, info ----


def test_sa1bs_tars_are_indexed_where_they_are(sa1b: Path, capsys: Capture) -> None:
    before = _files(sa1b)
    main(["index", str(sa1b), "--workers", "2"])
    told, compared = capsys.readouterr().out.splitlines()
    assert told == f"{sa1b}: 2 shards, 6 photographs, 0 defects"
    assert compared.startswith("SA-1B has 11,185,362 photographs")
    assert {name: data for name, data in _files(sa1b).items() if name.endswith(".tar")} == before
    shards = ShardSet.open(str(sa1b))
    assert shards.samples == {"automatic": 6}
    samples = list(read_samples(shards))
    assert all(isinstance(sample, Sample) for sample in samples)
    assert [sample.key for sample in samples] == [f"sa_{n}" for n in range(6)]
    stamps = {file: file.stat().st_mtime_ns for file in sa1b.glob("*.npy")}
    main(["index", str(sa1b)])  # nothing has changed
    assert {file: file.stat().st_mtime_ns for file in sa1b.glob("*.npy")} == stamps
    assert "0 defects; 2 shards were indexed before and are unchanged" in capsys.readouterr().out
    main(["index", str(sa1b), "--source", "semi_automatic"])
    assert ShardSet.open(str(sa1b)).samples == {"semi_automatic": 6}
    main(["info", str(sa1b)])
    main(["verify", str(sa1b)])
    assert "2 shards, 6 records" in capsys.readouterr().out


def test_an_indexing_that_is_stopped_goes_on_and_forgets_no_defect(
    sa1b: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tarfile.open(sa1b / "sa_000000.tar", "a") as more:
        member = tarfile.TarInfo("../x.jpg")
        member.size = 3
        more.addfile(member, io.BytesIO(b"abc"))
    read = shard_index.index_of_tar
    asked: list[str] = []

    def stop_at_the_second(url: str) -> object:
        asked.append(Path(url).name)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return read(url)

    monkeypatch.setattr(indexing, "index_of_tar", stop_at_the_second)
    with pytest.raises(SystemExit, match="stopped"):
        main(["index", str(sa1b), "--annotations"])
    assert not (sa1b / "manifest.json").exists()
    with (sa1b / ".indexed.jsonl").open("a") as note:
        note.write('{"shard": {"ur')  # what was being written
    main(["index", str(sa1b), "--annotations"])
    assert asked == ["sa_000000.tar", "sa_000001.tar", "sa_000001.tar"]
    assert capsys.readouterr().out.splitlines()[:2] == [
        f"{sa1b / 'sa_000000.tar'} ../x.jpg its name leaves the folder",
        f"{sa1b}: 2 shards, 6 photographs, 1 defects; 1 shards were indexed before and are unchanged, "
        "which are not read again",
    ]
    assert [shard.masks for shard in ShardSet.open(str(sa1b)).shards] != [None, None]
    (sa1b / "sa_000000.tar").write_bytes((sa1b / "sa_000001.tar").read_bytes() + bytes(512))  # another length
    asked.clear()
    main(["index", str(sa1b)])
    assert asked == ["sa_000000.tar"]


def test_a_pattern_of_tars_is_indexed_into_a_folder(sa1b: Path, tmp_path: Path, capsys: Capture) -> None:
    pattern = f"{sa1b}/sa_{{000001..000001}}.tar"
    assert "name one for its manifest by --out" in _fails(capsys, "index", pattern)
    main(["index", pattern, "--out", str(tmp_path / "some" / "where")])
    (shard,) = ShardSet.open(str(tmp_path / "some" / "where")).shards
    assert (shard.url, shard.total) == (str(sa1b / "sa_000001.tar"), 3)
    shutil.copytree(sa1b, tmp_path / "again")
    both = f"{tmp_path}/{{sa1b,again}}/sa_000000.tar"
    assert "two tars have the name sa_000000.tar" in _fails(capsys, "index", both, "--out", tmp_path / "both")
    assert "cannot be read" in _fails(capsys, "index", f"{sa1b}/absent.tar", "--out", tmp_path / "none")


def test_an_index_may_lie_elsewhere_and_know_more(sa1b: Path, tmp_path: Path, capsys: Capture) -> None:
    tar = sa1b / "sa_000001.tar"
    with tarfile.open(tar, "a") as more:
        record = {"image": {"width": 64, "height": 48}, "source": "manual", "annotations": [{}, {}]}
        for ending, data in (("jpg", b"x"), ("json", json.dumps(record).encode())):
            member = tarfile.TarInfo(f"./sa_99.{ending}")
            member.size = len(data)
            more.addfile(member, io.BytesIO(data))
    out = tmp_path / "index"
    main(["index", str(sa1b), "--out", str(out), "--annotations", "--checksums"])
    assert not list(sa1b.glob("*.npy"))
    capsys.readouterr()
    main(["info", str(out), "--json"])
    told = json.loads(capsys.readouterr().out)
    assert told["samples"] == {"automatic": 6, "manual": 1}
    assert (told["with_checksum"], told["indexed"]) == (2, 2)
    assert told["masks"] > 2
    (manual,) = ShardSet.open(str(out / "manifest.json")).shards[1:]
    assert Records([manual], "automatic", source="manual").read(0).key == "sa_99"


def test_what_cannot_be_read_is_told_with_its_shard(sa1b: Path, capsys: Capture) -> None:
    first, second = sa1b / "sa_000000.tar", sa1b / "sa_000001.tar"
    with tarfile.open(first, "a") as more:
        member = tarfile.TarInfo("../../etc/x.jpg")
        member.size = 3
        more.addfile(member, io.BytesIO(b"abc"))
    second.write_bytes(b"\xff" * 2000)
    main(["index", str(sa1b)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{first} ../../etc/x.jpg its name leaves the folder"
    assert lines[1].startswith(f"{second} the whole shard ")
    assert lines[2] == f"{sa1b}: 1 shards, 3 photographs, 2 defects"
    with pytest.raises(SystemExit):
        main(["verify", str(sa1b)])
    told = capsys.readouterr().out.splitlines()
    assert told[0] == f"{second} the whole shard the manifest does not know it"
    assert told[-1].endswith(": 1 shards, 3 records, " + told[-1].split(", ")[-2] + ", 2 defects")
    assert "there is no tar in" in _fails(capsys, "index", sa1b / "..")


def test_the_table_of_a_set_names_its_shards(
    tiny_shards: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    main(["info", str(tiny_shards)])
    printed = capsys.readouterr().out
    assert "automatic-000001.tar" in printed
    assert re.search(r"all 3 .* 6 automatic", printed)
    assert "masks a record" in printed


# ---- verify ----


def test_sound_shards_have_no_defect(tiny_shards: Path, capsys: Capture) -> None:
    main(["verify", str(tiny_shards), "--workers", "2"])
    assert re.fullmatch(r".*tiny: 3 shards, 8 records, \d+ masks, 0 defects\n", capsys.readouterr().out)


def test_every_defect_is_told_with_shard_and_key(tmp_path: Path, write_shards: Write, capsys: Capture) -> None:
    folder = write_shards(["manual"] * 9, samples_per_shard=3)
    first, second, third = (folder / f"manual-00000{n}.tar" for n in range(3))
    with tarfile.open(first) as tar:
        photograph, annotation = tar.getmember("sa_1.jpg"), tar.getmember("sa_2.json")
    data = bytearray(first.read_bytes())
    data[photograph.offset_data : photograph.offset_data + 200] = bytes(200)
    data[annotation.offset_data] = ord("[")
    first.write_bytes(data)
    third.write_bytes(third.read_bytes()[:700])
    shutil.copy(folder / "manual-000000.index.npy", folder / "manual-000001.index.npy")
    report = tmp_path / "defects.jsonl"
    with pytest.raises(SystemExit) as ended:
        main(["verify", str(folder), "--report", str(report)])
    assert ended.value.code == 1
    defects = [json.loads(line) for line in report.read_text().splitlines()]
    of = {(Path(d["shard"]).name, d["key"]) for d in defects}
    reasons = {(Path(d["shard"]).name, d["key"], d["reason"]) for d in defects}
    assert (first.name, "the whole shard", "its checksum is not that of the manifest") in reasons
    assert {(first.name, "sa_1"), (first.name, "sa_2")} <= of
    assert (first.name, "sa_0") not in of
    assert (second.name, "sa_0", "it is in the index and not in the shard") in reasons
    assert (second.name, "sa_3", "it is not in the index") in reasons
    assert (second.name, "sa_1", "there is a record of that key in manual-000000.tar already") in reasons
    assert (third.name, "sa_6", "the shard ends early") in reasons
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == len(defects) + 1
    assert printed[-1].endswith(f"{len(defects)} defects")


# ---- show ----


@pytest.fixture
def odd(tmp_path: Path, draw_record: Draw) -> Path:
    """By photograph: an empty, a full, a tiny, a doubled and a single mask, none at all, and damage."""
    empty = np.zeros((48, 64), dtype=bool)
    tiny, left = empty.copy(), empty.copy()
    tiny[3, 3:6], left[:, :30] = True, True
    nearly = left.copy()
    nearly[0, 0] = False
    masks = {
        "empty": [left, empty],
        "full": [left, ~empty],
        "tiny": [left, tiny],
        "twice": [left, nearly],
        "single": [left],
        "none": [],
        "fine": [left, ~left],
    }
    folder = tmp_path / "odd"
    folder.mkdir()
    with tarfile.open(folder / "odd.tar", "w") as tar:
        for key, found in masks.items():
            entries = [{"id": n, "segmentation": rle_to_json(encode(mask))} for n, mask in enumerate(found)]
            record = {"image": {"width": 64, "height": 48}, "annotations": entries}
            for ending, data in (("jpg", draw_record(1)["jpg"]), ("json", json.dumps(record).encode())):
                member = tarfile.TarInfo(f"{key}.{ending}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
        member = tarfile.TarInfo("damaged.jpg")
        tar.addfile(member, io.BytesIO(b""))
        member = tarfile.TarInfo("damaged.json")
        member.size = 5
        tar.addfile(member, io.BytesIO(b'{"a":'))
    return folder


def test_what_trains_badly_is_told_with_counts_and_keys(odd: Path, tmp_path: Path) -> None:
    main(["show", str(odd), "--out", str(tmp_path / "sheet.html")])
    rows = [line.strip("| ").split(" | ") for line in (tmp_path / "sheet.md").read_text().splitlines() if "|" in line]
    told = {row[0]: row[1:] for row in rows}
    assert told["empty mask"] == ["1", "1", "empty"]
    assert told["mask over 90% of the photograph: passed over in training"] == ["1", "1", "full"]
    assert told["mask of fewer than 16 pixels"] == ["1", "1", "tiny"]
    assert told["mask drawn twice (IoU over 0.95)"] == ["1", "1", "twice"]
    assert told["photograph with a single mask"] == ["1", "1", "single"]
    assert told["photograph without a mask"] == ["1", "1", "none"]
    assert "fine" not in {key for row in rows for key in row[-1:]}


def test_a_sheet_of_what_is_not_packed_yet_and_of_a_picture_alone(pictures: Path, tmp_path: Path) -> None:
    for form, arguments in _forms(pictures).items():
        sheet = tmp_path / f"{form}.jpg"
        main(["show", "--from", form, *map(str, arguments), "--out", str(sheet), "--samples", "2"])
        with Image.open(sheet) as picture:
            assert picture.size == (30 + 4 + 30, 20)
    main(["show", "--from", "coco", *map(str, _forms(pictures)["coco"]), "--out", str(tmp_path / "sheet.html")])
    assert "3 photographs; the numbers below are all of them: 6 masks" in (tmp_path / "sheet.md").read_text()


def test_damage_is_counted_and_not_pictured(tmp_path: Path, draw_record: Draw, capsys: Capture) -> None:
    """A photograph of another size, one that is none, and a run-length code that is damaged."""
    folder = tmp_path / "damaged"
    folder.mkdir()
    with tarfile.open(folder / "damaged.tar", "w") as tar:
        for number, key in enumerate(("larger", "none", "code", "mask")):
            files = draw_record(number)
            record = json.loads(files["json"])
            if key == "code":
                record["annotations"][0]["segmentation"]["counts"] = "@@"
            if key == "mask":
                record["annotations"][0]["segmentation"]["size"] = [48, 65]
            files["json"] = json.dumps(record).encode()
            files["jpg"] = {"larger": jpeg(np.zeros((49, 64, 3), np.uint8)), "none": b"GIF"}.get(key, files["jpg"])
            for ending, data in files.items():
                member = tarfile.TarInfo(f"{key}.{ending}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    main(["show", str(folder), "--out", str(tmp_path / "sheet.html")])
    page = (tmp_path / "sheet.md").read_text()
    for what, key in (
        ("photograph of another size than its annotation says", "larger"),
        ("photograph that is damaged or too large", "none"),
        ("cannot be read: a mask's size is not its photograph's", "mask"),
    ):
        assert f"| {what} | 1 | 1 | {key} |" in page
    assert re.search(r"\| cannot be read: the run.* \| 1 \| 1 \| code \|", page)
    with tarfile.open(tmp_path / "one.tar", "w") as tar:
        member = tarfile.TarInfo("a.jpg")
        member.size = 1
        tar.addfile(member, io.BytesIO(b"x"))
    assert "has no photograph that could be" in _fails(
        capsys, "show", tmp_path / "one.tar", "--out", tmp_path / "x.jpg"
    )


def test_a_large_set_is_looked_at_in_part(tiny_shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anymask.shard_command.main.SURVEYED", 5)
    main(["show", str(tiny_shards), "--out", str(tmp_path / "sheet.html"), "--seed", "3"])
    assert "the numbers below are of 5 of them, drawn by chance" in (tmp_path / "sheet.md").read_text()
    assert contact_sheet.chosen_numbers(8, 5, 3) == contact_sheet.chosen_numbers(8, 5, 3)
    assert contact_sheet.chosen_numbers(8, 5, 3) != contact_sheet.chosen_numbers(8, 5, 4)


def test_a_sheet_of_nothing_or_of_two_things_is_refused(tiny_shards: Path, capsys: Capture) -> None:
    assert "name a shard set, or its form by --from, and not both" in _fails(capsys, "show")
    assert "and not both" in _fails(capsys, "show", tiny_shards, "--from", "coco")
    assert "sheet.pdf is neither a page" in _fails(capsys, "show", tiny_shards, "--out", "sheet.pdf")
    assert "--samples 0: at least one" in _fails(capsys, "show", tiny_shards, "--samples", 0)


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
@pytest.mark.parametrize("width", [390, 1280])
def test_the_sheet_in_a_browser(odd: Path, tmp_path: Path, width: int) -> None:
    """All pictures are loaded, nothing scrolls sideways and nothing is complained about.

    In a frame: Chromium has no window narrower than 500 pixels.
    """
    page = tmp_path / "sheet.html"
    main(["show", str(odd), "--out", str(page)])
    assert "http://" not in page.read_text().replace("http://www.w3.org", "")
    (tmp_path / "probe.html").write_text(FRAME.format(url=page.as_uri(), width=width))
    command = [CHROMIUM or "", "--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files"]
    command += ["--virtual-time-budget=5000", "--enable-logging=stderr", f"--user-data-dir={tmp_path / 'profile'}"]
    command += ["--dump-dom", (tmp_path / "probe.html").as_uri()]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=90, check=True)
    assert "CONSOLE" not in ran.stderr
    told = re.search(r"<pre>frame (\d+) pictures (\d+) drawn (\d+) overflow (-?\d+)</pre>", ran.stdout)
    assert told is not None, ran.stdout[:300]
    frame, pictures, drawn, overflow = map(int, told.groups())
    assert frame == width
    assert pictures == drawn >= 7
    assert overflow <= 0


def test_the_console_command_is_this_program() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert pkgutil.resolve_name(project["scripts"]["anymask-shards"]) is main
