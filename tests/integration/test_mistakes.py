"""A user's mistake is answered with one sentence that names the value; nothing that was there is lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import anymask
from anymask.data.shard_writer import ShardWriter

Run = Callable[..., str]


def sentence(printed: str) -> str:
    lines = [line for line in printed.strip().splitlines() if not line.startswith("warning:")]
    assert len(lines) == 1, printed
    assert lines[0].startswith("error: ")
    return lines[0]


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "random.pth"
    anymask.save(anymask.build("tiny", image_size=64), path)
    return path


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("optim.lr=fast", "optim.lr='fast': Expected `float`, got `str`"),
        ("data.train=[{path: /nowhere}]", "/nowhere"),
        ("data.held_out=/nowhere", "/nowhere"),
        ("init_from=/nowhere.pth", "there is no checkpoint at /nowhere.pth"),
        ("model.name=vit_x", "unknown model 'vit_x': there are tiny, vit_b, vit_l, vit_h"),
        ("model.image_size=100", "image_size 100 is not a multiple of the patch size 16"),
        ("module.freeze=[decoder]", "cannot freeze 'decoder'"),
        ("resume=/nowhere", "cannot resume /nowhere"),
        ("data.train=[{path: 'pipe:true'}]", "pipe:true"),
    ],
)
def test_training(run: Run, small: list[str], change: str, said: str) -> None:
    printed = run("train", *small, "name=wrong", "trainer.steps=1", change, status=1)
    assert said in sentence(printed)


def test_unknown_keys_are_refused(run: Run, small: list[str]) -> None:
    printed = run("train", *small, "optim.momentum=0.9", status=1)
    assert "momentum" in printed
    assert "Traceback" not in printed


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give a value for checkpoint=…, data=…"),
        (["checkpoint=/nowhere.pth", "data=SHARDS"], "there is no checkpoint at /nowhere.pth"),
        (["checkpoint=CHECKPOINT", "data=/nowhere"], "/nowhere"),
        (["checkpoint=SHARDS", "data=SHARDS"], "has no model.safetensors"),
        (["checkpoint=CHECKPOINT", "data=SHARDS", "point_to_mask.floors=[moon]"], "moon"),
        (["checkpoint=CHECKPOINT", "data=SHARDS", "device=tpu9"], "device='tpu9' cannot be used"),
    ],
)
def test_evaluation(run: Run, checkpoint: Path, tiny_shards: Path, arguments: list[str], said: str) -> None:
    filled = [a.replace("CHECKPOINT", str(checkpoint)).replace("SHARDS", str(tiny_shards)) for a in arguments]
    assert said in sentence(run("evaluate", *filled, status=1))


def test_a_checkpoint_that_would_run_code_is_refused(run: Run, tmp_path: Path, tiny_shards: Path) -> None:
    path = tmp_path / "evil.pth"
    torch.save({"hello": Path("x")}, path)
    assert "could run code" in sentence(run("evaluate", f"checkpoint={path}", f"data={tiny_shards}", status=1))


def test_too_many_bad_samples_end_the_run(
    run: Run, small: list[str], tmp_path: Path, draw_record: Callable[..., dict[str, bytes]]
) -> None:
    folder = tmp_path / "bad"
    with ShardWriter(folder) as writer:
        for number in range(40):
            record = draw_record(number)
            if number % 4 == 0:
                record["jpg"] = record["jpg"][:-200]
            writer.write(f"sa_{number}", record, source="manual")
    path = f"data.train=[{{path: {folder}}}]"
    printed = run("train", *small, path, "name=bad", "trainer.steps=200", status=1)
    assert "more than data.loading.max_bad_share=0.05" in printed
    assert "Traceback" not in printed
    bad = [json.loads(line) for line in (tmp_path / "outputs/latest/bad_samples.jsonl").read_text().splitlines()]
    assert {int(line["key"].removeprefix("sa_")) % 4 for line in bad} == {0}
    assert all("manual-000000.tar" in line["shard"] and line["reason"] for line in bad)


def test_a_truncated_checkpoint_is_passed_over(run: Run, small: list[str], tmp_path: Path) -> None:
    run("train", *small, "name=cut", "trainer.steps=6", "trainer.checkpoint_every=2")
    folder = tmp_path / "outputs" / "latest"
    whole = (folder / "report" / "results.json").read_text()
    newest = folder / "checkpoints" / "step_0000006.ckpt"
    newest.write_bytes(newest.read_bytes()[:-5000])
    for old in (folder / "report").iterdir():
        old.unlink()
    printed = run("train", "resume=latest")
    assert f"{newest.resolve()} cannot be read, it is damaged or cut short" in printed
    assert "the checkpoint before it is taken" in printed
    assert json.loads(whole)["metrics"] == json.loads((folder / "report" / "results.json").read_text())["metrics"]


def test_no_sound_checkpoint_is_said(run: Run, small: list[str], tmp_path: Path) -> None:
    run("train", *small, "name=cut", "trainer.steps=2", "trainer.checkpoint_every=2")
    for path in (tmp_path / "outputs" / "latest" / "checkpoints").glob("step_*"):
        path.write_bytes(b"")
    printed = run("train", "resume=latest", status=1)
    assert "has no checkpoint to go on from (1 were tried)" in printed


def test_a_file_that_is_no_shard_is_refused(run: Run, small: list[str], tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_text("no tar")
    printed = run("train", *small, f"data.held_out={tmp_path / 'a.tar'}", "name=wrong", status=1)
    assert f"{tmp_path / 'a.tar'} is not a tar file" in sentence(printed)
