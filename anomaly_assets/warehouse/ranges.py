"""Fetch rows of many images in several queries, because DuckDB holds the rows of a query several times."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import duckdb

from anomaly_assets.warehouse.buffers import free_memory

if TYPE_CHECKING:
    import pyarrow as pa

IMAGES_AT_ONCE = 1 << 15
"""Images of one query: 55 MB, where 200,000 take 335 MB."""

EVERY_ID = {"first": "", "last": chr(sys.maxunicode)}
"""Parameters with which a query returns the rows of all images."""


def fetch_images(
    connection: duckdb.DuckDBPyConnection, query: str, parameters: Mapping[str, Any], table: str
) -> pa.Table:
    """Return the rows of a query; if there are many images, one range of image ids after the other.

    Args:
        connection: A warehouse or a published database.
        query: Query with the condition `image_id BETWEEN $first AND $last`; its rows may be sorted by id.
        parameters: Values of its other parameters.
        table: Table or view with the column `image_id`, which has the ids of all rows.
    """
    [(images,)] = connection.execute(_COUNT, {"table": table}).fetchall()
    if images <= IMAGES_AT_ONCE:
        return connection.execute(query, {**parameters, **EVERY_ID}).to_arrow_table()
    import pyarrow as pa

    parts = []
    for first, last in connection.execute(
        _RANGES, {"table": table, "images": IMAGES_AT_ONCE}
    ).fetchall():
        bounds = {"first": first, "last": last}
        found = connection.execute(query, {**parameters, **bounds}).to_arrow_table()
        # Copied, because DuckDB allocates twice what the rows need, for all columns together.
        parts.append(found.take(pa.array(range(found.num_rows), pa.int64())))
        del found
        free_memory(connection)
    return _concatenated(parts)


def _concatenated(parts: list[pa.Table]) -> pa.Table:
    """Return the rows of all tables, each column in one piece; empties the list, column by column."""
    import pyarrow as pa

    columns = {}
    for name in parts[0].column_names:
        chunks = [chunk for part in parts for chunk in part[name].chunks]
        parts[:] = [part.drop_columns([name]) for part in parts]
        columns[name] = pa.chunked_array(chunks).combine_chunks()
    return pa.table(columns)


_COUNT = "SELECT count(*) FROM query_table($table)"

_RANGES = """
SELECT min(image_id), max(image_id)
FROM (
    SELECT image_id, (dense_rank() OVER (ORDER BY image_id) - 1) // $images AS part
    FROM query_table($table)
)
GROUP BY part ORDER BY part
"""
