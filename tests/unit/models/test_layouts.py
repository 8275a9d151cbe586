from __future__ import annotations

from dataclasses import replace

import pytest

from anymask.errors import UserError
from anymask.models.layouts import architecture_of, resized
from anymask.models.sam import build


def test_the_architecture_that_weights_have_is_that_of_another_size() -> None:
    sam = build("tiny", image_size=192)
    found = architecture_of(sam.state_dict())
    assert found == sam.architecture
    assert resized(found, 256) == replace(sam.architecture, image_size=256) == build("tiny").architecture


def test_weights_whose_window_is_their_grid_are_not_resized() -> None:
    """All their blocks look global: at another size the windows used to be lost without a word."""
    found = architecture_of(build("tiny", image_size=128).state_dict())
    assert (found.window, found.grid, found.global_blocks) == (8, 8, (0, 1, 2, 3))
    with pytest.raises(UserError, match=r"128 pixels cannot be resized to 256: their windows .* \(8 patches\)"):
        resized(found, 256)
