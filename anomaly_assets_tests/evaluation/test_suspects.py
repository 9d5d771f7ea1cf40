"""Test which images are listed to be looked at, and in which order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from anomaly_assets.evaluation.detector import CategoryResult, ImageScore
from anomaly_assets.evaluation.metrics import MetricRow
from anomaly_assets.evaluation.protocol import Use
from anomaly_assets.evaluation.suspects import Suspect, suspects_of
from anomaly_assets_tests.evaluation.generated import row


def result(
    bank: list[float],
    anomalous: list[float],
    unknown: list[float],
    auroc: float | None = 0.95,
    threshold: float | None = 20,
) -> CategoryResult:
    scores = []
    for role, label, values in (("bank", 0, bank), ("test", 1, anomalous), ("scored", -1, unknown)):
        for number, value in enumerate(values):
            use = Use(row(f"{role}{number:03}", label=label), role)
            scores.append(ImageScore(use, value, None, None, None, np.zeros(1, np.float32)))
    metrics = (MetricRow("", "image_auroc", auroc, None, None, 10, 10),)
    return CategoryResult(tuple(scores), threshold, None, metrics, {}, None, None, False)


def of_kind(found: list[Suspect], kind: str) -> list[tuple[str, int, bool]]:
    return [(each.image_id, each.rank, each.is_likely) for each in found if each.kind == kind]


def test_good_images_with_the_highest_scores_are_listed_and_only_outliers_are_likely() -> None:
    usual = [10 + number / 100 for number in range(200)]
    found = suspects_of(result([*usual, 50.0, 12.5], [], []))
    listed = of_kind(found, "good_like_anomalous")
    assert len(listed) == 20
    assert listed[:3] == [("bank200", 1, True), ("bank201", 2, False), ("bank199", 3, False)]
    assert (
        found[0].reason
        == "Labelled good, but its score 50.00 is above that of 100% of the good images."
    )


def test_anomalous_images_below_the_threshold_are_listed_lowest_first() -> None:
    bank = [float(number) for number in range(21)]
    found = suspects_of(result(bank, [30, 15, 3], []))
    assert of_kind(found, "anomalous_like_good") == [("test002", 1, True), ("test001", 2, False)]


def test_missed_images_are_compared_with_scores_that_were_made_like_theirs() -> None:
    """Unmasked scores are higher; scores of good test images are computed as those of anomalous ones."""
    of_bank = result([10.0] * 10, [9, 11], [])
    unmasked = tuple(replace(each, unmasked_score=15.0) for each in of_bank.scores)
    found = suspects_of(replace(of_bank, scores=unmasked))
    assert of_kind(found, "anomalous_like_good") == [("test000", 1, True), ("test001", 2, False)]
    assert [each.reason for each in found if each.image_id == "test001"] == [
        "Labelled anomalous, but its score 11.00 is above that of 100% of the good images only."
    ]
    good = [Use(row(f"good{number}"), "test") for number in range(10)]
    tests = [ImageScore(use, 8.0, None, None, None, np.zeros(1, np.float32)) for use in good]
    found = suspects_of(replace(of_bank, scores=(*unmasked, *tests)))
    assert of_kind(found, "anomalous_like_good") == [("test000", 1, False), ("test001", 2, False)]


@pytest.mark.parametrize("auroc", [0.7, None])
def test_low_scores_are_usual_where_the_detector_fails(auroc: float | None) -> None:
    found = suspects_of(result([float(n) for n in range(21)], [3], [], auroc))
    assert of_kind(found, "anomalous_like_good") == [("test000", 1, False)]


def test_unlabelled_images_nearest_to_the_threshold_come_first() -> None:
    found = suspects_of(result([1.0] * 20, [], [5, 19, 22, 60]))
    names = [name for name, _, _ in of_kind(found, "label_first")]
    assert names == ["scored001", "scored002", "scored000", "scored003"]
    assert len(of_kind(suspects_of(result([1.0], [], [1.0] * 300)), "label_first")) == 30


def test_without_a_threshold_nothing_is_listed() -> None:
    assert suspects_of(result([1.0] * 20, [1], [1], threshold=None)) == []
