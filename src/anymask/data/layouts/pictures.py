"""Opens other people's pictures with Pillow, which keeps the indices of a palette."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from PIL import Image

from anymask.data.records import MAX_PIXELS
from anymask.errors import UserError

__all__ = ["open_picture", "photograph_size"]


_DAMAGED = (OSError, ValueError, SyntaxError, EOFError, IndexError, struct.error)
"""What Pillow raises for one file or another."""


@contextmanager
def open_picture(file: Path | BytesIO, name: str) -> Iterator[Image.Image]:
    """A picture whose header was read; its pixels are decoded when they are asked for.

    Raises UserError, also from within the block, where it is absent, damaged or has too many pixels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Pillow: its limit is a higher one, and damage is told below
            with Image.open(file) as picture:
                if picture.width * picture.height > MAX_PIXELS:
                    size = f"{picture.width} x {picture.height} pixels"
                    raise UserError(f"{name} has {size}, over the limit of {MAX_PIXELS}")
                yield picture
    except FileNotFoundError:
        raise UserError(f"there is no {name}") from None
    except (
        OSError,
        ValueError,
        SyntaxError,
        EOFError,
        IndexError,
        struct.error,
        Image.DecompressionBombError,
    ) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{name} is not a picture that can be read") from None


def photograph_size(path: Path) -> tuple[int, int]:
    """Height and width, from the header. Raises UserError where there is no photograph."""
    with open_picture(path, str(path)) as picture:
        return picture.height, picture.width
