"""Read what a gallery shows from a published database: columns, failed checks and scores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from anomaly_assets.errors import WarehouseError
from anomaly_assets.reader import Samples
from anomaly_assets.reader.database import Database
from anomaly_assets.reader.open import all_samples
from anomaly_assets.tables import checks
from anomaly_assets.tables.sql_text import column_names
from anomaly_assets.warehouse.buffers import drop_cached, free_memory
from anomaly_assets.warehouse.ranges import fetch_images

Rows = list[dict[str, Any]]
_KEPT_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True)
class FailedCheck:
    """Check that names images.

    Attributes:
        name: Its name.
        sentence: What is wrong, and how to fix it.
        asset: Asset that it belongs to.
        rows: Positions of the images in the gallery, sorted.
    """

    name: str
    sentence: str
    asset: str
    rows: list[int]


@dataclass(frozen=True)
class Content:
    """Images of one snapshot, ordered by source dataset, category and image id.

    Attributes:
        snapshot_id: Id of the snapshot.
        published_at: Time of its publication in UTC, such as `2026-11-29T13:00:00Z`.
        samples: The samples in the order of the gallery, to read their pixels.
        table: Their columns: those of `samples` without tensors, and further ones of the database.
        checks: Checks that name images of the gallery.
        recipe: Recipe of the scores; None without scores.
    """

    snapshot_id: str
    published_at: str | None
    samples: Samples
    table: pa.Table
    checks: list[FailedCheck]
    recipe: str | None

    def __len__(self) -> int:
        return int(self.table.num_rows)


@contextmanager
def opened(database: Database) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a connection for queries to the snapshot of a database."""
    with database.unchanged() as found, found.cursor() as cursor:
        yield cursor


def read_content(database: Database) -> Content:
    """Read the columns of all samples, and the failed checks about images.

    Args:
        database: The database, for queries.

    Raises:
        LookupError: The database has no samples.
    """
    samples = all_samples(database)
    with opened(database) as cursor:
        drop_all(cursor)
        table = _with_further_columns(cursor, samples)
        recipe = _recipe_of_scores(cursor, samples.recipe)
        if recipe is not None:
            scores = cursor.execute(SCORES, {"recipe": recipe}).to_arrow_table()
            table = _joined(table, scores)
        keys = [(name, "ascending") for name in ("source_dataset", "category", "image_id")]
        order = pc.sort_indices(table, sort_keys=keys).to_numpy()
        if not np.array_equal(order, np.arange(len(order))):
            samples, table = samples.select(order), table.take(order)
        failed = _failed_checks(cursor, table["image_id"])
        published_at = _published_at(cursor, samples.snapshot_id)
        drop_all(cursor)
    return Content(samples.snapshot_id or "", published_at, samples, table, failed, recipe)


def drop_all(cursor: duckdb.DuckDBPyConnection) -> None:
    """Return what DuckDB caches; no query may run meanwhile. The next one reads other blocks anyway."""
    drop_cached(cursor, kept_bytes=_KEPT_BYTES)
    free_memory(cursor)


_FURTHER = {
    "effective_images": (
        *("label_source", "relative_path", "file_size_bytes", "modified_at"),
        *("mask_relative_path", "mask_file_version"),
    ),
    "image_tensors": ("transform", "mask_width", "mask_height", "mask_values", "mask_box"),
    "facts": ("file_format", "bit_depth", "mask_file_format"),
}
"""Columns that the gallery shows beside those of `samples`, by the table that has them."""


def _with_further_columns(cursor: duckdb.DuckDBPyConnection, samples: Samples) -> pa.Table:
    """Return the columns of the samples; a database of an earlier release may lack some further ones."""
    table = samples.table
    for name, wanted in _FURTHER.items():
        existing = column_names(cursor, name) or set()
        columns = [column for column in wanted if column in existing]
        if columns:
            selected = ", ".join(_TEXTS.get(column, column) for column in columns)
            query = (
                f"SELECT image_id, {selected} FROM {name} "  # noqa: S608
                "WHERE image_id BETWEEN $first AND $last ORDER BY image_id"
            )
            table = _joined(table, fetch_images(cursor, query, {}, name))
            drop_all(cursor)
    return table


# A published file stores times in UTC without a time zone, a lake with it.
_TEXTS = {"modified_at": "epoch(modified_at)::BIGINT AS modified_at"}


def _joined(table: pa.Table, further: pa.Table) -> pa.Table:
    """Append the columns of another table by image id; null for images that it lacks."""
    if not further["image_id"].equals(table["image_id"]):
        found = pc.index_in(table["image_id"], value_set=further["image_id"].combine_chunks())
        further = further.take(found)
    for name in further.column_names:
        if name not in table.column_names:
            table = table.append_column(name, further[name])
    return table


SCORES = """
SELECT image_id, score::DOUBLE AS score
FROM baseline_scores
JOIN (SELECT image_id, content_sha256 FROM samples_without_tensors) USING (image_id, content_sha256)
WHERE recipe = $recipe
"""
"""Query for the scores of images that still have the content that was scored."""


def _recipe_of_scores(cursor: duckdb.DuckDBPyConnection, common: str) -> str | None:
    """Return the recipe whose scores are shown: the common one, else the one with the most scores."""
    if not {"image_id", "recipe", "score"} <= (column_names(cursor, "baseline_scores") or set()):
        return None
    found = cursor.execute(
        "SELECT recipe FROM baseline_scores GROUP BY recipe ORDER BY recipe <> ?, count(*) DESC, recipe",
        [common],
    ).fetchone()
    return str(found[0]) if found else None


def _published_at(cursor: duckdb.DuckDBPyConnection, snapshot_id: str | None) -> str | None:
    query = "SELECT epoch(published_at) FROM snapshots WHERE snapshot_id = ?"
    found = cursor.execute(query, [snapshot_id]).fetchone()
    if not found:
        return None
    return f"{np.datetime64(int(found[0]), 's')}Z"


_FAILED = """
SELECT check_name, sentence, asset, list(image_id)
FROM quality JOIN quality_images USING (asset, check_name)
WHERE image_id IS NOT NULL
GROUP BY ALL ORDER BY ALL
"""


def _failed_checks(
    cursor: duckdb.DuckDBPyConnection, image_ids: pa.ChunkedArray
) -> list[FailedCheck]:
    """Return the failed checks that name images of the gallery."""
    stored = column_names(cursor, "quality") and column_names(cursor, "quality_images")
    found = cursor.execute(_FAILED).fetchall() if stored else _evaluated(cursor)
    failed = []
    for name, sentence, asset, named in found:
        is_named = pc.is_in(image_ids, value_set=pa.array(named, pa.string()))
        if rows := np.flatnonzero(is_named.to_numpy()).tolist():
            failed.append(FailedCheck(name, sentence, asset, rows))
    return failed


def _evaluated(
    cursor: duckdb.DuckDBPyConnection,
) -> Iterator[tuple[str, str, str, Sequence[str]]]:
    """Yield what `_FAILED` returns, for a database that an earlier release published."""
    for asset, check in ((asset, check) for asset, of in checks.CHECKS.items() for check in of):
        with suppress(LookupError, WarehouseError):  # it names no images, or reads a later table
            if named := checks.affected_images(cursor, check.name):
                finding = checks.Finding(len(named), [])
                yield check.name, check.verdict(finding, shown=False), asset, named
