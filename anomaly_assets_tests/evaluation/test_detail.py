"""Test the paired comparison of two recipes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from anomaly_assets.evaluation.detail import Detail, detail_of
from anomaly_assets.evaluation.metrics import auroc

Floats = npt.NDArray[np.float64]


def simulated(random: np.random.Generator, count: int, common: float, finest: float) -> Detail:
    """Return the comparison of correlated scores; `common` and `finest` are distances of the classes."""
    labels = np.repeat([False, True], count)
    shared = random.normal(size=2 * count)
    scores = [
        0.7 * shared + 0.7 * random.normal(size=2 * count) + labels * distance
        for distance in (common, finest)
    ]
    found = detail_of(scores[0], scores[1], labels)
    assert found is not None
    return found


@pytest.mark.parametrize("distance", [0.0, 1.0, 2.5])
@pytest.mark.parametrize("count", [10, 20, 75])
def test_false_alarms_are_rare_without_a_difference(count: int, distance: float) -> None:
    random = np.random.default_rng(count)
    alarms = sum(not simulated(random, count, distance, distance).is_kept for _ in range(400))
    assert alarms <= 20  # 5 %


def test_a_loss_of_exactly_the_limit_is_reported_in_one_of_twenty_cases_at_most() -> None:
    random = np.random.default_rng(0)
    # AUROC is Phi(distance / 1.4): 0.80 and 0.85.
    alarms = sum(not simulated(random, 75, 1.178, 1.451).is_kept for _ in range(400))
    assert alarms <= 32  # 5 % of 400 are 20, with a standard deviation of 4.4


def test_a_large_loss_is_found() -> None:
    random = np.random.default_rng(0)
    found = [simulated(random, 40, 0, 3) for _ in range(50)]
    assert not any(each.is_kept for each in found)
    assert all(each.low < each.finest - each.common < each.high for each in found)


def test_the_better_recipe_may_be_the_common_one() -> None:
    random = np.random.default_rng(0)
    found = simulated(random, 40, 3, 0)
    assert found.is_kept
    assert found.high < 0


@pytest.mark.slow
def test_the_interval_is_that_of_a_bootstrap() -> None:
    random = np.random.default_rng(5)
    labels = np.repeat([False, True], 60)
    shared = random.normal(size=120)
    one, other = (shared + random.normal(size=120) + labels * lift for lift in (0.5, 1.5))
    found = detail_of(one, other, labels)
    assert found is not None
    assert found.common == pytest.approx(auroc(one, labels)[0])
    assert found.finest == pytest.approx(auroc(other, labels)[0])
    differences = []
    for _ in range(2000):
        chosen = np.concatenate([random.integers(0, 60, 60), random.integers(60, 120, 60)])
        differences.append(
            auroc(other[chosen], labels[chosen])[0] - auroc(one[chosen], labels[chosen])[0]
        )
    np.testing.assert_allclose(
        (found.low, found.high), np.quantile(differences, [0.05, 0.95]), atol=0.015
    )


def test_equal_and_perfect_scores_have_no_difference() -> None:
    labels = np.repeat([False, True], 10)
    ties = detail_of(np.ones(20), np.ones(20), labels)
    assert ties == Detail(0.5, 0.5, 0, 0)
    assert detail_of(labels, labels, labels) == Detail(1, 1, 0, 0)


def test_few_images_are_not_compared() -> None:
    labels = np.repeat([False, True], [9, 30])
    assert detail_of(np.arange(39), np.arange(39), labels) is None
