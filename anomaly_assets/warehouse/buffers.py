"""Bound the memory that DuckDB caches blocks of files in, and what allocators keep from step to step."""

from __future__ import annotations

import gc
from contextlib import closing, suppress

import duckdb

from anomaly_assets.linux import return_freed_memory

KEPT_BYTES = 64 * 1024 * 1024
"""Limit of what DuckDB may keep in memory from one step to the next."""


def drop_cached(connection: duckdb.DuckDBPyConnection, kept_bytes: int | None = None) -> None:
    """Empty DuckDB's cache of file blocks, which grows to 80 % of the memory, down to `KEPT_BYTES`."""
    kept_bytes = KEPT_BYTES if kept_bytes is None else kept_bytes
    limit = _limit(connection)
    try:
        with suppress(duckdb.OutOfMemoryException):  # more than this is in use
            connection.execute(f"SET memory_limit = '{kept_bytes} bytes'")
    finally:
        # RESET shows the old limit and does not apply it (DuckDB 1.5.5).
        connection.execute(f"SET memory_limit = '{limit}'")


def free_memory(connection: duckdb.DuckDBPyConnection) -> None:
    """Return to the system what DuckDB, Arrow and the C library keep of memory that was freed.

    DuckDB returns it only while it goes on to allocate, or when its memory limit is set, to whatever value:
    after a query over 200,000 images, 200 MB stayed, and Arrow and Python need memory of their own.
    """
    import pyarrow as pa  # not for those who only list snapshots

    # On a cursor, because a connection forgets the rows of its last query.
    with closing(connection.cursor()) as cursor, suppress(duckdb.Error):
        cursor.execute(f"SET memory_limit = '{_limit(cursor)}'")
    pa.default_memory_pool().release_unused()
    return_freed_memory()


def collect_and_free(connection: duckdb.DuckDBPyConnection) -> None:
    """Free memory after collecting garbage: a listing and dlt leave cycles with all rows of a catalogue."""
    gc.collect()
    free_memory(connection)


def _limit(connection: duckdb.DuckDBPyConnection) -> str:
    """Return the memory limit. DuckDB shows it truncated after one decimal, so half a step is added."""
    [(limit,)] = connection.execute("SELECT current_setting('memory_limit')").fetchall()
    number, unit = limit.split()
    return f"{float(number) + 0.05} {unit}"


def cached_bytes(connection: duckdb.DuckDBPyConnection) -> int:
    """Return the bytes that DuckDB holds in memory, blocks of files included."""
    found = connection.execute("SELECT sum(memory_usage_bytes) FROM duckdb_memory()").fetchone()
    return int(found[0] or 0) if found else 0
