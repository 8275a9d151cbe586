from __future__ import annotations

import pytest

from anymask.ranks import ALONE, Ranks


@pytest.mark.parametrize("world", [1, 2, 3, 7])
def test_every_item_is_one_process_s(world: int) -> None:
    shares = [Ranks(rank, world).share_of(5) for rank in range(world)]
    assert shares == [len(list(range(5))[rank::world]) for rank in range(world)]
    assert sum(shares) == 5


def test_a_process_alone_gathers_its_own() -> None:
    assert ALONE.gather("this") == ["this"]
