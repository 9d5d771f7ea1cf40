"""Compute the id of the published content: a digest of all rows, read piece by piece.

Sorting rows in DuckDB holds the text of all of them in memory, about 1 kB an image. So a large table is
sorted one range of keys after the other. The digest does not depend on the limits of the ranges.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any, TypeVar

import duckdb

from anomaly_assets.tables.ddl import statement
from anomaly_assets.tables.registry import STORED, SUMMARIES
from anomaly_assets.tables.source_datasets import stored_datasets
from anomaly_assets.tables.sql_text import table_exists
from anomaly_assets.warehouse.buffers import drop_cached, free_memory

ROWS_AT_ONCE = 100_000
"""Approximate number of rows that DuckDB sorts at once: about 100 MB."""

_SAMPLED_PER_RANGE = 64
"""Number of random keys for each range of keys; with this number, ranges differ by about an eighth."""

_FETCHED_AT_ONCE = 2048

_Text = TypeVar("_Text", str, bytes)


def content_id(connection: duckdb.DuckDBPyConnection) -> str:
    """Return a digest of all published content, including summaries, which may be built at another time."""
    digest = hashlib.sha256()
    digest.update(repr((_rows_digest(connection, "snapshot_content"),)).encode())
    for name in SUMMARIES:
        if table_exists(connection, "main", name):
            found = connection.execute("FROM query_table($name) ORDER BY ALL", {"name": name})
            # The text of `repr((name, rows))`, without a list of all rows in memory.
            digest.update(f"({name!r}, [".encode())
            for part in _joined(_fetched(found), ", ", repr):
                digest.update(part.encode())
            digest.update(b"])")
    # A declaration can change, such as a licence, without a change of any row.
    for held in stored_datasets(connection).values():
        if held.declaration is not None:  # a release before 0.2 stored none
            declared = (held.source_dataset, held.title, held.licence, held.definition_digest)
            digest.update(repr(declared).encode())
    return digest.hexdigest()


def evaluation_id(connection: duckdb.DuckDBPyConnection) -> str | None:
    """Return a digest of the published results of the baseline; None if there are none.

    Times and durations of an evaluation are not digested: the same results may be computed again.
    """
    rows = _rows_digest(connection, "evaluation_content")
    return None if rows == hashlib.sha256().hexdigest() else rows


def _rows_digest(connection: duckdb.DuckDBPyConnection, name: str) -> str:
    """Return the SHA-256 of the rows of the queries in an SQL file, joined by newlines.

    Python's SHA-256 is faster than DuckDB's.
    """
    digest = hashlib.sha256()
    queries = connection.extract_statements(statement(connection, name))
    rows = chain.from_iterable(_contents(connection, query.query) for query in queries)
    for part in _joined(rows, b"\n", lambda row: row[0]):
        digest.update(part)
    return digest.hexdigest()


def _contents(connection: duckdb.DuckDBPyConnection, query: str) -> Iterator[list[tuple[Any, ...]]]:
    """Yield the column `content` of a query in the order of its column `key`, a few rows at a time."""
    rows = f"({query.strip().rstrip(';')})"
    try:
        limits = _limits(connection, rows)
    except duckdb.CatalogException as error:
        if not any(f"name {name} does not exist" in str(error) for name in STORED):
            raise
        return  # a warehouse of an earlier release, which is copied as it is
    for first, after in zip([None, *limits], [*limits, None], strict=True):
        bounds = {"first": first, "after": after}
        bounds = {name: bound for name, bound in bounds.items() if bound is not None}
        conditions = [_CONDITIONS[name] for name in bounds]
        if limits:
            drop_cached(connection)  # it would hold all columns of the table
        found = connection.execute(
            f"SELECT content FROM {rows} WHERE {' AND '.join(conditions) or 'true'} ORDER BY key",  # noqa: S608
            bounds,
        )
        yield from _fetched(found)
    if limits:
        free_memory(connection)


_CONDITIONS = {"first": "key >= $first", "after": "key < $after"}


def _limits(connection: duckdb.DuckDBPyConnection, rows: str) -> list[Any]:
    """Return keys that divide a table into ranges of about `ROWS_AT_ONCE` rows; none for a small table."""
    [(count,)] = connection.execute(f"SELECT count(*) FROM {rows}").fetchall()  # noqa: S608
    ranges = -(-count // ROWS_AT_ONCE)
    if ranges < 2:
        return []
    keys = connection.execute(
        f"SELECT key FROM (SELECT key FROM {rows} "  # noqa: S608
        f"USING SAMPLE reservoir({_SAMPLED_PER_RANGE * ranges} ROWS)) ORDER BY key"
    ).fetchall()
    return [key for (key,) in keys[_SAMPLED_PER_RANGE::_SAMPLED_PER_RANGE]]


def _fetched(result: duckdb.DuckDBPyConnection) -> Iterator[list[tuple[Any, ...]]]:
    while rows := result.fetchmany(_FETCHED_AT_ONCE):
        yield rows


def _joined(
    parts: Iterable[list[tuple[Any, ...]]],
    separator: _Text,
    text: Callable[[tuple[Any, ...]], _Text],
) -> Iterator[_Text]:
    """Yield the pieces of `separator.join(...)` over the texts of all rows."""
    between = separator[:0]
    for rows in parts:
        yield between + separator.join(map(text, rows))
        between = separator
