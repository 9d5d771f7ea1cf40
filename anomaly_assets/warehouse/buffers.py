"""Bound the memory in which DuckDB caches blocks of files."""

from __future__ import annotations

from contextlib import suppress

import duckdb

_KEPT_BYTES = 64 * 1024 * 1024


def drop_cached(connection: duckdb.DuckDBPyConnection) -> None:
    """Empty DuckDB's cache of file blocks, which otherwise grows to 80 % of the memory."""
    [(limit,)] = connection.execute("SELECT current_setting('memory_limit')").fetchall()
    number, unit = limit.split()
    with suppress(duckdb.OutOfMemoryException):  # more than this is in use
        connection.execute(f"SET memory_limit = '{_KEPT_BYTES} bytes'")
    # RESET shows the old limit and does not apply it (DuckDB 1.5.5). The shown value is truncated after
    # one decimal: without adding half a step, the limit would shrink with every call.
    connection.execute(f"SET memory_limit = '{float(number) + 0.05} {unit}'")
