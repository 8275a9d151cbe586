from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from rich.console import Console

from anymask.errors import UserError
from anymask.planning.hardware import GPUS, Gpu, gpu, peak
from anymask.planning.plan import Plan, Run, lay_out
from anymask.planning.view import as_values, page
from anymask.planning.workload import Workload, architecture
from anymask.rounds import Rounds
from anymask.training.run import RunSettings

RUN = Run(steps=1000, accumulate=2, nodes=2, devices=8, strategy="ddp", precision="bf16-mixed", average=False)


def plan(
    name: str = "vit_b", run: Run = RUN, gpu: Gpu = GPUS["a100-80gb"], *, images: int = 1, masks: int = 64
) -> Plan:
    work = Workload(architecture=architecture(name), images=images, masks_per_image=masks, rounds=Rounds())
    return lay_out(work, run, gpu)


def of(memory: float) -> Gpu:
    """An A100 of so many GiB."""
    return replace(GPUS["a100-80gb"], memory=memory)


def shown(plan: Plan) -> str:
    console = Console(width=160)
    with console.capture() as capture:
        console.print(page(plan, "a100-80gb"))
    return re.sub(r"\s+", " ", capture.get())


def test_time_is_work_by_speed() -> None:
    laid_out = plan()
    assert laid_out.images == 32
    assert laid_out.seconds == pytest.approx(2 * laid_out.flops.all / (0.3 * 312e12))
    assert laid_out.days == pytest.approx(1000 * laid_out.seconds / 86_400)


def test_single_precision_is_slower() -> None:
    a100 = GPUS["a100-80gb"]
    told = [peak(a100, "32-true", tf32=False), peak(a100, "32-true", tf32=True), peak(a100, "bf16-mixed", tf32=False)]
    assert told == [19.5e12, 156e12, 312e12]
    assert all(known.fp32 <= known.tf32 <= known.half for known in GPUS.values())


def test_a_gpu_of_ones_own() -> None:
    assert gpu("mi300x", memory=191.0, tflops=1307.0) == Gpu(memory=191.0, half=1307.0, tf32=1307.0, fp32=1307.0)
    assert gpu("l4", memory=20.0) == replace(GPUS["l4"], memory=20.0)
    with pytest.raises(UserError, match=r"plan\.gpu='mi300x' is not known: there are a10, a100-40gb.*plan\.memory"):
        gpu("mi300x", memory=191.0)


def test_nothing_is_suggested_where_it_fits() -> None:
    assert plan().suggestion is None
    assert plan().fits("ddp")


@pytest.mark.parametrize(
    ("name", "run", "memory", "images", "masks", "suggestion"),
    [
        ("vit_b", replace(RUN, precision="32-true"), 13.0, 1, 64, "trainer.precision=bf16-mixed"),
        ("vit_h", RUN, 20.0, 1, 4, "model.checkpoint_activations=true"),
        ("vit_b", RUN, 14.0, 2, 64, "module.prompts_at_once=16"),
        ("vit_b", RUN, 6.4, 8, 2, "data.loading.images_per_batch=1 trainer.accumulate=16"),
        ("vit_b", replace(RUN, has_images_per_step=True), 6.4, 8, 2, "data.loading.images_per_batch=1"),
        ("vit_b", RUN, 7.5, 1, 64, "module.prompts_at_once=16"),
        ("vit_h", RUN, 8.0, 1, 16, "model.checkpoint_activations=true trainer.strategy=fsdp"),
    ],
)
def test_what_to_change(name: str, run: Run, memory: float, images: int, masks: int, suggestion: str) -> None:
    laid_out = plan(name, run, of(memory), images=images, masks=masks)
    assert not laid_out.fits("ddp")
    assert laid_out.suggestion == suggestion
    assert f"Try: {suggestion}" in shown(laid_out)


def test_what_no_setting_helps() -> None:
    laid_out = plan("tiny", replace(RUN, nodes=1, devices=1, strategy="single"), of(2.0))
    assert laid_out.suggestion == ""
    assert "Nothing here makes it fit." in shown(laid_out)


def test_a_run_of_the_trainers_settings() -> None:
    settings = RunSettings(steps=5, accumulate=3, nodes=2, devices=4, precision="16-mixed")
    run = Run.of(settings, images_per_batch=2, average=True)
    assert (run.processes, run.strategy, run.precision, run.average) == (8, "ddp", "16-mixed", True)
    assert run.accumulate == 3
    of_step = Run.of(replace(settings, accumulate=1, images_per_step=64), images_per_batch=2, average=True)
    assert of_step == replace(run, accumulate=4, has_images_per_step=True)
    assert Run.of(replace(settings, nodes=1, devices=1), images_per_batch=1, average=False).strategy == "single"
    assert (
        Run.of(replace(settings, nodes=1, devices=1, strategy="fsdp"), images_per_batch=1, average=False).strategy
        == "fsdp"
    )
    with pytest.raises(UserError, match=r"trainer\.devices=auto"):
        Run.of(replace(settings, devices="auto"), images_per_batch=1, average=False)


def test_the_page_of_many_gpus() -> None:
    text = shown(plan("vit_h", replace(RUN, strategy="fsdp")))
    assert "1 image x 64 masks x 11 rounds at 1024 px on each of 16 x a100-80gb, 2 batches a step" in text
    assert "637.03 M" in text
    assert all(row in text for row in ("one GPU", "ddp, 16 GPUs", "fsdp, 16 GPUs"))
    assert "A step of 32 images" in text
    assert "Try" not in text


def test_the_page_of_one_gpu() -> None:
    text = shown(plan("tiny", replace(RUN, nodes=1, devices=1, strategy="single")))
    assert "MiB on each GPU" in text
    assert "fsdp" not in text


def test_the_same_for_a_program() -> None:
    laid_out = plan()
    told = json.loads(json.dumps(as_values(laid_out, "a100-80gb")))
    assert told["bytes"]["fsdp"]["peak"] == laid_out.memory["fsdp"].peak
    assert told["parameters"]["all"] == 93_735_472
    assert told["flops_per_image"]["encoder"] == laid_out.flops.encoder
