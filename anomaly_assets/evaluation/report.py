"""Print the metrics of the baseline as a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

from anomaly_assets.datasets.names import shown
from anomaly_assets.evaluation.metrics import LEAST_IMAGES, WEAK_LABELS
from anomaly_assets.evaluation.results import MEASURED
from anomaly_assets.reader.database import explained
from anomaly_assets.reader.open import open_database

_COLUMNS = (
    "category",
    "recipe",
    "image AUROC",
    "AUPRO",
    "false alarms",
    "recall",
    "good",
    "anomalous",
)


def metric_lines(location: str, categories: Sequence[str] = ()) -> Iterator[str]:
    """Yield the lines of a table with the published metrics over all defect types.

    Args:
        location: The published database.
        categories: Only these categories; empty for all.
    """
    with (
        closing(open_database(location)) as database,
        explained(database.location),
        database.opened().cursor() as cursor,
    ):
        found = cursor.execute(_METRICS, {"categories": list(categories)}).fetchall()
        rough = cursor.execute(_ROUGH, {"categories": list(categories), "note": WEAK_LABELS})
        names = [name for (name,) in rough.fetchall()]
    rows = [_cells(row) for row in found]
    if not rows:
        yield "No category has results yet."
        return
    widths = [max(map(len, column)) for column in zip(_COLUMNS, *rows, strict=True)]
    for row in (_COLUMNS, *rows):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        yield "  ".join(cells).rstrip()
    for category, recipe, status, *_ in found:
        if status != MEASURED:
            yield f"{shown(category)} at {recipe} has no number: {status}"
    too_few = {
        category for category, _, status, auroc, *_ in found if status == MEASURED and auroc is None
    }
    if too_few:
        yield (
            f"No number, because it needs {LEAST_IMAGES} good and {LEAST_IMAGES} anomalous test images: "
            f"{', '.join(map(shown, sorted(too_few)))}."
        )
    if names:
        yield f"AUPRO is measured with rough masks, which cover more than the defects: {', '.join(names)}."


def _cells(row: tuple[Any, ...]) -> tuple[str, ...]:
    category, recipe, _, auroc, low, high, aupro, alarms, recall, good, anomalous = row
    interval = f" ({low:.3f} to {high:.3f})" if low is not None else ""
    return (
        shown(category),
        recipe,
        "-" if auroc is None else f"{auroc:.3f}{interval}",
        *("-" if value is None else f"{value:.3f}" for value in (aupro, alarms, recall)),
        str(good),
        str(anomalous),
    )


_METRICS = """
SELECT
    source_dataset || '/' || category,
    recipe,
    any_value(status),
    any_value(value) FILTER (metric = 'image_auroc'),
    any_value(low) FILTER (metric = 'image_auroc'),
    any_value(high) FILTER (metric = 'image_auroc'),
    any_value(value) FILTER (metric = 'aupro'),
    any_value(value) FILTER (metric = 'false_alarm_rate'),
    any_value(value) FILTER (metric = 'recall'),
    any_value(evaluations.images_good),
    any_value(evaluations.images_anomalous)
FROM evaluations
LEFT JOIN (FROM baseline_metrics WHERE defect_type = '') AS metrics USING (source_dataset, category, recipe)
WHERE len($categories) = 0 OR list_contains($categories, category)
GROUP BY source_dataset, category, recipe
ORDER BY source_dataset, category, try_cast(split_part(recipe, 'x', 1) AS INTEGER), recipe
"""

_ROUGH = """
SELECT DISTINCT source_dataset
FROM baseline_metrics
WHERE contains(note, $note) AND (len($categories) = 0 OR list_contains($categories, category))
ORDER BY ALL
"""
