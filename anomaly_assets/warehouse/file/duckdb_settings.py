"""DuckDB as those who write a file need it: started, set for tensors and back, and bounded in memory."""

from __future__ import annotations

from contextlib import suppress

import duckdb

from anomaly_assets.warehouse.base import ROW_GROUP_SIZE

_SETTINGS = (
    "SET GLOBAL TimeZone = 'UTC'",
    # A table that is not there yet is no Python variable of that name.
    "SET GLOBAL python_enable_replacements = false",
    # Nobody relies on the order of rows, and keeping it costs buffers.
    "SET preserve_insertion_order = false",
    # Filling up row groups that lost a row writes hundreds of megabytes again. Publishing compacts
    # the file when there is enough to gain.
    "SET max_vacuum_tasks = 0",
)
_ROW_GROUP_BYTES = 2048 * 256 * 256 * 3
"""Up to this size a transaction fills a row group, which DuckDB takes over as it is."""

_COPIED_BYTES = 128 * 1024 * 1024
"""What does not fill one is copied when it is committed: it is in memory twice."""

_KEPT_BYTES = 64 * 1024 * 1024

_WIDE_ROWS = {"threads": 1, "wal_autocheckpoint": "1KB", "auto_checkpoint_skip_wal_threshold": 0}


def start_duckdb() -> duckdb.DuckDBPyConnection:
    """DuckDB with no database yet, with the settings that every writer of ours needs."""
    instance = duckdb.connect(":memory:")
    for setting in _SETTINGS:
        instance.execute(setting)
    return instance


def rows_at_once(tensor_bytes: int) -> int:
    """Return how many tensors of this size go into one transaction, which is in memory until it ends."""
    if tensor_bytes * ROW_GROUP_SIZE <= _ROW_GROUP_BYTES:
        return ROW_GROUP_SIZE
    return max(1, _COPIED_BYTES // tensor_bytes)


def drop_cached(connection: duckdb.DuckDBPyConnection) -> None:
    """Let DuckDB forget what it has read of files, which it keeps up to 80 % of the memory otherwise."""
    [(limit,)] = connection.execute("SELECT current_setting('memory_limit')").fetchall()
    number, unit = limit.split()
    with suppress(duckdb.OutOfMemoryException):  # more is in use
        connection.execute(f"SET memory_limit = '{_KEPT_BYTES} bytes'")
    # RESET shows the old limit, and does not apply it (DuckDB 1.5.5). What is shown is cut off after one
    # decimal: without the half of it, the limit would sink with every call.
    connection.execute(f"SET memory_limit = '{float(number) + 0.05} {unit}'")


def set_for_wide_rows(connection: duckdb.DuckDBPyConnection) -> None:
    """Let a DuckDB write tensors as `FileWarehouse.connect` describes it."""
    for name, value in _WIDE_ROWS.items():
        connection.execute(f"SET {name} = '{value}'")


def reset_from_wide_rows(connection: duckdb.DuckDBPyConnection) -> None:
    """Undo `set_for_wide_rows`."""
    for name in _WIDE_ROWS:
        connection.execute(f"RESET {name}")
