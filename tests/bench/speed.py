"""How fast ours is beside ``transformers.SamModel`` (sdpa) with the same weights: in one process, taking turns.

    python tests/bench/speed.py encoder decoder rounds --repeats 5

Printed are the medians and their ratio, by the clock and in CPU seconds; on a shared machine the second is the one to
trust. README.md says what exactly is compared.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import SamModel

from anymask.draws import Draws
from anymask.losses import LossWeights, mask_losses
from anymask.matching import Matching
from anymask.models.checkpoints import save
from anymask.models.sam import AMBIGUOUS, ARCHITECTURES, Sam, build
from anymask.prompts import FirstPrompt, Objects
from anymask.rounds import Rounds, play
from anymask.structures import Decoded, Label, Prompts

Pair = tuple[Callable[[], Any], Callable[[], Any]]
HF_ABSENT = -10  # the nearest there is: a token of zeros, which is still attended to


def main() -> None:
    """Print a line for each benchmark that was asked for."""
    arguments = _arguments()
    torch.manual_seed(0)
    ours = build(arguments.model).to(arguments.device).eval()
    theirs = _transformers(ours)
    print(f"{arguments.model}, {ours.image_size} px, {arguments.device}, {torch.get_num_threads()} threads")
    print(f"{'':10}{'ours':>9}{'theirs':>9}{'ratio':>7}{'ours':>13}{'theirs':>9}{'ratio':>7}{'load':>8}")
    for name in arguments.what:
        pair = BENCHMARKS[name](ours, theirs, arguments)
        clock, cpu = _medians(pair, arguments.repeats, torch.device(arguments.device))
        load = os.getloadavg()[0]
        print(f"{name:10}{_columns(clock)}    {_columns(cpu)} (CPU){load:8.1f}", flush=True)


def encoder(ours: Sam, theirs: Any, arguments: argparse.Namespace) -> Pair:
    """One photograph, without gradients."""
    image = torch.randint(0, 256, (1, 3, ours.image_size, ours.image_size), dtype=torch.uint8, device=ours.device)
    size = torch.tensor([[ours.image_size, ours.image_size]], device=ours.device)
    statistics_of_imagenet = torch.tensor([[123.675, 116.28, 103.53], [58.395, 57.12, 57.375]], device=ours.device)
    mean, deviation = statistics_of_imagenet[..., None, None]
    pixels = (image - mean) / deviation

    @torch.no_grad()
    def run_ours() -> Tensor:
        return ours.encode(image, size)

    def run_theirs() -> Tensor:
        embedding: Tensor = theirs.get_image_embeddings(pixels)
        return embedding

    return run_ours, run_theirs


def decoder(ours: Sam, theirs: Any, arguments: argparse.Namespace) -> Pair:
    """Many points on one image, three masks for each, without gradients."""
    number = arguments.prompts
    embedding = _embedding(ours)
    points = torch.rand(number, 1, 2, device=ours.device) * ours.image_size
    prompts = Prompts(
        image_index=torch.zeros(number, dtype=torch.int64, device=ours.device),
        points=torch.cat([points, torch.zeros_like(points)], dim=1),
        labels=torch.tensor([[Label.FOREGROUND, Label.PADDING]] * number, device=ours.device),
    )
    labels = torch.ones(1, number, 1, dtype=torch.int64, device=ours.device)

    @torch.no_grad()
    def run_ours() -> Tensor:
        return ours.decode(embedding, prompts, outputs=AMBIGUOUS).logits

    @torch.no_grad()
    def run_theirs() -> Tensor:
        answer = theirs(image_embeddings=embedding, input_points=points[None], input_labels=labels)
        masks: Tensor = answer.pred_masks[0]
        return masks

    return run_ours, run_theirs


def rounds(ours: Sam, theirs: Any, arguments: argparse.Namespace) -> Pair:
    """The eleven rounds of a training step on one image, each with its backward pass down to the embedding.

    Schedule, clicks, matching and loss are the same code on both sides: only the decoder is another one.
    """
    objects, embedding = _objects(ours, arguments.objects), _embedding(ours)

    def decode_ours(leaf: Tensor, prompts: Prompts, outputs: slice) -> Decoded:
        return ours.decode(leaf, prompts, outputs=outputs)

    def decode_theirs(leaf: Tensor, prompts: Prompts, outputs: slice) -> Decoded:
        return _decode_with_transformers(theirs, leaf, prompts, outputs)

    return lambda: _step(decode_ours, objects, embedding), lambda: _step(decode_theirs, objects, embedding)


BENCHMARKS = {"encoder": encoder, "decoder": decoder, "rounds": rounds}


def _step(decode: Callable[[Tensor, Prompts, slice], Decoded], objects: Objects, embedding: Tensor) -> int:
    """The number of rounds; gradients are no common answer, since a pixel on the threshold moves all later clicks."""
    leaf = embedding.clone().requires_grad_()
    objects = replace(objects, draws=_draws(objects.targets))
    first, matching = FirstPrompt(weights={"point": 1.0}), Matching()
    for turn in play(Rounds(), first, objects, lambda prompts, outputs: decode(leaf, prompts, outputs)):
        losses, _ = mask_losses(turn.decoded.logits, turn.decoded.ious, objects.targets)
        weighted = LossWeights().of(losses)
        terms = matching.terms(weighted, matching.nearest(weighted, turn.allowed), turn.allowed)
        torch.stack(list(terms.values())).sum().backward()
    return turn.number + 1


def _decode_with_transformers(theirs: Any, embedding: Tensor, prompts: Prompts, outputs: slice) -> Decoded:
    """Each object goes as an image of its own, because a mask prompt belongs to an image there.

    It adds the padding point by itself, so ours (the second of a point) is left out.
    """
    kept = [0, *range(2, prompts.labels.shape[1])]
    labels = prompts.labels[:, kept]
    answer = theirs(
        image_embeddings=embedding.expand(len(labels), -1, -1, -1),
        input_points=prompts.points[:, None, kept],
        input_labels=labels.where(labels != Label.ABSENT, HF_ABSENT)[:, None],
        input_masks=None if prompts.masks is None else prompts.masks[:, None],
        multimask_output=outputs == AMBIGUOUS,
    )
    return Decoded(answer.pred_masks[:, 0], answer.iou_scores[:, 0])


def _objects(sam: Sam, number: int) -> Objects:
    """Discs of a quarter of the frame."""
    side = sam.mask_size
    place = torch.arange(side, device=sam.device)
    centres = (side / 4 + torch.rand(number, 2, device=sam.device) * side / 2)[..., None, None]
    inside = (place[:, None] - centres[:, 0]) ** 2 + (place - centres[:, 1]) ** 2 < (side / 8) ** 2
    return Objects(
        targets=inside,
        boxes=torch.zeros(number, 4, device=sam.device),
        image_index=torch.zeros(number, dtype=torch.int64, device=sam.device),
        content=torch.ones_like(inside),
        sizes=torch.full((number, 2), sam.image_size, device=sam.device),
        image_size=sam.image_size,
        mask_size=side,
        draws=_draws(inside),
    )


def _draws(masks: Tensor) -> Draws:
    return Draws(torch.arange(len(masks), device=masks.device))


def _embedding(sam: Sam) -> Tensor:
    a = sam.architecture
    return torch.randn(1, a.dim, a.grid, a.grid, device=sam.device)


def _transformers(ours: Sam) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        save(ours, Path(folder) / "sam")
        model = SamModel.from_pretrained(Path(folder) / "sam", attn_implementation="sdpa", dtype=torch.float32)
    return model.to(ours.device).eval()


def _medians(pair: Pair, repeats: int, device: torch.device) -> tuple[list[float], list[float]]:
    """(ours, theirs) by the clock and in CPU seconds, after one run of each that must agree."""
    torch.testing.assert_close(pair[0](), pair[1](), rtol=1e-2, atol=1e-3)
    times = [[_timed(function, device) for function in pair] for _ in range(repeats)]
    clock, cpu = ([statistics.median(turn[side][kind] for turn in times) for side in (0, 1)] for kind in (0, 1))
    return clock, cpu


def _timed(function: Callable[[], Any], device: torch.device) -> tuple[float, float]:
    start = time.perf_counter(), time.process_time()
    function()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start[0], time.process_time() - start[1]


def _columns(seconds: list[float]) -> str:
    return f"{seconds[0]:8.3f}s{seconds[1]:8.3f}s{seconds[1] / seconds[0]:6.2f}x"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("what", nargs="+", choices=list(BENCHMARKS))
    parser.add_argument("--model", choices=list(ARCHITECTURES), default="vit_b")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--prompts", type=int, default=64, help="of the decoder")
    parser.add_argument("--objects", type=int, default=8, help="of the rounds")
    return parser.parse_args()


if __name__ == "__main__":
    main()
