"""GPUs: their memory and the most that they compute, as their makers print it.

Dense products (no structured sparsity), accumulated in single precision, without a boost of power or clock beyond the
data sheet. Memory is what the driver reports of an idle GPU, in GiB: a maker's "80 GB" are 80 GiB less what error
correction takes. Sources, all of NVIDIA: A100 data sheet (2021), H100 and H200 data sheets (2024), the white papers on
the architectures GA102 (RTX 3090, A6000, A10), Ada (RTX 4090, L4, L40S) and Hopper, HGX B200 data sheet (2025).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from anymask.errors import UserError
from anymask.planning.activations import Precision

__all__ = ["GPUS", "SHARE", "Gpu", "gpu", "peak"]

SHARE = 0.3
"""Of a GPU's peak that is reached: an assumption, not a measurement of this program.

Large dense transformers reach .4 to .5 (PaLM .46: Chowdhery et al. 2022, table 3); a step here has many small kernels
besides. The paper's own run, 90,000 steps in 68 hours on 256 A100 of one image each, is .03 of their bf16 peak by the
count of ``flops.py``. ``plan.share`` takes your own, from the steps per second of a short run.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Gpu:
    """``memory`` in GiB, the rest in TFLOP/s; ``half`` is of bf16 and fp16 products."""

    memory: float
    half: float
    tf32: float
    fp32: float


GPUS = {
    "a10": Gpu(memory=22.5, half=125.0, tf32=62.5, fp32=31.2),
    "a100-40gb": Gpu(memory=39.4, half=312.0, tf32=156.0, fp32=19.5),
    "a100-80gb": Gpu(memory=79.2, half=312.0, tf32=156.0, fp32=19.5),
    "a6000": Gpu(memory=47.5, half=154.8, tf32=77.4, fp32=38.7),
    "b200": Gpu(memory=178.3, half=2250.0, tf32=1125.0, fp32=75.0),
    "h100-pcie": Gpu(memory=79.1, half=756.0, tf32=378.0, fp32=51.0),
    "h100-sxm": Gpu(memory=79.1, half=989.4, tf32=494.7, fp32=66.9),
    "h200": Gpu(memory=139.8, half=989.4, tf32=494.7, fp32=66.9),
    "l4": Gpu(memory=22.0, half=121.0, tf32=60.5, fp32=30.3),
    "l40s": Gpu(memory=44.4, half=362.0, tf32=183.0, fp32=91.6),
    "rtx-3090": Gpu(memory=23.6, half=71.0, tf32=35.6, fp32=35.6),
    "rtx-4090": Gpu(memory=23.5, half=165.2, tf32=82.6, fp32=82.6),
}


def gpu(name: str, *, memory: float | None = None, tflops: float | None = None) -> Gpu:
    """The one of that name; ``memory`` (GiB) and ``tflops`` take the place of its own, the latter of every precision.

    Raises UserError with the names there are for another one, unless it comes with both figures.
    """
    if name in GPUS:
        known = GPUS[name]
        known = known if memory is None else replace(known, memory=memory)
        return known if tflops is None else replace(known, half=tflops, tf32=tflops, fp32=tflops)
    if memory is None or tflops is None:
        raise UserError(
            f"plan.gpu={name!r} is not known: there are {', '.join(GPUS)}; "
            "for another one give plan.memory=… (GiB) and plan.tflops=… too"
        )
    return Gpu(memory=memory, half=tflops, tf32=tflops, fp32=tflops)


def peak(gpu: Gpu, precision: Precision, *, tf32: bool) -> float:
    """FLOP/s of matrix products in a precision of the trainer; ``tf32`` says what single precision does."""
    if precision != "32-true":
        return 1e12 * gpu.half
    return 1e12 * (gpu.tf32 if tf32 else gpu.fp32)
