"""A composed configuration as typed values; what does not fit is named with its value."""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec
from omegaconf import DictConfig, OmegaConf

from anymask.errors import UserError

__all__ = ["typed"]

Typed = TypeVar("Typed")


def typed(cfg: DictConfig, kind: type[Typed]) -> Typed:
    """The configuration as typed values.

    Raises UserError that names the key and its value where one is missing, unknown or of the wrong type.
    """
    if missing := OmegaConf.missing_keys(cfg):
        raise UserError(f"give a value for {', '.join(f'{name}=…' for name in sorted(missing))}")
    values = OmegaConf.to_container(cfg, resolve=True)
    try:
        typed = msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        raise UserError(_sentence(str(error), values)) from None
    if unknown := _unknown(values, msgspec.to_builtins(typed)):
        raise UserError(f"there is no setting {', '.join(unknown)}")
    return typed


def _sentence(complaint: str, values: Any) -> str:
    """What msgspec says, the place in the user's words: its key and value, or the table whose key is wrong."""
    reason, _, place = complaint.partition(" - at ")
    path = re.search(r"`\$\.?(.*)`", place)
    if path is None or not path[1]:
        return reason
    if place.startswith("`key` in "):
        return f"{path[1]} has a key that means nothing: {reason}"
    value = _value_at(values, path[1])
    return f"{path[1]}: {reason}" if isinstance(value, dict) else f"{path[1]}={value!r}: {reason}"


def _value_at(values: Any, path: str) -> Any:
    for key in re.findall(r"[^.\[\]]+", path):
        values = values[int(key) if key.isdigit() else key]
    return values


def _unknown(values: Any, known: Any, path: str = "") -> list[str]:
    """Keys of ``values`` that are not in ``known``, at any depth."""
    if isinstance(values, list):
        pairs = zip(values, known, strict=True)
        return [name for i, pair in enumerate(pairs) for name in _unknown(*pair, f"{path.removesuffix('.')}[{i}].")]
    if not isinstance(values, dict):
        return []
    here = [f"{path}{key}" for key in values if key not in known]
    return here + [
        name for key in values if key in known for name in _unknown(values[key], known[key], f"{path}{key}.")
    ]
