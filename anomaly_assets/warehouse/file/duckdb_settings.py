"""Apply the DuckDB settings of all writers of files: startup, wide rows and back."""

from __future__ import annotations

from pathlib import Path

import duckdb

from anomaly_assets.warehouse.base import ROW_GROUP_SIZE

_SETTINGS = (
    "SET GLOBAL TimeZone = 'UTC'",
    # A missing table is an error; DuckDB must not read a Python variable of the same name instead.
    "SET GLOBAL python_enable_replacements = false",
    # The order of rows does not matter, and preserving it costs buffers.
    "SET preserve_insertion_order = false",
    # Refilling row groups after a delete rewrites hundreds of megabytes. Publishing compacts the file
    # when that saves enough space.
    "SET max_vacuum_tasks = 0",
)
_ROW_GROUP_BYTES = 2048 * 512 * 1024
"""Up to this size, one transaction is a full row group, which DuckDB stores without copying it."""

COPIED_BYTES = 128 * 1024 * 1024
"""Limit for smaller transactions: DuckDB copies them at the commit, so they are in memory twice."""

_WIDE_ROWS = {"threads": 1, "wal_autocheckpoint": "1KB", "auto_checkpoint_skip_wal_threshold": 0}


_SMALL_BYTES = 32 * 1024 * 1024
"""Up to this size of the file, a query has no work for a second thread."""


def start_duckdb(path: Path) -> duckdb.DuckDBPyConnection:
    """Start a DuckDB instance in memory, with the settings that every writer needs.

    Args:
        path: The file that will be attached; it need not exist.
    """
    instance = duckdb.connect(":memory:")
    for setting in _SETTINGS:
        instance.execute(setting)
    use_threads_for(instance, path)
    return instance


def use_threads_for(instance: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Set the number of threads for a file: one if it is small, otherwise the default of DuckDB.

    Waking the other threads takes a quarter of the processor time of a query on a small file.
    """
    is_small = not path.exists() or path.stat().st_size <= _SMALL_BYTES
    instance.execute("SET GLOBAL threads = 1" if is_small else "RESET GLOBAL threads")


def rows_at_once(tensor_bytes: int) -> int:
    """Return the number of tensors of this size per transaction; they stay in memory until it ends."""
    if tensor_bytes * ROW_GROUP_SIZE <= _ROW_GROUP_BYTES:
        return ROW_GROUP_SIZE
    return max(1, COPIED_BYTES // tensor_bytes)


def set_for_wide_rows(connection: duckdb.DuckDBPyConnection) -> None:
    """Apply the settings for writing tensors that `FileWarehouse.connect` describes."""
    for name, value in _WIDE_ROWS.items():
        connection.execute(f"SET {name} = '{value}'")


def reset_from_wide_rows(connection: duckdb.DuckDBPyConnection) -> None:
    """Undo `set_for_wide_rows`."""
    for name in _WIDE_ROWS:
        connection.execute(f"RESET {name}")
