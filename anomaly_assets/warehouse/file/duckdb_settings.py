"""Apply the DuckDB settings of all writers of files: startup, wide rows and back, memory limits."""

from __future__ import annotations

from contextlib import suppress

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
_ROW_GROUP_BYTES = 2048 * 256 * 256 * 3
"""Up to this size, one transaction is a full row group, which DuckDB stores without copying it."""

_COPIED_BYTES = 128 * 1024 * 1024
"""Limit for smaller transactions: DuckDB copies them at the commit, so they are in memory twice."""

KEPT_BYTES = 64 * 1024 * 1024
"""Limit of what DuckDB may keep in memory from one step to the next."""

_WIDE_ROWS = {"threads": 1, "wal_autocheckpoint": "1KB", "auto_checkpoint_skip_wal_threshold": 0}


def start_duckdb() -> duckdb.DuckDBPyConnection:
    """Start a DuckDB in memory, with the settings that every writer needs."""
    instance = duckdb.connect(":memory:")
    for setting in _SETTINGS:
        instance.execute(setting)
    return instance


def rows_at_once(tensor_bytes: int) -> int:
    """Return the number of tensors of this size per transaction; they stay in memory until it ends."""
    if tensor_bytes * ROW_GROUP_SIZE <= _ROW_GROUP_BYTES:
        return ROW_GROUP_SIZE
    return max(1, _COPIED_BYTES // tensor_bytes)


def cached_bytes(connection: duckdb.DuckDBPyConnection) -> int:
    """Return the bytes that DuckDB holds in memory, blocks of files included."""
    found = connection.execute("SELECT sum(memory_usage_bytes) FROM duckdb_memory()").fetchone()
    return int(found[0] or 0) if found else 0


def drop_cached(connection: duckdb.DuckDBPyConnection) -> None:
    """Empty DuckDB's cache of file blocks, which otherwise grows to 80 % of the memory."""
    [(limit,)] = connection.execute("SELECT current_setting('memory_limit')").fetchall()
    number, unit = limit.split()
    with suppress(duckdb.OutOfMemoryException):  # more than this is in use
        connection.execute(f"SET memory_limit = '{KEPT_BYTES} bytes'")
    # RESET shows the old limit and does not apply it (DuckDB 1.5.5). The shown value is truncated after
    # one decimal: without adding half a step, the limit would shrink with every call.
    connection.execute(f"SET memory_limit = '{float(number) + 0.05} {unit}'")


def set_for_wide_rows(connection: duckdb.DuckDBPyConnection) -> None:
    """Apply the settings for writing tensors that `FileWarehouse.connect` describes."""
    for name, value in _WIDE_ROWS.items():
        connection.execute(f"SET {name} = '{value}'")


def reset_from_wide_rows(connection: duckdb.DuckDBPyConnection) -> None:
    """Undo `set_for_wide_rows`."""
    for name in _WIDE_ROWS:
        connection.execute(f"RESET {name}")
