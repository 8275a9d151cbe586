from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from anymask.data.samples import ShardSamples
from anymask.data.shard_writer import ShardWriter
from anymask.data.shards import ShardSet
from anymask.errors import UserError
from anymask.evaluation import running
from anymask.evaluation.point_to_mask.protocol import PointToMask
from anymask.evaluation.point_to_mask.task import PointToMaskTask
from anymask.evaluation.results import Results
from anymask.inference.predictor import Predictor
from anymask.models.sam import Sam
from anymask.ranks import Ranks
from anymask.structures import Sample, Skipped

TASK = PointToMask(clicks=6, report_at=(1, 2, 3), floors=("disc",))
CHANGING = ("date", "latency_ms")


def run(sam: Sam, shards: ShardSet, folder: Path, **how: Any) -> Results:
    task = PointToMaskTask(TASK, ShardSamples(shards), sam)
    results = running.run(task, folder, progress=False, **{"checkpoint": "random weights", **how})
    assert results is not None
    return results


def lasting(results: Results) -> dict[str, Any]:
    return {name: value for name, value in results.items() if name not in CHANGING}


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one for each image that is encoded."""
    calls: list[int] = []
    set_image = Predictor.set_image

    def counting(predictor: Predictor, image: Any) -> None:
        calls.append(1)
        set_image(predictor, image)

    monkeypatch.setattr(Predictor, "set_image", counting)
    return calls


def test_an_evaluation_leaves_two_files_that_agree(
    sam: Sam, shards: ShardSet, tmp_path: Path, encoded: list[int]
) -> None:
    results = run(sam, shards, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"records.jsonl", "results.json"}
    assert len(encoded) == 3
    stored = json.loads((tmp_path / "results.json").read_text())
    assert stored == json.loads(json.dumps(results))
    assert results["counts"]["images"] == 3
    assert results["counts"]["masks"] == 6
    assert results["counts"]["empty_masks"] == 1
    assert [bad["key"] for bad in results["skipped"]] == ["broken"]
    assert results["protocol"] == TASK.protocol
    assert set(results["metrics"]) == {"miou@1", "miou@2", "miou@3", "oracle@1", "noc@80", "noc@85", "noc@90"}
    assert set(results["floors"]["disc"]) == {"miou@1", "miou@2", "miou@3"}


def test_the_numbers_are_those_of_the_records(sam: Sam, shards: ShardSet, tmp_path: Path) -> None:
    results = run(sam, shards, tmp_path)
    images = [json.loads(line) for line in (tmp_path / "records.jsonl").read_text().splitlines()][1:]
    lines = [record for image in images for record in image["records"]]
    first = [line["model"]["ious"][0] for line in lines]
    assert results["metrics"]["miou@1"] == pytest.approx(sum(first) / 6)
    assert results["floors"]["disc"]["miou@1"] == pytest.approx(
        sum(line["floors"]["disc"]["ious"][0] for line in lines) / 6
    )
    never = [line for line in lines if max(line["model"]["ious"]) < 0.8]
    assert results["counts"]["not_reached@80"] == len(never)


def test_what_was_stopped_goes_on_and_ends_the_same(
    sam: Sam, shards: ShardSet, tmp_path: Path, encoded: list[int]
) -> None:
    whole = run(sam, shards, tmp_path / "whole")
    path = tmp_path / "stopped" / "records.jsonl"
    path.parent.mkdir()
    text = (tmp_path / "whole" / "records.jsonl").read_text()
    path.write_text(text[: len(text) * 3 // 4])  # somewhere in the third image's lines or the second's
    encoded.clear()
    again = run(sam, shards, tmp_path / "stopped")
    assert 1 <= len(encoded) <= 2
    assert lasting(again) == lasting(whole)
    assert path.read_text() == text
    encoded.clear()
    run(sam, shards, tmp_path / "stopped")
    assert encoded == []


def test_the_number_of_samples_can_be_limited(sam: Sam, shards: ShardSet, tmp_path: Path) -> None:
    results = run(sam, shards, tmp_path, limit=2)
    assert results["counts"]["images"] == 2
    assert results["limit"] == 2


def test_a_folder_of_another_evaluation_is_refused(sam: Sam, shards: ShardSet, tmp_path: Path) -> None:
    run(sam, shards, tmp_path, limit=1)
    with pytest.raises(UserError, match="differs in limit"):
        run(sam, shards, tmp_path)


def test_where_there_is_no_mask_the_reason_is_told(sam: Sam, tmp_path: Path) -> None:
    with ShardWriter(tmp_path / "bad") as writer:
        writer.write("broken", {"jpg": b"nothing"}, source="manual")
    with pytest.raises(UserError, match=r"nothing to evaluate in bad.*broken: there is no annotation"):
        run(sam, ShardSet.open(str(tmp_path / "bad")), tmp_path / "out")


def test_the_checkpoint_is_told_by_its_hash(sam: Sam, shards: ShardSet, tmp_path: Path) -> None:
    weights = tmp_path / "weights.pth"
    weights.write_bytes(b"abc")
    results = run(sam, shards, tmp_path / "out", checkpoint=weights, limit=1)
    assert results["checkpoint"] is not None
    assert results["checkpoint"]["sha256"] == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_limit_that_leaves_nothing_out_is_none(sam: Sam, shards: ShardSet, tmp_path: Path) -> None:
    assert run(sam, shards, tmp_path, limit=4)["limit"] is None


def test_another_model_frame_is_another_evaluation(sam: Sam, shards: ShardSet, tmp_path: Path) -> None:
    run(sam, shards, tmp_path, image_size=64)
    with pytest.raises(UserError, match="differs in image_size"):
        run(sam, shards, tmp_path, image_size=128)


def test_what_was_finished_before_keeps_its_circumstances(sam: Sam, shards: ShardSet, tmp_path: Path) -> None:
    first = run(sam, shards, tmp_path)
    path = tmp_path / "results.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "commit": "then", "hardware": "there"}))
    again = run(sam, shards, tmp_path)
    assert (again["commit"], again["hardware"]) == ("then", "there")
    assert again["latency_ms"] == first["latency_ms"] != {}


def test_what_is_finished_is_kept_without_a_look_at_it(sam: Sam, shards: ShardSet, tmp_path: Path) -> None:
    class Unreadable(PointToMaskTask):
        def items(self, **_: Any) -> Iterator[Sample | Skipped]:
            raise AssertionError("an image is read")

    def again(**how: Any) -> Results | None:
        task = Unreadable(TASK, ShardSamples(shards), sam)
        return running.run(task, tmp_path, checkpoint="random weights", progress=False, keep_finished=True, **how)

    before = json.dumps(run(sam, shards, tmp_path))
    assert json.dumps(again()) == before
    assert again(ranks=Ranks(1, 2)) is None
    for absent in ("records.jsonl", "results.json"):  # the first is what a user removes to begin again
        (tmp_path / absent).unlink()
        with pytest.raises(AssertionError, match="an image is read"):
            again()
        run(sam, shards, tmp_path)
    with pytest.raises(UserError, match="differs in limit"):
        again(limit=1)


def test_an_image_that_was_lost_since_counts_no_more(sam: Sam, shards: ShardSet, tmp_path: Path) -> None:
    class Lossy(PointToMaskTask):
        def items(self, *, limit: int | None, rank: int, world: int) -> Iterator[Sample | Skipped]:
            for item in super().items(limit=limit, rank=rank, world=world):
                yield Skipped(item.shard, item.key, "gone") if item.key == "a" else item

    whole = run(sam, shards, tmp_path)
    results = running.run(Lossy(TASK, ShardSamples(shards), sam), tmp_path, checkpoint="random weights", progress=False)
    assert results is not None
    assert results["counts"]["images"] == whole["counts"]["images"] - 1
    assert results["counts"]["masks"] == whole["counts"]["masks"] - 2
    assert results["counts"]["empty_masks"] == 1
    assert results["counts"]["skipped_images"] == 2
