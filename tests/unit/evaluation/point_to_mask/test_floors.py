from __future__ import annotations

import numpy as np
import pytest
from jaxtyping import UInt8

from anymask.evaluation.point_to_mask.floors import DISC_RADIUS, FLOORS, disc, flood_fill, grabcut
from anymask.metrics.overlap import iou


def scene(height: int = 80, width: int = 100) -> tuple[UInt8[np.ndarray, "h w 3"], np.ndarray]:
    """A red square of 30 pixels on green, with a little noise, and the square's mask."""
    image = np.full((height, width, 3), (30, 160, 40), dtype=np.uint8)
    mask = np.zeros((height, width), dtype=bool)
    mask[20:50, 30:60] = True
    image[mask] = (200, 40, 50)
    noise = np.random.default_rng(0).integers(-4, 5, image.shape)
    return (image.astype(int) + noise).astype(np.uint8), mask


def clicks(*given: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    together = np.array(given)
    return together[:, :2], together[:, 2]


def test_a_disc_is_the_pixels_within_its_radius() -> None:
    image, _ = scene()
    mask = disc(image, *clicks((50, 40, 1)))
    assert mask.sum() == pytest.approx(np.pi * (DISC_RADIUS * 100) ** 2, rel=0.03)
    assert mask[40, 40]
    assert mask[40, 60]
    assert not mask[40, 61]
    assert not mask[33, 58]


def test_a_background_click_takes_what_is_nearer_to_it() -> None:
    image, _ = scene()
    mask = disc(image, *clicks((50, 40, 1), (56, 40, 0)))
    assert mask[40, 53]
    assert not mask[40, 54]


def test_flood_fill_takes_the_connected_colour() -> None:
    image, square = scene()
    assert iou(flood_fill(image, *clicks((45, 35, 1))), square) > 0.8  # the blur costs it the square's rim
    assert iou(flood_fill(image, *clicks((5, 5, 1))), ~square) > 0.9
    image[:, 44:46] = (30, 160, 40)  # a gap: the right half is not connected
    left = square.copy()
    left[:, 44:] = False
    assert iou(flood_fill(image, *clicks((36, 35, 1))), left) > 0.7


def test_flood_fill_drops_what_a_background_click_fills() -> None:
    image, square = scene()
    both = flood_fill(image, *clicks((45, 35, 1), (5, 5, 1)))
    assert both[5, 90]
    assert iou(flood_fill(image, *clicks((45, 35, 1), (5, 5, 1), (90, 70, 0))), square) > 0.8


@pytest.mark.parametrize("size", [(80, 100), (160, 400)])
def test_grabcut_finds_the_square_at_full_and_at_reduced_size(size: tuple[int, int]) -> None:
    image, square = scene(*size)
    mask = grabcut(image, *clicks((45, 35, 1), (5, 5, 0), (95, 75, 0)))
    assert mask.shape == size
    assert iou(mask, square) > 0.75


@pytest.mark.parametrize("name", FLOORS)
def test_a_floor_is_deterministic_and_takes_clicks_on_every_rim(name: str) -> None:
    image, _ = scene()
    given = clicks((0, 0, 1), (99, 79, 0), (99, 0, 1), (0, 79, 0))
    first = FLOORS[name](image, *given)
    assert first.shape == (80, 100)
    assert first.dtype == bool
    assert np.array_equal(first, FLOORS[name](image, *given))


@pytest.mark.parametrize("name", FLOORS)
@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1)])
def test_a_floor_takes_the_thinnest_images(name: str, size: tuple[int, int]) -> None:
    image = np.full((*size, 3), 90, dtype=np.uint8)
    assert FLOORS[name](image, *clicks((0, 0, 1))).shape == size


@pytest.mark.parametrize("name", FLOORS)
def test_without_a_foreground_click_there_is_no_mask(name: str) -> None:
    image, _ = scene()
    assert not FLOORS[name](image, *clicks((50, 40, 0))).any()
