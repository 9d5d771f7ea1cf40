"""How the images to decode are cut: into transactions and tasks, which become objects at the very last."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pyarrow as pa

from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.decoding.batch import StaleImage
from anomaly_assets.decoding.workers import Compute


def transactions_of(images: int, rows: int) -> list[int]:
    """Images of each transaction, the incomplete one first."""
    complete = [rows] * (images // rows)
    return [images % rows, *complete] if images % rows else complete


def tasks_of(transactions: list[int], compute: Compute) -> list[list[int]]:
    """Images of each task, by transaction; fewer towards the end, so that workers finish together."""
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
    """One piece after the other, of so many rows each."""
    start = 0
    for size in sizes:
        yield stale.slice(start, size)
        start += size


def stale_images(rows: Iterable[Mapping[str, Any]]) -> list[StaleImage]:
    """Make objects of rows that hold `IMAGE_COLUMNS`, with the formats of their source datasets."""
    return [
        StaleImage(**row, formats=SOURCE_DATASETS[row["source_dataset"]].formats) for row in rows
    ]
