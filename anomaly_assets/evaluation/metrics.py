"""Compute metrics of images from their scores, with bootstrap intervals.

Scores are higher for images that look more anomalous. Equal scores are one threshold: none of these metrics
depends on the order of images. All functions take weights, one row per resample, so that the value and its
interval come from the same code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

LEAST_IMAGES = 10
"""Minimum number of images of each class; below it, a metric has no number."""
RESAMPLES = 1000
"""Resamples of a bootstrap interval."""
SEED = 0

METRICS = (
    *("image_auroc", "image_average_precision", "image_best_f1"),
    *("false_alarm_rate", "recall"),
)
"""Names of the metrics of images; the last two need a threshold."""

TOO_FEW = "too few images"
NO_THRESHOLD = "no threshold"
CHOSEN_ON_TEST = "chosen on test"
WEAK_LABELS = "weak labels"

_AT_ONCE = 2_000_000
"""Weights of resamples in memory at once: 16 MB."""

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Metric = Callable[[Floats, Bools, Floats], Floats]
"""Maps N scores, N labels and R x N weights to R values."""


@dataclass(frozen=True)
class MetricRow:
    """Metric of a category.

    Attributes:
        defect_type: Kind of defect of the anomalous images; the empty string for all kinds.
        metric: Name, such as `image_auroc`.
        value: Value, 0 to 1; None if there are too few images, or no threshold.
        low: Lower end of the 95 % bootstrap interval; None without value.
        high: Upper end.
        images_good: Number of good test images that were measured.
        images_anomalous: Number of anomalous test images that were measured.
        note: Remarks, separated by a semicolon and a space: `too few images`, `chosen on test`,
            `weak labels`, `no threshold`. Empty for none.
    """

    defect_type: str
    metric: str
    value: float | None
    low: float | None
    high: float | None
    images_good: int
    images_anomalous: int
    note: str = ""


def auroc(scores: npt.ArrayLike, anomalous: npt.ArrayLike, weights: Floats | None = None) -> Floats:
    """Return the area under the ROC curve: the probability that an anomalous image scores higher.

    A tie counts one half. The result is NaN if a class has no weight.

    Args:
        scores: N numbers.
        anomalous: N booleans.
        weights: R x N, not negative; None for one row of ones.

    Returns:
        float64, R.
    """
    hits, alarms = _cumulated(scores, anomalous, weights)
    before = np.concatenate([np.zeros((len(hits), 1)), hits[:, :-1]], 1)
    area = (np.diff(alarms, axis=1, prepend=0) * (hits + before) / 2).sum(1)
    return _ratio(area, hits[:, -1] * alarms[:, -1])


def average_precision(
    scores: npt.ArrayLike, anomalous: npt.ArrayLike, weights: Floats | None = None
) -> Floats:
    """Return the sum of precision times increase of recall over all thresholds; see `auroc`."""
    hits, alarms = _cumulated(scores, anomalous, weights)
    precision = _ratio(hits, hits + alarms, 0)
    area = (np.diff(hits, axis=1, prepend=0) * precision).sum(1)
    return np.where(alarms[:, -1] > 0, _ratio(area, hits[:, -1]), np.nan)


def best_f1(
    scores: npt.ArrayLike, anomalous: npt.ArrayLike, weights: Floats | None = None
) -> Floats:
    """Return the highest F1 of all thresholds, so one that is chosen on these images; see `auroc`."""
    hits, alarms = _cumulated(scores, anomalous, weights)
    best = _ratio(2 * hits, hits + alarms + hits[:, -1:], 0).max(1)
    return np.where((hits[:, -1] > 0) & (alarms[:, -1] > 0), best, np.nan)


def false_alarm_rate(threshold: float) -> Metric:
    """Return the metric: fraction of good images with a score above the threshold."""
    return lambda scores, anomalous, weights: _fraction(
        weights[:, ~anomalous], scores[~anomalous] > threshold
    )


def recall(threshold: float) -> Metric:
    """Return the metric: fraction of anomalous images with a score above the threshold."""
    return lambda scores, anomalous, weights: _fraction(
        weights[:, anomalous], scores[anomalous] > threshold
    )


def image_metrics(
    scores: npt.ArrayLike,
    anomalous: npt.ArrayLike,
    defect_types: npt.ArrayLike,
    threshold: float | None,
) -> list[MetricRow]:
    """Return the metrics of all test images, and of each kind of defect against all good test images.

    Args:
        scores: N scores of test images with a known label.
        anomalous: N booleans.
        defect_types: N kinds of defect; those of good images are ignored, an empty one has no row.
        threshold: Score above which an image is called anomalous; None if there is none.
    """
    scores = np.asarray(scores, np.float64)
    is_anomalous = np.asarray(anomalous, bool)
    kinds = np.asarray(defect_types, np.str_)
    rows = []
    for kind in ["", *sorted(set(kinds[is_anomalous].tolist()) - {""})]:
        chosen = ~is_anomalous | (kinds == kind) if kind else np.ones(len(scores), bool)
        some, labels = scores[chosen], is_anomalous[chosen]
        counts = int((~labels).sum()), int(labels.sum())
        if min(counts) < LEAST_IMAGES:
            rows += [MetricRow(kind, each, None, None, None, *counts, TOO_FEW) for each in METRICS]
            continue
        metrics = _metrics(threshold)
        values = [metric(some, labels, np.ones((1, len(some))))[0] for metric in metrics.values()]
        ends = intervals(some, labels, list(metrics.values()))
        for name, value, (low, high) in zip(metrics, values, ends, strict=True):
            note = CHOSEN_ON_TEST if name == "image_best_f1" else ""
            rows.append(MetricRow(kind, name, float(value), low, high, *counts, note))
        rows += [
            MetricRow(kind, name, None, None, None, *counts, NO_THRESHOLD)
            for name in METRICS
            if name not in metrics
        ]
    return rows


def intervals(
    scores: Floats, anomalous: Bools, metrics: Sequence[Metric]
) -> list[tuple[float, float]]:
    """Return the ends of the 95 % percentile bootstrap interval of each metric, stratified by class.

    Args:
        scores: N numbers.
        anomalous: N booleans, with both classes.
        metrics: Metrics, which see the same resamples.
    """
    found = [
        [metric(scores, anomalous, weights) for metric in metrics]
        for weights in resamples(anomalous)
    ]
    ends = np.quantile(np.concatenate(found, axis=1), [0.025, 0.975], axis=1)
    return [(float(low), float(high)) for low, high in ends.T]


def resamples(strata: npt.NDArray[np.generic], seed: int = SEED) -> Iterator[Floats]:
    """Yield 1,000 rows of weights, some at a time: how often each image is drawn from its stratum.

    Args:
        strata: N labels; each stratum keeps its number of images.
        seed: Seed of the random numbers.
    """
    random = np.random.default_rng(seed)
    groups = [np.flatnonzero(strata == stratum) for stratum in np.unique(strata)]
    at_once = max(1, min(RESAMPLES, _AT_ONCE // max(1, len(strata))))
    for start in range(0, RESAMPLES, at_once):
        weights = np.zeros((min(at_once, RESAMPLES - start), len(strata)))
        for group in groups:
            count, rows = len(group), len(weights)
            drawn = random.integers(count, size=(rows, count)) + count * np.arange(rows)[:, None]
            drawn_often = np.bincount(drawn.ravel(), minlength=rows * count)
            weights[:, group] = drawn_often.reshape(rows, count)
        yield weights


def _metrics(threshold: float | None) -> dict[str, Metric]:
    found: dict[str, Metric] = dict(zip(METRICS, (auroc, average_precision, best_f1), strict=False))
    if threshold is not None:
        found |= {"false_alarm_rate": false_alarm_rate(threshold), "recall": recall(threshold)}
    return found


def _cumulated(
    scores: npt.ArrayLike, anomalous: npt.ArrayLike, weights: Floats | None
) -> tuple[Floats, Floats]:
    """Return the weights of anomalous and of good images at or above each distinct score, highest first."""
    values = np.asarray(scores, np.float64)
    labels = np.asarray(anomalous, bool)
    if not len(values):
        return np.zeros((1, 1)), np.zeros((1, 1))
    if not np.isfinite(values).all():
        raise ValueError("Scores must be finite numbers.")
    weights = np.ones((1, len(values))) if weights is None else weights
    order = np.argsort(-values, kind="stable")
    values, labels, weights = values[order], labels[order], weights[:, order]
    last = np.append(np.flatnonzero(np.diff(values)), len(values) - 1)
    hits = np.cumsum(weights * labels, axis=1)[:, last]
    return hits, np.cumsum(weights * ~labels, axis=1)[:, last]


def _fraction(weights: Floats, is_above: Bools) -> Floats:
    return _ratio(weights @ is_above, weights.sum(1))


def _ratio(part: Floats, whole: Floats, without: float = np.nan) -> Floats:
    """Return part / whole, and `without` where the whole is zero."""
    whole = np.broadcast_to(whole, np.shape(part))
    return np.divide(part, whole, out=np.full(np.shape(part), without, np.float64), where=whole > 0)
