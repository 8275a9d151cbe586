"""A plan as a page for a terminal, and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table

from anymask.planning.memory import RESERVE, RESERVE_SHARE, Memory
from anymask.planning.plan import Plan

__all__ = ["as_values", "page"]

NOT_COUNTED = "loading, validation, checkpoints and communication"


def page(plan: Plan, gpu_name: str) -> RenderableType:
    """What is computed, what lies on each GPU, how long it takes, and what to change where it does not fit."""
    return Group(_title(plan, gpu_name), _counts(plan), _bytes(plan), *_sentences(plan, gpu_name))


def as_values(plan: Plan, gpu_name: str) -> dict[str, Any]:
    """The same for a program: counts, FLOPs, bytes, seconds."""
    work, run = plan.work, plan.run
    return {
        "gpu": {"name": gpu_name, **asdict(plan.gpu)},
        "run": asdict(run) | {"processes": run.processes, "images": plan.images, "rounds": len(work.rounds)},
        "parameters": asdict(plan.parameters) | {"all": plan.parameters.all, "trained": plan.parameters.trained},
        "flops_per_image": {name: value / work.images for name, value in asdict(plan.flops).items()},
        "bytes": {
            strategy: asdict(memory) | {"needed": memory.needed, "fits": plan.fits(strategy)}
            for strategy, memory in plan.memory.items()
        },
        "flops_per_second": plan.speed,
        "seconds_per_step": plan.seconds,
        "days": plan.days,
        "suggestion": plan.suggestion,
    }


def _title(plan: Plan, gpu_name: str) -> str:
    work, run = plan.work, plan.run
    sizes = {"image": work.images, "mask": work.masks_per_image, "round": len(work.rounds)}
    batch = " x ".join(_many(number, name) for name, number in sizes.items())
    on = f"{run.processes} x {gpu_name}" if run.processes > 1 else gpu_name
    times = f", {run.accumulate} batches a step" if run.accumulate > 1 else ""
    return f"{batch} at {work.architecture.image_size} px on each of {on}{times}, {run.precision}, {run.strategy}\n"


def _counts(plan: Plan) -> Table:
    counts, flops, images = plan.parameters, plan.flops, plan.work.images
    table = Table("", *("parameters", "trained", "forward", "and backward", "share"), title="Operations an image")
    for column in table.columns[1:]:
        column.justify = "right"
    rounds = f"decoder, {_many(len(plan.work.rounds), 'round')}"
    for name, all_, trained, forward, total in (
        ("encoder", counts.encoder, counts.trained_encoder, flops.encoder_forward, flops.encoder),
        (rounds, counts.others, counts.trained_others, flops.rounds_forward, flops.rounds),
        ("all", counts.all, counts.trained, flops.encoder_forward + flops.rounds_forward, flops.all),
    ):
        values = [_millions(all_), _millions(trained), _tera(forward / images), _tera(total / images)]
        table.add_row(name, *values, f"{total / flops.all:.0%}")
    return table


def _bytes(plan: Plan) -> Table:
    """A row for each kind of bytes, a column for each strategy."""
    own = plan.memory[plan.run.strategy]
    unit, name = (2**30, "GiB") if own.peak >= 2**30 else (2**20, "MiB")
    table = Table("", title=f"{name} on each GPU, which has {plan.gpu.memory * 2**30 / unit:,.1f}")
    for strategy in plan.memory:
        named = "one GPU" if strategy == "single" else f"{strategy}, {_many(plan.run.processes, 'GPU')}"
        table.add_column(named, justify="right", style="bold" if strategy == plan.run.strategy else "")
    rows = zip(*map(_kinds, plan.memory.values()), strict=True)
    for kind, row in zip(KINDS, rows, strict=True):
        table.add_row(kind, *(f"{value / unit:,.2f}" for value in row), end_section=kind == KINDS[-3])
    table.add_row("", *("[green]fits[/]" if plan.fits(name) else "[red]does not fit[/]" for name in plan.memory))
    return table


KINDS = (
    "weights", "gradients", "AdamW", "copies in half precision", "gathered shards", "activations, encoder",
    "activations, a round", "peak", "with reserve",
)  # fmt: skip


def _kinds(memory: Memory) -> list[int]:
    m = memory
    return [m.weights, m.gradients, m.optimiser, m.copies, m.gathered, m.encoder, m.round, m.peak, m.needed]


def _sentences(plan: Plan, gpu_name: str) -> list[str]:
    run = plan.run
    told = [
        f"\nA step of {_many(plan.images, 'image')}: {_duration(plan.seconds)}, if each {gpu_name} reaches "
        f"{plan.speed / 1e12:.3g} TFLOP/s, {plan.share:.0%} of its peak. {run.steps:,} steps: "
        f"{_duration(plan.seconds * run.steps)}, without {NOT_COUNTED}.",
        "Not all of a column is there at once. The reserve, "
        f"{RESERVE / 2**30:g} GiB and {RESERVE_SHARE:.0%}, is for what is not modelled: the context, workspaces of "
        "kernels, buffers of communication, fragmentation.",
    ]
    if plan.suggestion is not None:
        told.append(
            f"It does not fit. {f'Try: {plan.suggestion}' if plan.suggestion else 'Nothing here makes it fit.'}"
        )
    return told


def _many(number: int, name: str) -> str:
    return f"{number:,} {name}{'' if number == 1 else 's'}"


def _millions(count: int) -> str:
    return f"{count / 1e6:.2f} M"


def _tera(flops: float) -> str:
    return f"{flops / 1e12:.3g} TFLOP" if flops >= 1e11 else f"{flops / 1e9:.3g} GFLOP"


def _duration(seconds: float) -> str:
    for name, length in (("days", 86_400), ("hours", 3600), ("minutes", 60), ("s", 1)):
        if seconds >= 2 * length:
            return f"{seconds / length:.3g} {name}"
    return f"{1000 * seconds:.3g} ms"
