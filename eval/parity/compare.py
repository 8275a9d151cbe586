"""Ours beside a reference with the same weights: how far apart every mask logit and every estimated IoU lie.

    python eval/parity/compare.py --random vit_b
    python eval/parity/compare.py --ours outputs/latest/checkpoints/final.ckpt --theirs sam-vit-base/
    python eval/parity/compare.py --ours sam_vit_b.pth --theirs sam_vit_b.pth --reference segment-anything

``--random`` writes one set of random weights to a file and gives it to both. The exit status is 1 where anything
differs by more than 1e-4.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar
from unittest import mock

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from anymask.errors import UserError
from anymask.models.checkpoints import load, save
from anymask.models.sam import AMBIGUOUS, ARCHITECTURES, SINGLE, Sam, build
from anymask.structures import Label, Prompts

LARGEST_DIFFERENCE = 1e-4
PROMPTS = 2  # of each kind

Result = TypeVar("Result")


def main() -> None:
    """Print one line for the encoder and one for each kind of prompt."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = _pair(arguments, Path(folder))
    print(f"{arguments.reference}, {ours.image_size} px, torch {torch.__version__}, {torch.get_num_threads()} threads")
    print(f"{'':28}{'logits':>10}{'IoUs':>10}{'spread':>10}{'ours':>9}{'theirs':>9}")
    worst = 0.0
    for row in compare(ours, theirs):
        print(f"{row.name:28}{row.values:10.1e}{row.ious:10.1e}{row.spread:10.2f}{row.seconds:8.2f}s{row.theirs:8.2f}s")
        worst = max(worst, row.values, row.ious)
    print(f"largest difference {worst:.1e}, allowed {LARGEST_DIFFERENCE:.0e}")
    sys.exit(int(not worst <= LARGEST_DIFFERENCE))  # a NaN fails


@dataclass(frozen=True, kw_only=True)
class Question:
    """N prompts on one image, as a user of either side would put them; model frame."""

    points: Float[Tensor, "n k 2"] | None = None
    labels: Int[Tensor, "n k"] | None = None
    boxes: Float[Tensor, "n 4"] | None = None
    masks: Float[Tensor, "n q q"] | None = None
    multimask: bool


@dataclass(frozen=True, kw_only=True)
class Row:
    """The largest absolute differences, the standard deviation of the reference's values, and the times."""

    name: str
    values: float  # of the embedding or of the mask logits
    ious: float
    spread: float
    seconds: float
    theirs: float


class Reference(Protocol):
    """The other implementation."""

    def encode(self, pixels: Float[Tensor, "1 3 s s"]) -> Float[Tensor, "1 c g g"]: ...

    def decode(
        self, embedding: Float[Tensor, "1 c g g"], question: Question
    ) -> tuple[Float[Tensor, "n m q q"], Float[Tensor, "n m"]]: ...


@torch.no_grad()
def compare(ours: Sam, theirs: Reference) -> Iterator[Row]:
    """A row for the encoder and one for each kind of prompt. Each side decodes its own embedding."""
    image, size = _photograph(ours.image_size)
    embedding, seconds = _timed(lambda: ours.encode(image[None], torch.tensor([size])))
    embedding_theirs, seconds_theirs = _timed(lambda: theirs.encode(_pixels(image, size)))
    yield Row(
        name="embedding",
        values=float((embedding - embedding_theirs).abs().max()),
        ious=0.0,
        spread=float(embedding_theirs.std()),
        seconds=seconds,
        theirs=seconds_theirs,
    )
    for name, question in questions(ours).items():
        yield _asked(name, question, ours, embedding, theirs, embedding_theirs)


def questions(sam: Sam) -> dict[str, Question]:
    """Every kind of prompt, with one and with three outputs."""
    draw = torch.Generator().manual_seed(2)
    points = (torch.rand(PROMPTS, 3, 2, generator=draw) * sam.image_size).floor()
    labels = torch.tensor([[Label.FOREGROUND, Label.BACKGROUND, Label.FOREGROUND]] * PROMPTS)
    corners = (torch.rand(PROMPTS, 2, 2, generator=draw) * sam.image_size).floor().sort(dim=1).values
    boxes = corners.flatten(1)
    masks = 5 * torch.randn(PROMPTS, sam.mask_size, sam.mask_size, generator=draw)
    kinds: dict[str, dict[str, Tensor]] = {
        "one point": {"points": points[:, :1], "labels": labels[:, :1]},
        "three points": {"points": points, "labels": labels},
        "box": {"boxes": boxes},
        "points and box": {"points": points, "labels": labels, "boxes": boxes},
        "mask": {"masks": masks},
        "mask and points": {"masks": masks, "points": points, "labels": labels},
        "mask and box": {"masks": masks, "boxes": boxes},
    }
    return {
        f"{kind}, {3 if multimask else 1} out": Question(**prompt, multimask=multimask)
        for kind, prompt in kinds.items()
        for multimask in (False, True)
    }


def _asked(name: str, question: Question, ours: Sam, embedding: Tensor, theirs: Reference, other: Tensor) -> Row:
    outputs = AMBIGUOUS if question.multimask else SINGLE
    decoded, seconds = _timed(lambda: ours.decode(embedding, _prompts(question), outputs=outputs))
    (logits, ious), seconds_theirs = _timed(lambda: theirs.decode(other, question))
    assert logits.shape == decoded.logits.shape
    return Row(
        name=name,
        values=float((decoded.logits - logits).abs().max()),
        ious=float((decoded.ious - ious).abs().max()),
        spread=float(logits.std()),
        seconds=seconds,
        theirs=seconds_theirs,
    )


def _prompts(question: Question) -> Prompts:
    """In our terms: a box is two points, and points without a box have a padding point beside them."""
    points, labels = torch.zeros(PROMPTS, 0, 2), torch.zeros(PROMPTS, 0, dtype=torch.int64)
    if question.points is not None and question.labels is not None:
        points, labels = question.points, question.labels
    if question.boxes is not None:
        corners = torch.tensor([[Label.CORNER_TOP_LEFT, Label.CORNER_BOTTOM_RIGHT]] * PROMPTS)
        points = torch.cat([points, question.boxes.view(-1, 2, 2)], dim=1)
        labels = torch.cat([labels, corners], dim=1)
    elif question.points is not None:
        points = torch.cat([points, torch.zeros(PROMPTS, 1, 2)], dim=1)
        labels = torch.cat([labels, torch.full((PROMPTS, 1), Label.PADDING)], dim=1)
    image_index = torch.zeros(PROMPTS, dtype=torch.int64)
    return Prompts(image_index=image_index, points=points, labels=labels, masks=question.masks)


class Transformers:
    """``transformers.SamModel``, from a folder."""

    def __init__(self, folder: Path) -> None:
        from transformers import SamModel

        self.model = SamModel.from_pretrained(folder, dtype=torch.float32).eval()

    def encode(self, pixels: Float[Tensor, "1 3 s s"]) -> Float[Tensor, "1 c g g"]:
        embedding: Tensor = self.model.get_image_embeddings(pixels)
        return embedding

    def decode(
        self, embedding: Float[Tensor, "1 c g g"], question: Question
    ) -> tuple[Float[Tensor, "n m q q"], Float[Tensor, "n m"]]:
        """Each prompt goes as an image of its own, because a mask prompt belongs to an image there."""
        q = question
        answer = self.model(
            image_embeddings=embedding.expand(PROMPTS, -1, -1, -1),
            input_points=None if q.points is None else q.points[:, None],
            input_labels=None if q.labels is None else q.labels[:, None],
            input_boxes=None if q.boxes is None else q.boxes[:, None],
            input_masks=None if q.masks is None else q.masks[:, None],
            multimask_output=q.multimask,
        )
        return answer.pred_masks[:, 0], answer.iou_scores[:, 0]


class SegmentAnything:
    """Meta's own code, from a file of the official layout; the architecture is that of ``ours``."""

    def __init__(self, path: Path, ours: Sam) -> None:
        a = ours.architecture
        modeling = _segment_anything()
        transformer = modeling.TwoWayTransformer(
            depth=a.decoder_depth, embedding_dim=a.dim, mlp_dim=a.mlp_dim, num_heads=a.decoder_heads
        )
        self.model = modeling.Sam(
            modeling.ImageEncoderViT(
                img_size=a.image_size,
                patch_size=a.patch_size,
                embed_dim=a.width,
                depth=a.depth,
                num_heads=a.heads,
                out_chans=a.dim,
                norm_layer=partial(nn.LayerNorm, eps=1e-6),
                use_rel_pos=True,
                window_size=a.window,
                global_attn_indexes=a.global_blocks,
            ),
            modeling.PromptEncoder(a.dim, (a.grid, a.grid), (a.image_size, a.image_size), mask_in_chans=16),
            modeling.MaskDecoder(transformer_dim=a.dim, transformer=transformer, iou_head_hidden_dim=a.iou_dim),
        ).eval()
        self.model.load_state_dict(torch.load(path, weights_only=True))

    def encode(self, pixels: Float[Tensor, "1 3 s s"]) -> Float[Tensor, "1 c g g"]:
        embedding: Tensor = self.model.image_encoder(pixels)
        return embedding

    def decode(
        self, embedding: Float[Tensor, "1 c g g"], question: Question
    ) -> tuple[Float[Tensor, "n m q q"], Float[Tensor, "n m"]]:
        encoder = self.model.prompt_encoder
        points = None if question.points is None else (question.points, question.labels)
        masks = None if question.masks is None else question.masks[:, None]
        sparse, dense = encoder(points=points, boxes=question.boxes, masks=masks)
        logits, ious = self.model.mask_decoder(
            image_embeddings=embedding,
            image_pe=encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=question.multimask,
        )
        return logits, ious


def _segment_anything() -> Any:
    """Its modules; what they import from torchvision is for preparing images and never called here."""
    names = ["", ".ops", ".ops.boxes", ".transforms", ".transforms.functional"]
    with mock.patch.dict(sys.modules, {f"torchvision{name}": mock.MagicMock() for name in names}):
        from segment_anything import modeling
    return modeling


def randomise(sam: Sam) -> Sam:
    """Random weights of which none is without effect: the position tables and biases too are drawn, not zero."""
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in sam.named_parameters():
            noise = torch.randn(parameter.shape, generator=draw)
            if "rel_pos" in name or parameter.ndim == 1:
                parameter.add_(noise, alpha=0.2)
            elif "image_encoder" not in name and parameter.ndim == 2:
                parameter.copy_(noise * 1.5 / parameter.shape[1] ** 0.5)
    return sam.eval()


def _pair(arguments: argparse.Namespace, folder: Path) -> tuple[Sam, Reference]:
    """Both models. What the reference cannot read is brought into its layout in ``folder`` first."""
    theirs = arguments.theirs
    if arguments.random:
        theirs = folder / "random.pth"
        torch.manual_seed(0)
        save(randomise(build(arguments.random, image_size=arguments.image_size)), theirs)
    ours = load(theirs if arguments.random else arguments.ours)
    if arguments.reference == "transformers":
        if not theirs.is_dir():
            save(load(theirs), folder / "transformers")
            theirs = folder / "transformers"
        return ours, Transformers(theirs)
    if theirs.suffix != ".pth":
        save(load(theirs), folder / "official.pth")
        theirs = folder / "official.pth"
    return ours, SegmentAnything(theirs, ours)


def _photograph(side: int) -> tuple[UInt8[Tensor, "3 s s"], tuple[int, int]]:
    """Noise that fills three quarters of the square; the rest is padding."""
    image = torch.zeros(3, side, side, dtype=torch.uint8)
    size = (3 * side // 4, side)
    image[:, : size[0]] = torch.randint(0, 256, (3, *size), generator=torch.Generator().manual_seed(0))
    return image, size


def _pixels(image: UInt8[Tensor, "3 s s"], size: tuple[int, int]) -> Float[Tensor, "1 3 s s"]:
    """As the reference's own preprocessing leaves them: normalised by ImageNet's statistics, then padded with zeros."""
    mean, deviation = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[..., None, None]
    pixels = torch.zeros(1, *image.shape)
    pixels[..., : size[0], : size[1]] = (image[:, : size[0], : size[1]] / 255 - mean) / deviation
    return pixels


def _timed(function: Callable[[], Result]) -> tuple[Result, float]:
    start = time.perf_counter()
    return function(), time.perf_counter() - start


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--random", choices=list(ARCHITECTURES), help="random weights of this model in both")
    parser.add_argument("--image-size", type=int, help="of the random model, in pixels")
    parser.add_argument("--ours", type=Path, help="weights for ours, in any layout")
    parser.add_argument("--theirs", type=Path, help="weights for the reference: a folder of transformers or a .pth")
    parser.add_argument("--reference", choices=["transformers", "segment-anything"], default="transformers")
    arguments = parser.parse_args()
    if bool(arguments.random) == bool(arguments.ours and arguments.theirs):
        parser.error("give either --random or both --ours and --theirs")
    return arguments


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
