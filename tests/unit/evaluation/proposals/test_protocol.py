from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from anymask.errors import UserError
from anymask.evaluation.proposals.protocol import Proposals

OTHER: dict[str, Any] = {
    "points_per_side": 32,
    "box_nms_thresh": 0.7,
    "proposals": 100,
    "ranking": "random",
    "outputs": "single",
}
OF_NO_CONSEQUENCE = {"points_per_batch", "floors"}


def test_the_identifier_tells_every_setting_that_a_number_depends_on() -> None:
    assert {field.name for field in fields(Proposals)} == OTHER.keys() | OF_NO_CONSEQUENCE | {"seed"}
    told = {Proposals(**{name: value}).protocol for name, value in OTHER.items()}
    told |= {Proposals().protocol, Proposals(ranking="random", seed=3).protocol}
    assert len(told) == len(OTHER) + 2
    assert all(protocol.startswith("proposals/1; ") for protocol in told)
    assert Proposals(seed=3).protocol == Proposals().protocol  # nothing is drawn
    assert Proposals(points_per_batch=3, floors=()).protocol == Proposals().protocol


def test_objects_are_counted_up_to_the_last_proposal() -> None:
    assert Proposals(proposals=100).cutoffs == (1, 2, 5, 10, 20, 50, 100)
    assert Proposals().cutoffs[-1] == 1000


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"points_per_side": 0}, "points_per_side must be 1 or more, not 0"),
        ({"points_per_batch": -4}, "points_per_batch must be 1 or more, not -4"),
        ({"box_nms_thresh": 0.0}, "box_nms_thresh must lie above 0 and up to 1, not 0.0"),
        ({"box_nms_thresh": 1.5}, "not 1.5"),
        ({"proposals": 300}, "proposals must be one of 10, 20, 50, 100, 200, 500, 1000, not 300"),
        ({"proposals": 5}, "not 5"),
        ({"seed": -1}, "seed must be 0 or more, not -1"),
        ({"floors": ("boxes", "discs")}, "unknown floor 'discs': there are boxes, felzenszwalb"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        Proposals(**settings)
