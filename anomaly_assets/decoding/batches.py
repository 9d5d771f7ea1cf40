"""Split stale images into transactions and tasks. Rows stay in Arrow until a task is submitted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import pyarrow as pa

from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.decoding.batch import StaleImage
from anomaly_assets.decoding.workers import Compute


def transactions_of(images: int, rows: int) -> list[int]:
    """Return the number of images of each transaction, the incomplete one first."""
    complete = [rows] * (images // rows)
    return [images % rows, *complete] if images % rows else complete


def tasks_of(transactions: list[int], compute: Compute) -> list[list[int]]:
    """Return the images of each task, by transaction; small at the end, so that workers finish together."""
    left = sum(transactions)
    tasks: list[list[int]] = []
    for images in transactions:
        sizes: list[int] = []
        while (rest := images - sum(sizes)) > 0:
            sizes.append(min(rest, max(1, min(compute.batch_images, left // compute.window))))
            left -= sizes[-1]
        tasks.append(sizes)
    return tasks


def cut(stale: pa.Table, sizes: Iterable[int]) -> Iterator[pa.Table]:
    """Yield consecutive slices with the given numbers of rows."""
    start = 0
    for size in sizes:
        yield stale.slice(start, size)
        start += size


def stale_images(
    rows: Iterable[Mapping[str, Any]], depths: Mapping[str, int] = MappingProxyType({})
) -> list[StaleImage]:
    """Create objects from rows with `IMAGE_COLUMNS`, and add formats and depth of their source datasets."""
    return [
        StaleImage(
            **row,
            formats=SOURCE_DATASETS[row["source_dataset"]].formats,
            depth=depths.get(row["source_dataset"]),
        )
        for row in rows
    ]
