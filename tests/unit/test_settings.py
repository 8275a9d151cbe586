from __future__ import annotations

from collections.abc import Iterator

import pytest
from hydra import compose, initialize_config_dir

from anymask.cli import CONF
from anymask.configuration import typed
from anymask.errors import UserError
from anymask.settings import Evaluation


@pytest.fixture(autouse=True)
def _conf() -> Iterator[None]:
    with initialize_config_dir(str(CONF / "evaluate"), version_base="1.3"):
        yield


def settings(*overrides: str) -> Evaluation:
    return typed(compose("evaluate", overrides=list(overrides)), Evaluation)


@pytest.mark.parametrize("task", ["point_to_mask", "edges", "proposals"])
def test_one_task_is_chosen_by_its_name(task: str) -> None:
    assert settings(f"task={task}", "checkpoint=a.pth", "data=b").tasks == [task]


def test_all_are_chosen_together_and_each_may_have_data_of_its_own() -> None:
    chosen = settings("task=all", "checkpoint=a", "data=b", "data_of.edges=c", "detections=d")
    assert chosen.tasks == ["point_to_mask", "edges", "proposals", "instance_segmentation"]
    assert [chosen.data_for(task) for task in chosen.tasks] == ["b", "c", "b", "b"]


def test_the_defaults_of_the_files_are_those_of_the_code() -> None:
    chosen = settings("task=all", "checkpoint=a", "data=b", "detections=d")
    for task in chosen.tasks:
        own = getattr(chosen, task)
        assert own == type(own)()


def test_predictions_need_no_model() -> None:
    assert settings("task=edges", "data=b", "predictions=maps").checkpoint is None


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ((), "checkpoint=…, data=…"),
        (("task=instance_segmentation", "checkpoint=a", "data=b"), "detections=…"),
        (("task=all", "checkpoint=a", "detections=b", "data_of.edges=c"), "data=…"),
        (("task=all", "data=a", "detections=b", "predictions=c"), "checkpoint=…"),
        (("task=edges", "data=b"), "checkpoint=…"),
    ],
)
def test_what_is_missing_is_named(overrides: tuple[str, ...], said: str) -> None:
    with pytest.raises(UserError, match=f"^give a value for {said}$"):
        settings(*overrides)


@pytest.mark.parametrize("unused", ["predictions=maps", "detections=boxes.json", "data_of.edges=c", "images=folder"])
def test_what_no_task_looks_at_is_refused(unused: str) -> None:
    with pytest.raises(UserError, match="leave it out"):
        settings("checkpoint=a", "data=b", unused)


def test_the_sets_of_the_paper_are_for_point_to_mask() -> None:
    assert settings("checkpoint=a", "data=sa23", "root=there").is_over_sets
    assert not settings("checkpoint=a", "data=./sa23").is_over_sets
    own = ("data=instances.json", "images=c", "detections=d", "data_of.edges=e")
    assert settings("task=all", "checkpoint=a", *own, "data_of.point_to_mask=sa23").is_over_sets


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (("task=edges", "data=sa23"), "data='sa23' is for task=point_to_mask: name other data for edges"),
        (("task=all", "detections=d", "data=sa23"), "name other data for edges"),
        (("task=all", "detections=d", "data=b", "data_of.proposals=sa23"), "name other data for proposals"),
        (("data=some/shards", "root=there"), "root='there' is for data=sa23: leave it out, or say data=sa23"),
        (("task=edges", "data=b", "root=there"), "root='there' is for data=sa23"),
        (("data=sa23", "images=photographs"), "images='photographs' is for data in COCO's form"),
    ],
)
def test_the_sets_of_the_paper_are_for_nothing_else(overrides: tuple[str, ...], said: str) -> None:
    with pytest.raises(UserError) as caught:
        settings("checkpoint=a", *overrides)
    assert said in str(caught.value)


def test_a_comparison_needs_nothing_else() -> None:
    assert settings("compare=[a,b]").compare == ["a", "b"]
