"""Weights from and to files: the official layout, that of transformers, our training checkpoints, MAE encoders.

Nothing is ever unpickled but tensors and plain containers, and a file either fits to the last key and shape or is
refused with the names of what does not fit.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from anymask.atomic import write_atomically
from anymask.errors import UserError
from anymask.models import layouts
from anymask.models.sam import Sam
from anymask.models.sharded_checkpoint import REST, read_sharded
from anymask.models.torch_files import write_torch_file

__all__ = ["initialise", "load", "read_checkpoint", "save"]

Weights = dict[str, Tensor]

OF_CLICK_ROUNDS = "prompt_encoder.click_round_embed"  # ours alone


def load(path: str | Path, *, image_size: int | None = None) -> Sam:
    """A model in evaluation mode from any of the layouts; the weights tell the architecture.

    ``path`` is an official ``.pth``, a folder of ``transformers.SamModel``, a ``.safetensors`` of either, or a
    checkpoint of our training, of which the averaged weights are taken if it has them. Another ``image_size`` than the
    one of the weights resizes the position tables. Raises UserError where anything does not fit.
    """
    weights = _sam_weights(Path(path))
    sam = _empty_sam(weights, Path(path))
    if image_size is not None and image_size != sam.image_size:
        with torch.device("meta"):
            sam = Sam(layouts.resized(sam.architecture, image_size))
        weights = _fit_tables(weights, sam)
    _refuse_mismatch(weights, sam.state_dict(), Path(path))
    sam.load_state_dict({name: tensor.float() for name, tensor in weights.items()}, assign=True)
    return sam.requires_grad_(True).eval()


def save(sam: Sam, path: str | Path) -> None:
    """Write the weights: ``.pth`` or ``.safetensors`` in the official layout, a folder for ``transformers.SamModel``.

    Raises UserError for another ending, and for a model that transformers cannot express.
    """
    path = Path(path)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in sam.state_dict().items()}
    if path.suffix in (".pth", ".pt"):
        write_atomically(path, lambda part: write_torch_file(weights, part))
    elif path.suffix == ".safetensors":
        write_atomically(path, lambda part: save_file(weights, part))
    elif path.suffix == "":
        if sam.architecture.click_rounds:
            raise UserError("transformers.SamModel has no embedding of the click round: save as .pth or .safetensors")
        path.mkdir(parents=True, exist_ok=True)
        config = json.dumps(layouts.transformers_config(sam.architecture), indent=2)
        theirs = layouts.to_transformers(weights)
        write_atomically(path / "config.json", lambda part: part.write_text(config))
        write_atomically(path / "model.safetensors", lambda part: save_file(theirs, part, {"format": "pt"}))
    else:
        raise UserError(f"cannot save to {path}: it must end in .pth, .pt or .safetensors, or name a folder")


def initialise(sam: Sam, path: str | Path) -> str:
    """Start a model for training from a file: any that ``load`` takes, or an encoder of a masked autoencoder.

    Position tables of another size are resized. From a masked autoencoder everything but the encoder's neck and
    relative positions is expected, and those keep their initial values; so does the embedding of the click's number
    where a file has none. Returns a sentence on what was taken.
    """
    path = Path(path)
    weights = _read_weights(path)
    own = sam.state_dict()
    expected: Mapping[str, Tensor] = own
    if layouts.is_mae(weights):
        weights = layouts.from_mae(weights)
        left = ("image_encoder.neck", "prompt_encoder", "mask_decoder")
        expected = {name: own[name] for name in own if not name.startswith(left) and "rel_pos" not in name}
    elif not any(name.startswith(OF_CLICK_ROUNDS) for name in weights):
        expected = {name: own[name] for name in own if not name.startswith(OF_CLICK_ROUNDS)}
    weights = _fit_tables(weights, sam)
    _refuse_mismatch(weights, expected, path)
    sam.load_state_dict(weights, strict=False)
    return f"{len(expected)} of {len(own)} tensors start from {path}, {len(own) - len(expected)} from random values"


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A file of torch or our folder of several, whole, on the CPU, tensors and plain containers only.

    Raises UserError for anything else.
    """
    if (path / REST).is_file():
        return read_sharded(path, read_checkpoint)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"there is no checkpoint at {path}") from None
    except pickle.UnpicklingError:
        raise UserError(f"{path} is refused: it is no checkpoint, or it could run code when read") from None
    except Exception as error:  # unpickling damaged bytes can raise anything
        reason = str(error).partition("\n")[0] or "it is empty"
        raise UserError(f"{path} cannot be read, it is damaged or cut short: {reason}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path} is no checkpoint: it holds a {type(content).__name__}")
    return content


def _read_weights(path: Path) -> Weights:
    """The tensors of a file or folder, under our names where the layout is known."""
    if path.is_dir() and not (path / REST).is_file():
        names = ("model.safetensors", "pytorch_model.bin")
        inside = [path / name for name in names if (path / name).is_file()]
        if not inside:
            raise UserError(f"the folder {path} has no {' and no '.join(names)}")
        path = inside[0]
    if path.suffix == ".safetensors":
        try:
            content: dict[str, Any] = load_file(path)
        except FileNotFoundError:
            raise UserError(f"there is no checkpoint at {path}") from None
        except (SafetensorError, OSError) as error:
            raise UserError(f"{path} cannot be read, it is damaged or cut short: {error}") from None
    else:
        content = read_checkpoint(path)
    if isinstance(stored := content.get("state_dict"), dict):  # ours: the averaged model if there is one
        prefix = "ema." if any(name.startswith("ema.") for name in stored) else "sam."
        content = {name.removeprefix(prefix): stored[name] for name in stored if name.startswith(prefix)}
    elif isinstance(stored := content.get("model"), dict):  # masked autoencoders are published so
        content = stored
    weights = {name: tensor for name, tensor in content.items() if isinstance(tensor, Tensor)}
    return layouts.from_transformers(weights) if layouts.is_transformers(weights) else weights


def _sam_weights(path: Path) -> Weights:
    weights = _read_weights(path)
    if layouts.is_mae(weights):
        raise UserError(f"{path} is a masked autoencoder, no SAM: it can start a training (init_from={path})")
    return weights


def _empty_sam(weights: Weights, path: Path) -> Sam:
    """A model of the architecture that the weights have, without memory of its own."""
    try:
        architecture = layouts.architecture_of(weights)
        with torch.device("meta"):
            return Sam(architecture)
    except (KeyError, IndexError, ValueError, ZeroDivisionError) as error:
        found = ", ".join(list(weights)[:3]) or "no tensors"
        raise UserError(f"{path} holds no SAM: {error} is missing or misshapen (it has {found} …)") from None


def _fit_tables(weights: Weights, sam: Sam) -> Weights:
    """Position tables resized to those of ``sam``: absolute ones bicubic, relative ones linear along the distance."""
    own = sam.state_dict()
    fitted = dict(weights)
    for name, tensor in weights.items():
        if name not in own or own[name].shape == tensor.shape or own[name].dim() != tensor.dim():
            continue
        if name == "image_encoder.pos_embed":
            side = own[name].shape[1:3]
            grid = tensor.float().permute(0, 3, 1, 2)
            fitted[name] = F.interpolate(grid, side, mode="bicubic", align_corners=False).permute(0, 2, 3, 1)
        elif ".rel_pos_" in name:
            span = own[name].shape[0]
            fitted[name] = F.interpolate(tensor.float().t()[None], span, mode="linear")[0].t()
    return fitted


def _refuse_mismatch(weights: Mapping[str, Tensor], expected: Mapping[str, Tensor], path: Path) -> None:
    misshapen = [
        f"{name} {tuple(weights[name].shape)} instead of {tuple(expected[name].shape)}"
        for name in expected
        if name in weights and weights[name].shape != expected[name].shape
    ]
    complaints = {
        "missing": [name for name in expected if name not in weights],
        "unknown": [name for name in weights if name not in expected],
        "of another shape": misshapen,
    }
    said = [f"{len(names)} {what} ({_some(names)})" for what, names in complaints.items() if names]
    if said:
        raise UserError(f"{path} does not fit this model: {'; '.join(said)}")


def _some(names: list[str]) -> str:
    return ", ".join(names[:4]) + (" …" if len(names) > 4 else "")
