"""Compare metrics of images with the definitions, written out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomaly_assets.evaluation.metrics import (
    CHOSEN_ON_TEST,
    TOO_FEW,
    auroc,
    average_precision,
    best_f1,
    image_metrics,
    intervals,
    resamples,
)

scored = st.lists(
    st.tuples(st.sampled_from([0.0, 0.5, 1.0, 2.0, 1e30]) | st.floats(-3, 3), st.booleans()),
    max_size=25,
)


def by_pairs(scores: list[float], labels: list[bool]) -> float:
    good = [score for score, label in zip(scores, labels, strict=True) if not label]
    bad = [score for score, label in zip(scores, labels, strict=True) if label]
    if not good or not bad:
        return float("nan")
    return sum((b > g) + (b == g) / 2 for b in bad for g in good) / (len(good) * len(bad))


def by_thresholds(scores: list[float], labels: list[bool]) -> tuple[float, float]:
    """Return average precision and the best F1."""
    if not any(labels) or all(labels):
        return float("nan"), float("nan")
    precisions, found, best = 0.0, 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        above = [label for score, label in zip(scores, labels, strict=True) if score >= threshold]
        recall = sum(above) / sum(labels)
        precisions += (recall - found) * sum(above) / len(above)
        found = recall
        best = max(best, 2 * sum(above) / (len(above) + sum(labels)))
    return precisions, best


@given(scored)
def test_metrics_equal_their_definitions_with_ties_and_with_one_class(
    images: list[tuple[float, bool]],
) -> None:
    scores, labels = [score for score, _ in images], [label for _, label in images]
    expected = by_pairs(scores, labels), *by_thresholds(scores, labels)
    found = [metric(scores, labels)[0] for metric in (auroc, average_precision, best_f1)]
    assert found == pytest.approx(list(expected), abs=1e-12, nan_ok=True)


@pytest.mark.slow
@given(scored.filter(bool), st.integers(0, 99))
def test_a_weight_counts_like_copies_of_the_image(
    images: list[tuple[float, bool]], seed: int
) -> None:
    scores = np.asarray([score for score, _ in images])
    labels = np.asarray([label for _, label in images])
    weights = np.random.default_rng(seed).integers(0, 4, len(scores))
    for metric in (auroc, average_precision, best_f1):
        [copies] = metric(scores.repeat(weights), labels.repeat(weights))
        [weighted] = metric(scores, labels, weights[None].astype(np.float64))
        assert weighted == pytest.approx(copies, abs=1e-12, nan_ok=True)


def test_scores_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        auroc([1, float("nan")], [True, False])


def test_all_kinds_and_each_kind_have_rows_and_few_images_have_no_number() -> None:
    scores = [*range(10), *range(5, 15), *range(9)]
    labels = [False] * 10 + [True] * 19
    kinds = ["ignored"] * 10 + ["crack"] * 10 + ["dent"] * 9
    rows = image_metrics(scores, labels, kinds, threshold=8.5)
    found = {(row.defect_type, row.metric): row for row in rows}
    assert len(rows) == 3 * 5
    assert found["", "image_auroc"].value == by_pairs(list(scores), labels)
    assert (found["", "recall"].value, found["crack", "recall"].value) == (6 / 19, 0.6)
    assert found["", "false_alarm_rate"].value == 0.1
    crack = found["crack", "image_best_f1"]
    assert (crack.images_good, crack.images_anomalous, crack.note) == (10, 10, CHOSEN_ON_TEST)
    assert crack.low is not None
    assert crack.high is not None
    assert crack.value is not None
    assert 0 < crack.low <= crack.value <= crack.high <= 1
    dent = found["dent", "image_auroc"]
    assert (dent.value, dent.low, dent.images_anomalous, dent.note) == (None, None, 9, TOO_FEW)


def test_without_a_threshold_its_metrics_have_no_number() -> None:
    rows = image_metrics(range(20), [False] * 10 + [True] * 10, [""] * 20, None)
    assert [row.metric for row in rows if row.value is None] == ["false_alarm_rate", "recall"]
    assert {row.note for row in rows if row.value is None} == {"no threshold"}


def test_every_resample_keeps_the_number_of_each_stratum() -> None:
    strata = np.asarray(["a"] * 3 + ["b"] * 5)
    weights = np.concatenate(list(resamples(strata)))
    assert weights.shape == (1000, 8)
    assert set(weights[:, :3].sum(1)) == {3}
    assert set(weights[:, 3:].sum(1)) == {5}
    np.testing.assert_allclose(weights.mean(0), 1, atol=0.1)


def test_an_interval_is_the_same_each_time_and_covers_the_truth() -> None:
    random = np.random.default_rng(0)
    labels = np.repeat([False, True], 40)
    covered = 0
    for _ in range(60):
        scores = random.normal(labels * 1.0)
        [(low, high)] = intervals(scores, labels, [auroc])
        covered += low <= 0.7602 <= high  # Phi(1 / sqrt(2))
    assert covered >= 51  # 95 % of 60 are 57; 51 or fewer happen once in 100
    assert intervals(scores, labels, [best_f1, auroc])[1] == (low, high)
