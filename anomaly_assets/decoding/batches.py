"""Split stale images into transactions and tasks. Rows stay in Arrow until a task is submitted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from types import MappingProxyType
from typing import Any

import pyarrow as pa

from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.decoding.batch import IMAGE_COLUMNS, StaleImage
from anomaly_assets.decoding.workers import Compute
from anomaly_assets.recipes import Recipes


def images_alike(stale: pa.Table, recipes: Recipes) -> list[int]:
    """Return the numbers of images that follow each other and have the same recipes.

    A transaction with images of both kinds would not fill the row group of a further recipe: DuckDB would
    copy these rows at the commit, while those of the common recipe are still in memory.
    """
    counts = stale["source_dataset"].value_counts().to_pylist()  # images are sorted by dataset
    runs = groupby(counts, lambda counted: recipes.of(counted["values"]))
    return [sum(counted["counts"] for counted in run) for _, run in runs]


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
    rows: Iterable[Mapping[str, Any]],
    depths: Mapping[str, int] = MappingProxyType({}),
    recipes: Recipes = Recipes(),  # noqa: B008 (frozen)
) -> list[StaleImage]:
    """Create objects from rows of images; formats, depth and recipes are those of their source datasets.

    Args:
        rows: Rows with `IMAGE_COLUMNS`. `common`, if present, is whether to make the tensor of the common
            recipe, and `further` has the names of further recipes.
        depths: Bits that the 16-bit files of a source dataset use, if set.
        recipes: Recipes of the run.
    """
    return [
        StaleImage(
            **{name: row[name] for name in IMAGE_COLUMNS},
            formats=SOURCE_DATASETS[row["source_dataset"]].formats,
            depth=depths.get(row["source_dataset"]),
            common=row.get("common", True),
            further=tuple(
                recipe
                for recipe in recipes.of(row["source_dataset"])[1:]
                if recipe.name in (row.get("further") or ())
            ),
        )
        for row in rows
    ]
