"""DuckDB as those who write a file need it: started, and set for tensors and back."""

from __future__ import annotations

import duckdb

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
_WIDE_ROWS = {"threads": 1, "wal_autocheckpoint": "1KB", "auto_checkpoint_skip_wal_threshold": 0}


def start_duckdb() -> duckdb.DuckDBPyConnection:
    """DuckDB with no database yet, with the settings that every writer of ours needs."""
    instance = duckdb.connect(":memory:")
    for setting in _SETTINGS:
        instance.execute(setting)
    return instance


def set_for_wide_rows(connection: duckdb.DuckDBPyConnection) -> None:
    """Let a DuckDB write tensors as `FileWarehouse.connect` describes it."""
    for name, value in _WIDE_ROWS.items():
        connection.execute(f"SET {name} = '{value}'")


def reset_from_wide_rows(connection: duckdb.DuckDBPyConnection) -> None:
    """Undo `set_for_wide_rows`."""
    for name in _WIDE_ROWS:
        connection.execute(f"RESET {name}")
