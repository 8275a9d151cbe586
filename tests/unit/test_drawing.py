from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import UInt8

from anymask.data.records import decode_image
from anymask.drawing import (
    MISSED,
    PREDICTED,
    TOO_MUCH,
    TRUE,
    View,
    draw_box,
    draw_clicks,
    draw_error,
    jpeg,
    overlay,
    tile,
)

Picture = UInt8[np.ndarray, "h w 3"]


def grey(height: int = 40, width: int = 60) -> Picture:
    return np.full((height, width, 3), 100, dtype=np.uint8)


def test_overlay_tints_the_mask_rims_it_and_leaves_the_rest() -> None:
    mask = np.zeros((40, 60), dtype=bool)
    mask[10:30, 10:30] = True
    picture = overlay(grey(), mask, TRUE)
    assert (picture[20, 20] == np.rint(0.55 * 100 + 0.45 * np.array(TRUE))).all()
    assert tuple(picture[10, 10]) == TRUE
    assert (picture[~mask] == 100).all()


def test_what_is_given_is_not_drawn_on() -> None:
    image, mask = grey(), np.ones((40, 60), dtype=bool)
    overlay(image, mask)
    draw_error(image, mask, ~mask)
    draw_clicks(image, np.array([[5, 5]]), np.array([1]))
    draw_box(image, np.array([1, 1, 20, 20]))
    assert (image == 100).all()


def test_an_empty_mask_leaves_the_picture_as_it_is() -> None:
    assert (overlay(grey(), np.zeros((40, 60), dtype=bool), PREDICTED) == 100).all()


def test_errors_have_two_colours_and_what_is_right_has_none() -> None:
    true = np.zeros((40, 60), dtype=bool)
    predicted = true.copy()
    true[:, :20] = True
    predicted[:, 10:30] = True
    picture = draw_error(grey(), predicted, true).astype(int)
    missed, right, too_much, outside = (picture[5, x] for x in (5, 15, 25, 40))
    assert (right == 100).all()
    assert (outside == 100).all()
    assert abs(missed - np.array(MISSED)).sum() < abs(missed - np.array(TOO_MUCH)).sum()
    assert abs(too_much - np.array(TOO_MUCH)).sum() < abs(too_much - np.array(MISSED)).sum()


def test_clicks_differ_in_shape_not_only_in_colour() -> None:
    """The silhouettes: a disc covers less of its square than a square, and its plus has a vertical arm."""
    drawn = [draw_clicks(grey(61, 61), np.array([[30, 30]]), np.array([label])) for label in (1, 0)]
    foreground, background = ((picture != 100).any(axis=2) for picture in drawn)
    assert not foreground[24, 24]
    assert background[25, 25]
    assert (drawn[0][28, 30] == 255).all()
    assert not (drawn[1][28, 30] == 255).all()


def test_places_without_a_point_are_not_drawn() -> None:
    points, labels = np.array([[0, 0], [9, 9]]), np.array([-1, -2])
    assert (draw_clicks(grey(), points, labels) == 100).all()


def test_clicks_may_lie_on_the_rim_and_between_pixels() -> None:
    picture = draw_clicks(grey(), np.array([[0.0, 0.0], [59.4, 39.4]]), np.array([1, 0]))
    assert (picture[0, 0] != 100).any()
    assert (picture[39, 59] != 100).any()


def test_a_box_is_its_outline() -> None:
    drawn = (draw_box(grey(), np.array([10.0, 5.0, 30.0, 25.0])) != 100).any(axis=2)
    assert drawn[5, 10]
    assert drawn[25, 30]
    assert not drawn[15, 20]
    assert drawn.sum() == 2 * 21 + 2 * 19


def test_tiles_keep_their_pictures_whole_on_white() -> None:
    picture = tile([[grey(10, 20), grey(6, 8)], [grey(5, 5)]])
    assert picture.shape == (10 + 4 + 5, 20 + 4 + 8, 3)
    assert (picture[:10, :20] == 100).all()
    assert (picture[:6, 24:] == 100).all()
    assert (picture[14:, :5] == 100).all()
    assert (picture == 255).all(axis=2).sum() == 19 * 32 - 10 * 20 - 6 * 8 - 5 * 5


def test_a_view_shows_pixels_masks_and_points_at_one_place() -> None:
    """Two by two pixels, shown three times as large: a point in a pixel's centre stays in its centre."""
    view = View(2, 1, 4, 3, (6, 6))
    for x, y in ((2, 1), (3, 1), (2, 2), (3, 2)):
        mask = np.zeros((5, 7), dtype=bool)
        mask[y, x] = True
        shown = view.cut_mask(mask)
        assert (shown.shape, shown.sum()) == ((6, 6), 9)
        assert view.move(np.array([[x, y]])).tolist() == [np.argwhere(shown).mean(axis=0)[::-1].tolist()]
        centres = view.cut(np.where(mask[..., None], 255, 0).repeat(3, axis=2).astype(np.uint8))[1::3, 1::3]
        assert np.array_equal(centres[..., 0], 255 * mask[1:3, 2:4])


def test_a_view_may_be_smaller_than_what_it_shows() -> None:
    image = np.zeros((8, 8, 3), dtype=np.uint8)
    image[::2] = 200  # lines that a picture at half the size has in its mean
    shown = View(0, 0, 8, 4, (2, 4)).cut(image)
    assert shown.shape == (2, 4, 3)
    assert (shown == 100).all()


def test_a_file_holds_rgb() -> None:
    image = np.zeros((16, 16, 3), dtype=np.uint8)
    image[:] = (200, 100, 50)
    data = jpeg(image)
    assert np.abs(decode_image(data).astype(int) - image).max() <= 3
    stored = np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))
    assert np.abs(stored[0, 0].astype(int) - (50, 100, 200)).max() <= 3  # OpenCV's order is BGR
