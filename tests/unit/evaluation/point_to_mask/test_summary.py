from __future__ import annotations

import pytest

from anymask.evaluation.point_to_mask import summary
from anymask.evaluation.point_to_mask.records import Record
from anymask.metrics.overlap import size_class


def record(ious: list[float], *, estimate: float = 0.5, area: int = 100, disc: list[float] | None = None) -> Record:
    return {
        "shard": "a.tar",
        "image": "sa_1",
        "image_size": (10, 10),
        "mask": 0,
        "mask_id": 7,
        "area": area,
        "size_class": size_class(area),
        "model": {
            "clicks": [(0, 0, 1)] * len(ious),
            "ious": ious,
            "oracle_ious": [min(1.0, value + 0.1) for value in ious],
            "predicted_ious": [estimate] * len(ious),
            "masks": {},
        },
        "floors": {"disc": {"clicks": [(0, 0, 1)], "ious": disc or [0.0]}},
    }


def values_of(records: list[Record]) -> list[dict[str, float]]:
    return [summary.model_values(one, report_at=(1, 3), oracle_at=(1,), noc=(0.8, 0.9), limit=20) for one in records]


def test_the_values_of_one_mask() -> None:
    [values] = values_of([record([0.5, 0.85, 0.7])])
    assert values == {"miou@1": 0.5, "miou@3": 0.7, "oracle@1": 0.6, "noc@80": 2.0, "noc@90": 20.0}


def test_means_and_errors_over_masks() -> None:
    values = values_of([record([0.2, 1.0]), record([0.6])])
    assert summary.means(values)["miou@1"] == pytest.approx(0.4)
    assert summary.means(values)["miou@3"] == pytest.approx(0.8)
    assert summary.means(values)["noc@90"] == pytest.approx(11.0)
    assert summary.standard_errors(values)["miou@1"] == pytest.approx(0.2)
    assert summary.standard_errors(values[:1])["miou@1"] is None


def test_by_size_leaves_out_what_there_is_not() -> None:
    records = [record([0.2], area=10), record([0.4], area=20), record([0.9], area=10_000)]
    sizes = summary.by_size(records, values_of(records))
    assert list(sizes) == ["small", "large"]
    assert sizes["small"]["masks"] == 2
    assert sizes["small"]["miou@1"] == pytest.approx(0.3)
    assert sizes["large"]["miou@1"] == pytest.approx(0.9)


def test_calibration_puts_estimates_into_tenths() -> None:
    records = [
        record([0.5], estimate=0.42),
        record([0.7], estimate=0.48),
        record([0.1], estimate=-0.3),
        record([0.9], estimate=1.2),
        record([0.8], estimate=1.0),
    ]
    low, middle, high = summary.calibration(records)
    assert [bin["low"] for bin in (low, middle, high)] == [0.0, 0.4, 0.9]
    assert [bin["masks"] for bin in (low, middle, high)] == [1, 2, 2]
    assert middle["predicted"] == pytest.approx(0.45)
    assert middle["true"] == pytest.approx(0.6)
    assert high["predicted"] == pytest.approx(1.1)


def test_a_model_above_every_floor_is_said_to_beat_them() -> None:
    verdict = summary.verdict({"miou@1": 0.5, "miou@3": 0.6}, {"disc": {"miou@1": 0.3, "miou@3": 0.55}})
    assert verdict["beats_every_floor"] is True
    assert "by at least 0.050" in verdict["sentence"]


@pytest.mark.parametrize("floor", [0.6, 0.7])
def test_one_floor_that_is_as_good_at_one_click_is_enough_and_is_named(floor: float) -> None:
    floors = {"disc": {"miou@1": 0.3, "miou@3": 0.1}, "grabcut": {"miou@1": 0.1, "miou@3": floor}}
    verdict = summary.verdict({"miou@1": 0.5, "miou@3": 0.6}, floors)
    assert verdict["beats_every_floor"] is False
    assert "has learned nothing useful" in verdict["sentence"]
    assert f"grabcut at click 3 (mean IoU 0.600 against {floor:.3f})" in verdict["sentence"]
    assert "disc" not in verdict["sentence"]


def test_without_floors_nothing_is_claimed() -> None:
    assert summary.verdict({"miou@1": 0.9}, {})["beats_every_floor"] is None


def test_a_floor_is_read_at_the_clicks_it_was_given() -> None:
    assert summary.floor_values(record([0.5], disc=[0.1, 0.3]), "disc", (1, 2, 3)) == {
        "miou@1": 0.1,
        "miou@2": 0.3,
        "miou@3": 0.3,
    }
