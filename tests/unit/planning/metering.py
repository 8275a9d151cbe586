"""What a training step does, counted on the model itself: its operations and the bytes that are alive at a time.

The model lies on the meta device, so that ViT-H at 1024 pixels costs nothing; it takes the way of an accelerator there.
Two things of CUDA are put in the place of meta's own: the fused attention kernels, and which operations autocast runs
in half precision and which in single (https://docs.pytorch.org/docs/2.13/amp.html, the lists for CUDA).
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from anymask.losses import LossWeights, mask_losses
from anymask.matching import Matching
from anymask.models.sam import AMBIGUOUS, EVERY, SINGLE, Sam, build
from anymask.models.vit import Block
from anymask.planning.workload import Workload
from anymask.prompts import FirstPrompt
from anymask.regions import resize_logits
from anymask.structures import Batch, Prompts
from anymask.training.optim import Optimisation
from anymask.training.sam_module import SamModule

IN_HALF = {
    F.linear, torch.matmul, Tensor.matmul, Tensor.__matmul__, torch.bmm, torch.baddbmm, torch.einsum,
    F.conv2d, torch.conv2d,
}  # fmt: skip
IN_SINGLE = {F.layer_norm, torch.softmax, Tensor.softmax, Tensor.pow, F.softplus, Tensor.sum, torch.sum, F.interpolate}


class AutocastOfCuda(TorchFunctionMode):
    """Autocast to bfloat16 as CUDA has it, on any device; parameters are cast once and kept, as in one step."""

    def __init__(self, is_on: bool) -> None:
        super().__init__()
        self.is_on = is_on
        self.kept: dict[int, Tensor] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self.is_on and (func in IN_HALF or func in IN_SINGLE):
            to = self.half if func in IN_HALF else self.single
            args, kwargs = tree_map(to, args), tree_map(to, kwargs)
        return func(*args, **kwargs)

    def half(self, value: Any) -> Any:
        if not isinstance(value, Tensor) or value.dtype != torch.float32:
            return value
        if not (value.is_leaf and value.requires_grad):
            return value.bfloat16()
        if id(value) not in self.kept:
            self.kept[id(value)] = value.bfloat16()
        return self.kept[id(value)]

    @staticmethod
    def single(value: Any) -> Any:
        return value.float() if isinstance(value, Tensor) and value.dtype == torch.bfloat16 else value


class Alive(TorchDispatchMode):
    """The bytes of all tensors that operations made and nobody has let go, now and at most."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.known: set[int] = set()
        self.now = self.most = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor):
                self.add(tensor)
        return out

    def add(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self.known:
            return
        self.known.add(key)
        weakref.finalize(storage, self._gone, key, storage.nbytes())
        self.now += storage.nbytes()
        self.most = max(self.most, self.now)

    def _gone(self, key: int, size: int) -> None:
        self.known.discard(key)
        self.now -= size


def fused_attention(
    q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None = None, scale: float | None = None
) -> Any:
    """The kernels that CUDA takes: flash in half precision, channels in eights; else the memory-efficient one."""
    if attn_mask is not None or q.dtype == torch.float32:
        bias = None
        if attn_mask is not None:
            bias = torch.zeros(attn_mask.shape, dtype=q.dtype, device=q.device).masked_fill(~attn_mask, float("-inf"))
            bias = bias.expand(q.shape[0], q.shape[1], q.shape[2], k.shape[2])
        needs = any(t.requires_grad for t in (q, k, v))
        out = torch.ops.aten._scaled_dot_product_efficient_attention(q, k, v, bias, needs, scale=scale)
        return out[0]
    dim = q.shape[-1]
    q, k, v = (F.pad(t, (0, -dim % 8)) if dim % 8 else t for t in (q, k, v))
    return torch.ops.aten._scaled_dot_product_flash_attention(q, k, v, scale=scale)[0][..., :dim]


@contextmanager
def as_on_cuda(precision: str) -> Iterator[None]:
    """Kernels and autocast of CUDA, for a model on the meta device."""
    autocast = AutocastOfCuda(precision in ("bf16-mixed", "16-mixed"))

    def attention(q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None = None, scale: float = 0.0) -> Tensor:
        cast = autocast.half if autocast.is_on else _same
        return fused_attention(cast(q), cast(k), cast(v), attn_mask, scale or None)

    @contextmanager
    def switched(device: str, *, enabled: bool) -> Iterator[None]:
        before, autocast.is_on = autocast.is_on, autocast.is_on and enabled
        yield
        autocast.is_on = before

    forward = Block.forward

    def again(block: Block, tokens: Tensor) -> Tensor:
        """What checkpointing runs on the way back is out of reach of a mode that was entered around all of it."""
        with autocast:
            return forward(block, tokens)

    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(F, "scaled_dot_product_attention", attention))
        stack.enter_context(mock.patch.object(torch, "autocast", switched))
        if autocast.is_on:
            stack.enter_context(mock.patch.object(Block, "forward", again))
            stack.enter_context(autocast)
        if precision == "bf16-true":
            torch.set_default_dtype(torch.bfloat16)
            stack.callback(torch.set_default_dtype, torch.float32)
        yield


def _same(tensor: Tensor) -> Tensor:
    return tensor


def model(name: str, precision: str = "32-true", **options: Any) -> Sam:
    """On the meta device."""
    with torch.device("meta"), mock.patch.object(torch.nn.init, "trunc_normal_", lambda tensor, **_: tensor):
        sam = build(name, **options)
    return sam.bfloat16() if precision == "bf16-true" else sam


def prompts_of(work: Workload, index: int, sam: Sam) -> tuple[Prompts, slice]:
    """What the prompts of a round look like, and the outputs that it asks for."""
    number, points = work.objects, work.points(index)
    zeros = partial(torch.zeros, device=sam.device)
    prompts = Prompts(
        image_index=zeros(number, dtype=torch.long),
        points=zeros(number, points, 2),
        labels=zeros(number, points, dtype=torch.long),
        masks=zeros(number, sam.mask_size, sam.mask_size) if work.has_masks(index) else None,
    )
    return prompts, {1: SINGLE, 3: AMBIGUOUS, 4: EVERY}[work.outputs(index)]


def encode(sam: Sam, images: int) -> Tensor:
    squares = torch.zeros(images, 3, sam.image_size, sam.image_size, dtype=torch.uint8, device=sam.device)
    return sam.encode(squares, torch.ones(images, 2, dtype=torch.long, device=sam.device))


def loss_of(sam: Sam, leaf: Tensor, work: Workload, index: int, targets: Tensor) -> Tensor:
    prompts, outputs = prompts_of(work, index, sam)
    decoded = sam.decode(leaf, prompts, outputs=outputs)
    losses, _ = mask_losses(resize_logits(decoded.logits, work.lattice), decoded.ious, targets)
    weighted = LossWeights().of(losses)
    terms = Matching().terms(weighted, Matching().nearest(weighted, None), None)
    return torch.stack([terms[name].sum() for name in ("focal", "dice", "iou")]).sum()


def saved_bytes(run: Callable[[], Any], sam: Sam) -> int:
    """Of the storages that a forward pass keeps for the way back, each once, without the parameters."""
    own = {parameter.untyped_storage()._cdata for parameter in sam.parameters()}
    found: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            found[storage._cdata] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        kept = run()
    del kept
    return sum(found.values())


def step(sam: Sam, work: Workload, alive: Alive, *, average: bool = False, accumulate: int = 1) -> int:
    """The most bytes of a training step, as ``SamModule`` makes it; AdamW has made its moments before."""
    kept = [parameter.detach().clone() for parameter in sam.parameters()] if average else []
    for parameter in sam.parameters():
        alive.add(parameter)
    optimiser = torch.optim.AdamW([p for p in sam.parameters() if p.requires_grad], foreach=True)
    for parameter in sam.parameters():
        parameter.grad = torch.zeros_like(parameter) if parameter.requires_grad else None
    optimiser.step()
    optimiser.zero_grad()
    alive.most = alive.now
    for _ in range(accumulate):
        batch(sam, work)
    optimiser.step()
    del kept
    return alive.most


def batch(sam: Sam, work: Workload) -> None:
    """Encode, go through the rounds, each with its way back, and back through the encoder."""
    side = work.lattice
    targets = torch.zeros(work.objects, side, side, dtype=torch.bool, device=sam.device)
    content = torch.zeros_like(targets)
    with torch.set_grad_enabled(any(p.requires_grad for p in sam.image_encoder.parameters())):
        embeddings = encode(sam, work.images)
    leaf = embeddings.detach().requires_grad_(embeddings.requires_grad)
    for index in range(len(work.rounds)):
        loss_of(sam, leaf, work, index, targets).backward()
    if leaf.grad is not None:
        torch.autograd.backward(embeddings, leaf.grad)
    del content


def real_step(sam: Sam, work: Workload) -> tuple[SamModule, Batch]:
    """The module that trains, whose ``training_step`` goes back without a trainer, and a batch of random objects."""
    module = SamModule(
        sam,
        optimisation=Optimisation(steps=1),
        rounds=work.rounds,
        first_prompt=FirstPrompt(),
        loss_weights=LossWeights(),
        matching=Matching(),
        accumulate=2,
        prompts_at_once=work.prompts_at_once,
    )
    module.manual_backward = Tensor.backward  # type: ignore[method-assign]
    draw, side, number = torch.Generator().manual_seed(0), sam.image_size, work.objects
    batch = Batch(
        images=torch.randint(0, 256, (work.images, 3, side, side), dtype=torch.uint8, generator=draw),
        sizes=torch.full((work.images, 2), side),
        image_index=torch.arange(number) % work.images,
        targets=torch.rand(number, work.lattice, work.lattice, generator=draw) < 0.3,
        boxes=torch.tensor([0.0, 0, side - 1, side - 1]).expand(number, 4),
        seeds=torch.arange(number),
        keys=("",) * work.images,
        sources=(),
    )
    return module.train(), batch
