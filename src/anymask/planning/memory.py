"""Bytes on each GPU at the fullest moment of a training step, for each way to spread the model over processes.

Three moments can be the fullest: the last layers of a round of the decoder, while the encoder's activations wait; the
encoder's way back, when they give way to its gradients; and AdamW's step, which makes a temporary as large as them.
Under fsdp (FSDP2, as in ``training/parallel.py``) the encoder's weights, gradients, moments and average are cut into
one part for each process; its rest (patches, positions, neck) stays gathered from the first use to the last.

Not modelled: the CUDA context, workspaces of kernels, buffers of NCCL, fragmentation. ``RESERVE`` stands for them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from anymask.planning.activations import (
    Kept,
    Precision,
    encoder,
    encoder_block,
    inputs,
    round_at_its_end,
)
from anymask.planning.parameters import parameters
from anymask.planning.workload import Workload

__all__ = ["RESERVE", "RESERVE_SHARE", "Memory", "Strategy", "memory"]

Strategy = Literal["single", "ddp", "fsdp"]

RESERVE = 2 * 2**30
"""Bytes of a GPU for its context (about half), workspaces of kernels and the buffers of NCCL: an assumption."""

RESERVE_SHARE = 0.05
"""Share of the peak that is lost between blocks of the caching allocator: an assumption."""

GATHERED_FORWARD, GATHERED_BACK = 3, 4
"""Blocks at a time under fsdp: the one at work, the next one, the buffer it came in; going back also a gradient."""

GATHERED_MIXED = 2 * 4 + 4
"""Bytes for each weight of a block going back, where it is gathered in half precision: the gradient is also cast."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Memory:
    """Bytes of one GPU. The parts are not all there at once: ``peak`` is less than their sum."""

    weights: int  # with the average, where one is kept
    gradients: int
    optimiser: int
    copies: int  # autocast's, of the weights in half precision
    gathered: int  # of the shards of other processes
    encoder: int  # activations
    round: int
    peak: int

    @property
    def activations(self) -> int:
        return self.encoder + self.round

    @property
    def needed(self) -> int:
        """With what is not modelled."""
        return round(self.peak * (1 + RESERVE_SHARE)) + RESERVE


def memory(
    work: Workload,
    precision: Precision,
    strategy: Strategy,
    *,
    processes: int = 1,
    accumulate: int = 1,
    average: bool = False,
) -> Memory:
    """What one of ``processes`` GPUs holds. ``average`` says that a moving average of the weights is kept."""
    counts = parameters(work.architecture, work.frozen)
    size = 2 if precision == "bf16-true" else 4
    is_sharded = strategy == "fsdp"
    sharing = processes if is_sharded else 1
    of_encoder = size * -(-counts.trained_encoder // sharing)
    weights = size * (-(-counts.encoder // sharing) + counts.others) * (2 if average else 1)
    gradients = of_encoder + size * counts.trained_others
    is_mixed = precision in ("bf16-mixed", "16-mixed")
    copies = 2 * (counts.cast - (counts.cast_in_blocks if is_sharded else 0)) if is_mixed else 0
    gathered = size * counts.encoder_rest if is_sharded else 0
    block = counts.block if is_sharded else 0
    forward = block * GATHERED_FORWARD * (2 if is_mixed else size)
    back = block * (GATHERED_MIXED if is_mixed else GATHERED_BACK * size)
    encoded = 0 if work.is_frozen("image_encoder") else encoder(work).of(precision)
    rounds = max(round_at_its_end(work, index, precision) for index in range(len(work.rounds)))
    # The encoder's gradients come last, but stay where the next batch adds to them.
    always = weights + 2 * gradients + copies + inputs(work).of(precision) + gathered
    always += gradients if accumulate > 1 else gradients - of_encoder
    new = 0 if accumulate > 1 else size * -(-counts.block // sharing)
    moments = (
        always + encoded + forward,
        always + encoded + rounds,
        always + _way_back(work, precision, new) + back,
        weights + 4 * gradients + copies,
    )
    return Memory(
        weights=weights,
        gradients=gradients,
        optimiser=2 * gradients,
        copies=copies,
        gathered=gathered + back,
        encoder=encoded,
        round=rounds,
        peak=max(moments),
    )


def _way_back(work: Workload, precision: Precision, gradients: int) -> int:
    """The most of activations and new gradients in the encoder, block by block from the last.

    ``gradients`` are the bytes that a block's way back leaves.
    """
    if work.is_frozen("image_encoder"):
        return 0
    a, cells = work.architecture, work.images * work.architecture.grid**2
    at_work = Kept(half=4 * cells * a.width, single=cells * a.width).of(precision)
    entry = Kept(single=cells * a.width).of(precision)
    left, most = encoder(work).of(precision), 0
    for index in reversed(range(a.depth)):
        own = encoder_block(work, index).of(precision)
        most = max(most, left + at_work + (own if work.checkpoint_activations else 0))
        left -= entry if work.checkpoint_activations else own
        left += gradients if work.trains(f"image_encoder.blocks.{index}") else 0
    return most
