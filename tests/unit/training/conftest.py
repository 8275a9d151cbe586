from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.training import small_run


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What runs of several processes draw from; nobody writes there."""
    return small_run.write_shards(tmp_path_factory.mktemp("small_run") / "shards")
