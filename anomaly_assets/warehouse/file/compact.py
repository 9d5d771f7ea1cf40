"""Rewrite a warehouse without the space of deleted rows.

`COPY FROM DATABASE` holds a row group of tensors in memory (6 GB at 1024 x 1024 x 3), and DuckDB caches
the blocks that it has read. So tensors are copied in parts, and the cache is emptied after each part.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb

from anomaly_assets.tables.registry import WIDE
from anomaly_assets.tables.sql_text import sql_literal
from anomaly_assets.warehouse.base import ROW_GROUP_SIZE
from anomaly_assets.warehouse.buffers import drop_cached
from anomaly_assets.warehouse.file.duckdb_settings import (
    reset_from_wide_rows,
    rows_at_once,
    set_for_wide_rows,
)


def write_compact(connection: duckdb.DuckDBPyConnection, source: Path, copy: Path) -> None:
    """Copy all tables and views of a warehouse into a new file.

    Args:
        connection: A DuckDB instance in which neither file is attached.
        source: The warehouse; no process writes to it.
        copy: Path of the new file.

    Raises:
        duckdb.Error: The copy cannot be written, for instance because the disk is full.
    """
    connection.execute(f"ATTACH {sql_literal(str(source))} AS source (READ_ONLY)")
    connection.execute(
        f"ATTACH {sql_literal(str(copy))} AS compact (ROW_GROUP_SIZE {ROW_GROUP_SIZE})"
    )
    set_for_wide_rows(connection)
    connection.execute("COPY FROM DATABASE source TO compact (SCHEMA)")
    found = connection.execute(
        "SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = 'source'"
    ).fetchall()
    for schema, table in found:
        name = f'"{schema}"."{table}"'
        for rows in _parts(connection, table) if table in WIDE else [""]:
            connection.execute(f"INSERT INTO compact.{name} FROM source.{name} {rows}")
            drop_cached(connection)
    reset_from_wide_rows(connection)
    connection.execute("DETACH source")
    connection.execute("DETACH compact")


def _parts(connection: duckdb.DuckDBPyConnection, table: str) -> Iterator[str]:
    """Yield conditions for the rows of one part each, in the order in which they are stored."""
    query = f"SELECT coalesce(max(height * width * channels), 1) FROM source.{table}"  # noqa: S608
    [(tensor_bytes,)] = connection.execute(query).fetchall()
    query = f"SELECT rowid FROM source.{table} ORDER BY ALL"  # noqa: S608
    found = connection.execute(query).fetchnumpy()["rowid"]
    at_once = rows_at_once(tensor_bytes)
    for start in range(0, len(found), at_once):
        rows = found[start : start + at_once]
        yield f"WHERE rowid BETWEEN {rows[0]} AND {rows[-1]}"
