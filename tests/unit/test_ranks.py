from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from anymask.errors import UserError
from anymask.ranks import ALONE, Ranks
from tests.processes import in_processes


@pytest.mark.parametrize("world", [1, 2, 3, 7])
def test_every_item_is_one_process_s(world: int) -> None:
    shares = [Ranks(rank, world).share_of(5) for rank in range(world)]
    assert shares == [len(list(range(5))[rank::world]) for rank in range(world)]
    assert sum(shares) == 5


def test_a_process_alone_gathers_its_own() -> None:
    assert ALONE.gather("this") == ["this"]


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """``environment(RANK=3)``: of this and SLURM's variables only those given are set; what follows is undone."""

    def setenv(**variables: object) -> None:
        for name in [name for name in os.environ if name.startswith("SLURM_")]:
            monkeypatch.delenv(name)
        for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "GROUP_RANK", "LOCAL_WORLD_SIZE"):
            monkeypatch.setenv(name, "")  # so that it is removed in the end
            monkeypatch.delenv(name)
        for name, value in variables.items():
            monkeypatch.setenv(name, str(value))

    return setenv


TASK = {
    "SLURM_PROCID": 13,
    "SLURM_STEP_NUM_TASKS": 16,
    "SLURM_LOCALID": 5,
    "SLURM_NODEID": 1,
    "SLURM_STEP_TASKS_PER_NODE": "8(x2)",
}


def test_what_srun_says_is_said_as_torchrun_would(environment: Callable[..., None]) -> None:
    environment(**TASK)
    assert Ranks.of_environment() == Ranks(13, 16)
    assert Ranks.local() == 5
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "GROUP_RANK", "LOCAL_WORLD_SIZE")
    assert [os.environ[name] for name in names] == ["13", "16", "5", "1", "8"]


def test_torchrun_is_believed_first(environment: Callable[..., None]) -> None:
    environment(**TASK, RANK=1, WORLD_SIZE=2)
    assert Ranks.of_environment() == Ranks(1, 2)


def test_a_single_task_is_a_process_alone(environment: Callable[..., None]) -> None:
    environment(**TASK | {"SLURM_PROCID": 0, "SLURM_STEP_NUM_TASKS": 1})
    assert Ranks.of_environment() == ALONE
    assert "RANK" not in os.environ


def _first(outcome: str) -> object:
    def give() -> str:
        assert os.environ["RANK"] == "0", "another one was asked"
        if outcome == "mistake":
            raise UserError("it does not fit")
        return outcome

    with Ranks.joined() as ranks:
        try:
            return ranks.first(give)
        except (UserError, SystemExit) as error:
            return repr(error)


@pytest.mark.slow
def test_what_the_first_one_gives_all_have() -> None:
    assert in_processes(3, _first, "given") == ["given"] * 3
    assert in_processes(2, _first, "mistake") == ["UserError('it does not fit')", "SystemExit(1)"]
