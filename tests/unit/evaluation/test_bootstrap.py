from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from anymask.evaluation.bootstrap import bootstrap_errors


def mean(values: Sequence[float]) -> dict[str, float | None]:
    return {"mean": float(np.mean(values))}


def test_of_a_mean_it_is_the_standard_error() -> None:
    values = np.random.default_rng(0).normal(size=400).tolist()
    errors = bootstrap_errors(values, mean, draws=2000)
    assert errors["mean"] == pytest.approx(np.std(values) / 20, rel=0.05)


def test_it_is_the_same_every_time_and_another_with_another_seed() -> None:
    values = [1.0, 2.0, 5.0]
    assert bootstrap_errors(values, mean, draws=9) == bootstrap_errors(values, mean, draws=9)
    assert bootstrap_errors(values, mean, draws=9) != bootstrap_errors(values, mean, draws=9, seed=1)


@pytest.mark.parametrize(("values", "draws"), [([1.0], 50), ([1.0, 2.0], 0)])
def test_there_is_none_of_one_image_and_of_no_draw(values: list[float], draws: int) -> None:
    assert bootstrap_errors(values, mean, draws=draws) == {}


def test_draws_without_the_metric_do_not_count() -> None:
    def share(values: Sequence[float]) -> dict[str, float | None]:
        some = [value for value in values if value > 0]
        return {"share": sum(some) / len(some) if some else None, "never": None}

    errors = bootstrap_errors([0.0, 1.0, 1.0], share, draws=100)
    assert errors == {"share": 0.0, "never": None}
