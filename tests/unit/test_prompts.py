from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest
import torch
from torch import Tensor

from anymask.draws import Draws
from anymask.errors import UserError
from anymask.prompts import BoxNoise, FirstPrompt, FirstPromptKind, Objects, error_click
from anymask.structures import Label

SIDE, CELL = 16, 4  # a lattice of 16 x 16 cells, four pixels wide, over a frame of 64 x 64


def _draws(number: int) -> Draws:
    return Draws(torch.arange(number))


def _ell() -> Tensor:
    """An L of 9 cells; its column 5 is three times as long as its row."""
    mask = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    mask[3:10, 5] = True
    mask[9, 5:8] = True
    return mask


def _objects(targets: Tensor, boxes: Tensor | None = None, *, frame: int = SIDE * CELL) -> Objects:
    number = len(targets)
    return Objects(
        targets=targets,
        boxes=torch.tensor([[20.0, 12, 31, 39]]).expand(number, 4) if boxes is None else boxes,
        image_index=torch.arange(number),
        content=torch.ones_like(targets),
        sizes=torch.tensor([[frame, frame]]).expand(number, 2),
        image_size=frame,
        mask_size=SIDE,
        draws=_draws(number),
    )


def _ells(number: int) -> Objects:
    return _objects(_ell().expand(number, SIDE, SIDE))


def _blobs(number: int, seed: int = 0) -> Tensor:
    """Random smooth shapes, none empty."""
    noise = torch.randn(number, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))
    smooth = torch.nn.functional.avg_pool2d(noise, 5, stride=1, padding=2)[:, 0]
    return smooth > smooth.flatten(1).quantile(0.6, dim=1)[:, None, None]


def _only(kind: str) -> FirstPrompt:
    return FirstPrompt(weights={kind: 1.0})


def _hits(masks: Tensor, points: Tensor) -> Tensor:
    """Whether each point lies in a cell of its mask."""
    column, row = (points / CELL).long().unbind(dim=1)
    return masks[torch.arange(len(masks)), row, column]


def _excess(counts: Tensor) -> float:
    """Pearson's chi-square against equal counts, in standard deviations above its mean."""
    expected, freedom = counts.sum() / len(counts), len(counts) - 1
    return float((((counts - expected) ** 2 / expected).sum() - freedom) / (2 * freedom) ** 0.5)


def test_points_are_uniform_in_the_mask_and_in_its_cells() -> None:
    prompts = _only("point").draw(_ells(9 * 16 * 20))
    points = prompts.points[:, 0].long()
    assert prompts.labels.unique(dim=0).tolist() == [[Label.FOREGROUND, Label.PADDING]]
    cells, counts = (points // CELL).unique(dim=0, return_counts=True)
    assert {(x, y) for x, y in cells.tolist()} == {(int(x), int(y)) for y, x in _ell().nonzero().tolist()}
    assert _excess(counts) < 4
    within, counts = (points % CELL).unique(dim=0, return_counts=True)
    assert len(within) == CELL**2
    assert _excess(counts) < 4


def test_equal_objects_get_points_of_their_own() -> None:
    points = _only("point").draw(_ells(2)).points[:, 0]
    assert not torch.equal(points[0], points[1])


@pytest.mark.parametrize("kind", get_args(FirstPromptKind))
def test_the_same_objects_get_the_same_prompts(kind: str) -> None:
    first, again = (_only(kind).draw(_objects(_blobs(8))) for _ in range(2))
    assert torch.equal(first.points, again.points)
    assert torch.equal(first.labels, again.labels)
    assert (first.masks is None) == (again.masks is None)
    assert first.masks is None or (again.masks is not None and torch.equal(first.masks, again.masks))


def test_a_draw_at_the_very_end_of_a_cell_stays_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    objects = _objects(torch.ones(1, 256, 256, dtype=torch.bool), frame=1024)
    monkeypatch.setattr(Draws, "uniform", lambda _, columns: torch.full((1, columns), 1 - 2**-53, dtype=torch.float64))
    points = objects.random_points(torch.tensor([[255, 200]]))
    assert points.tolist() == [[1023, 803]]


def _deepest(mask: Tensor) -> tuple[int, int]:
    """(column, row) of the cell farthest from every cell outside, in reading order."""
    outside = [(y, x) for y in range(-1, SIDE + 1) for x in range(-1, SIDE + 1)]
    outside = [(y, x) for y, x in outside if not (0 <= y < SIDE and 0 <= x < SIDE and mask[y, x])]
    best, place = 0, (0, 0)
    for row, column in mask.nonzero().tolist():
        distance = min((row - y) ** 2 + (column - x) ** 2 for y, x in outside)
        if distance > best:
            best, place = distance, (column, row)
    return place


def test_the_centre_point_is_the_deepest_pixel() -> None:
    masks = _blobs(6)
    points = _only("centre_point").draw(_objects(masks)).points[:, 0]
    assert points.tolist() == [[x * CELL + 2, y * CELL + 2] for x, y in map(_deepest, masks)]


def test_grid_points_are_uniform_on_the_lattice_within_the_mask() -> None:
    masks = torch.zeros(900, SIDE, SIDE, dtype=torch.bool)
    masks[:, 1:8, 1:12] = True  # of the rows and columns 2 6 10 14: two rows, three columns
    prompt = FirstPrompt(weights={"grid_point": 1.0}, grid=4)
    points, counts = (prompt.draw(_objects(masks)).points[:, 0] // CELL).unique(dim=0, return_counts=True)
    assert points.tolist() == [[x, y] for x in (2, 6, 10) for y in (2, 6)]
    assert _excess(counts) < 4


def test_a_mask_between_the_grid_points_gets_one_of_its_own() -> None:
    masks = torch.zeros(1, SIDE, SIDE, dtype=torch.bool)
    masks[0, 4, 4] = True
    points = FirstPrompt(weights={"grid_point": 1.0}, grid=4).draw(_objects(masks)).points[:, 0]
    assert (points // CELL).tolist() == [[4, 4]]


def _noise(kind: str, side: float, number: int = 20_000) -> Tensor:
    boxes = torch.tensor([[400.0, 400.0, 399 + side, 399 + side]]).expand(number, 4)
    return BoxNoise(kind=kind).of(boxes, 1024, _draws(number))  # type: ignore[arg-type]


def test_gaussian_box_noise_is_a_tenth_of_the_side_and_at_most_twenty_pixels() -> None:
    for side, deviation in ((20, 2.0), (100, 10.0), (400, 40.0)):
        noise = _noise("gaussian", side)
        assert noise.abs().max() <= 20
        limit = torch.distributions.Normal(0, deviation).cdf(torch.tensor(-20.0)) * 2
        assert (noise.abs() == 20).float().mean().item() == pytest.approx(limit.item(), abs=0.01)
        inner = noise.abs().quantile(0.25).item()  # a quarter of a normal lies within .3186 deviations
        assert inner == pytest.approx(0.3186 * deviation, rel=0.05)
    assert _noise("gaussian", 100)[:, 0].corrcoef().item() == 1
    assert torch.corrcoef(_noise("gaussian", 100).t()).fill_diagonal_(0).abs().max() < 0.03  # each coordinate its own


def test_uniform_box_noise_stays_within_its_bound() -> None:
    for side, bound in ((20, 2.0), (400, 20.0)):
        noise = _noise("uniform", side)
        counts = torch.histc(noise, bins=10, min=-bound, max=bound)
        assert counts.sum() == noise.numel()
        assert _excess(counts) < 4


def test_the_noise_shrinks_with_the_frame() -> None:
    boxes = torch.tensor([[0.0, 0, 255, 255]]).expand(1000, 4)
    assert BoxNoise().of(boxes, 256, _draws(1000)).abs().max() == 5


def test_noisy_boxes_stay_in_the_photograph_and_keep_their_corners_in_order() -> None:
    number = 2000
    boxes = torch.tensor([[0.0, 0, 63, 31], [30, 5, 30, 5]]).repeat(number // 2, 1)  # the photograph; one pixel
    sizes = torch.tensor([[32, 64]]).expand(number, 2)
    objects = replace(_objects(_blobs(1).expand(number, -1, -1), boxes), sizes=sizes)
    noisy = FirstPrompt(weights={"box": 1.0}, box_noise=BoxNoise(share=0.5)).draw(objects)
    assert noisy.labels.unique(dim=0).tolist() == [[Label.CORNER_TOP_LEFT, Label.CORNER_BOTTOM_RIGHT]]
    first, last = noisy.points.unbind(dim=1)
    assert (first >= 0).all()
    assert (last <= torch.tensor([63, 31])).all()
    assert (first <= last).all()
    assert not torch.equal(noisy.points.flatten(1), boxes)


def test_a_tight_box_is_the_box_and_a_loose_one_reaches_out() -> None:
    boxes = torch.tensor([[20.0, 12, 39, 31]]).expand(2000, 4)  # 20 x 20
    objects = _objects(_blobs(1).expand(2000, -1, -1), boxes)
    assert torch.equal(_only("tight_box").draw(objects).points.flatten(1), boxes)
    outwards = (_only("loose_box").draw(objects).points.flatten(1) - boxes) * torch.tensor([-1, -1, 1, 1])
    assert outwards.min() >= 0
    assert 3.9 < outwards.max() <= 4  # a fifth of the side
    assert outwards.mean().item() == pytest.approx(2, abs=0.1)


def test_box_and_point_gives_both() -> None:
    masks = _blobs(50)
    prompts = _only("box_and_point").draw(_objects(masks))
    kinds = [Label.FOREGROUND, Label.CORNER_TOP_LEFT, Label.CORNER_BOTTOM_RIGHT]
    assert prompts.labels.unique(dim=0).tolist() == [kinds]
    assert _hits(masks, prompts.points[:, 0]).all()
    assert (prompts.points[:, 1] <= prompts.points[:, 2]).all()


def _drawn_masks(kind: str, masks: Tensor) -> Tensor:
    prompts = _only(kind).draw(_objects(masks))
    assert (prompts.labels == Label.ABSENT).all()  # no click comes with a mask
    assert prompts.masks is not None
    assert set(prompts.masks.unique().tolist()) <= {-10.0, 10.0}
    return prompts.masks > 0


def _square(number: int) -> Tensor:
    masks = torch.zeros(number, SIDE, SIDE, dtype=torch.bool)
    masks[:, 3:13, 3:13] = True  # 10 x 10: a reach of up to two cells
    return masks


def test_a_dilated_mask_grows_by_up_to_a_fifth_of_its_size() -> None:
    grown = _drawn_masks("dilated_mask", _square(200))
    assert grown[:, 3:13, 3:13].all()
    across = grown[:, 8].sum(dim=1)
    assert set(across.tolist()) == {10, 12}  # a reach below 1, a reach from 1 to 2
    assert not grown[:, 0].any()  # the edge of the frame is no object to grow from


def test_an_eroded_mask_shrinks() -> None:
    shrunk = _drawn_masks("eroded_mask", _square(200))
    assert not (shrunk & ~_square(200)).any()
    assert set(shrunk[:, 8].sum(dim=1).tolist()) == {10, 8}


def test_a_partial_mask_is_what_lies_on_one_side_of_a_line() -> None:
    masks = _square(400)
    part = _drawn_masks("partial_mask", masks)
    share = part.sum(dim=(1, 2)) / 100
    assert not (part & ~masks).any()
    assert share.min() > 0
    assert share.mean().item() == pytest.approx(0.5, abs=0.06)
    assert share.std() > 0.15
    rows, columns = part.any(dim=2), part.any(dim=1)
    assert (rows.sum(dim=1) < 10).any()
    assert (columns.sum(dim=1) < 10).any()


def test_kinds_are_drawn_by_their_weights_for_each_object() -> None:
    first = FirstPrompt(weights={"point": 3.0, "tight_box": 1.0, "dilated_mask": 1.0, "box_and_point": 0.0})
    prompts = first.draw(_ells(4000))
    rows, counts = prompts.labels.unique(dim=0, return_counts=True)
    assert rows.tolist() == [[Label.ABSENT] * 2, [Label.FOREGROUND, Label.PADDING], [2, 3]]
    assert (counts / 4000).tolist() == pytest.approx([0.2, 0.6, 0.2], abs=0.03)
    assert prompts.has_mask is not None
    assert torch.equal(prompts.has_mask, prompts.labels[:, 0] == Label.ABSENT)


def test_shorter_prompts_are_filled_with_absent_points() -> None:
    prompts = FirstPrompt(weights={"tight_box": 1.0, "box_and_point": 1.0}).draw(_ells(50))
    assert prompts.labels.unique(dim=0).tolist() == [[1, 2, 3], [2, 3, Label.ABSENT]]


def test_a_first_prompt_is_a_point_or_a_box_as_often() -> None:
    labels = FirstPrompt().draw(_ells(4000)).labels
    assert (labels[:, 0] == Label.FOREGROUND).float().mean().item() == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ({"pont": 1.0}, r"unknown kinds of first prompt \['pont'\]: there are point, "),
        ({"point": 0.0}, "must be positive"),
        ({"point": 1.0, "box": -0.5}, "must be positive"),
    ],
)
def test_wrong_weights_are_refused(weights: dict[str, float], said: str) -> None:
    with pytest.raises(UserError, match=said):
        FirstPrompt(weights=weights)


def _halves(number: int) -> tuple[Objects, Tensor]:
    """Truth in columns 4 to 8, prediction in columns 6 to 11: two columns missing, three too many; rows 2 to 14."""
    truth, predicted = torch.zeros(2, number, SIDE, SIDE, dtype=torch.bool)
    truth[:, 2:14, 4:9] = True
    predicted[:, 2:14, 6:12] = True
    return _objects(truth), predicted


def test_error_clicks_are_uniform_in_the_error_and_say_what_is_wrong() -> None:
    objects, predicted = _halves(6000)
    points, labels = error_click(objects, predicted, place="uniform", from_truth=0.0)
    assert _hits(objects.targets ^ predicted, points).all()
    assert torch.equal(labels == Label.FOREGROUND, _hits(objects.targets, points))
    assert set(labels.tolist()) == {Label.FOREGROUND, Label.BACKGROUND}
    _, counts = (points // CELL).unique(dim=0, return_counts=True)
    assert len(counts) == 12 * 5
    assert _excess(counts) < 4


def test_a_centre_click_is_in_the_middle_of_the_larger_error() -> None:
    objects, predicted = _halves(1)
    points, labels = error_click(objects, predicted, place="centre", from_truth=0.0)
    assert labels.tolist() == [Label.BACKGROUND]
    assert points.tolist() == [[10 * CELL + 2, 3 * CELL + 2]]  # three columns wide: the first cell two from the outside
    points, labels = error_click(objects, objects.targets & predicted, place="centre", from_truth=0.0)
    assert labels.tolist() == [Label.FOREGROUND]
    assert points.tolist() == [[4 * CELL + 2, 2 * CELL + 2]]


@pytest.mark.parametrize("place", ["uniform", "centre"])
def test_a_perfect_prediction_gets_no_click(place: str) -> None:
    objects, predicted = _halves(3)
    predicted[1] = objects.targets[1]
    _, labels = error_click(objects, predicted, place=place, from_truth=0.0)  # type: ignore[arg-type]
    assert labels[1] == Label.ABSENT
    assert (labels[[0, 2]] >= 0).all()


def test_what_is_predicted_on_the_padding_is_no_error() -> None:
    objects, predicted = _halves(200)
    content = torch.ones_like(predicted)
    content[:, :, 9:] = False
    points, labels = error_click(replace(objects, content=content), predicted, place="uniform", from_truth=0.0)
    assert (labels == Label.FOREGROUND).all()
    assert (points[:, 0] < 6 * CELL).all()


def test_some_clicks_come_from_the_truth() -> None:
    objects, predicted = _halves(4000)
    predicted[:2000] = objects.targets[:2000]
    points, labels = error_click(objects, predicted, place="uniform", from_truth=0.1)
    clicked = labels[:2000] != Label.ABSENT
    assert clicked.float().mean().item() == pytest.approx(0.1, abs=0.03)
    assert (labels[:2000][clicked] == Label.FOREGROUND).all()
    assert _hits(objects.targets[:2000], points[:2000])[clicked].all()
    correct = _hits(objects.targets & predicted, points)[2000:]  # 3 of the 5 columns of the truth
    assert correct.float().mean().item() == pytest.approx(0.1 * 3 / 5, abs=0.03)
