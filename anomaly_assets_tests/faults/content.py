"""Read the content of a published database, row by row, and find leftovers of a run."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
from filelock import FileLock, Timeout

from anomaly_assets.warehouse.file.snapshots import kept_paths
from anomaly_assets_tests.faults.command import Fault, Workspace

OF_THE_LOAD = frozenset(
    {
        *("loaded_at", "run_id", "_dlt_load_id", "load_id", "published_at", "rejected_at"),
        *("snapshot_id", "source_uri", "mask_source_uri"),
    }
)
"""Columns about the load of a row: time, run and folder."""

OF_THE_STORE = frozenset({"file_version", "mask_file_version", "modified_at"})
"""Columns that one kind of root fills differently from another."""

_SUMMED_UP = {
    # Concurrent runs publish more often than one run does.
    "snapshots": "SELECT images, tensors, rejected, transform FROM snapshots "
    "ORDER BY published_at DESC LIMIT 1",
    # A change that a kill interrupted has two loads, of which the first may be interrupted. No row may
    # exist that its load does not count; if all loads were completed, the counts add up.
    "load_history": """
        SELECT
            source_dataset,
            count(*) > count(DISTINCT load_id) AS doubled,
            sum(greatest(coalesce(there, 0) - coalesce(rows_inserted + rows_updated, 0), 0)) AS uncounted,
            bool_and(status = 'completed')
                AND sum(rows_inserted - rows_deleted) <> sum(there) AS miscounted
        FROM load_history
        FULL JOIN (
            SELECT source_dataset, _dlt_load_id AS load_id, count(*) AS there FROM images GROUP BY ALL
        ) USING (source_dataset, load_id)
        GROUP BY ALL
    """,
    # Other columns depend on the history of a warehouse: its roots, and the numbers it accepted.
    "source_datasets": "SELECT source_dataset, title, licence, from_samples FROM source_datasets",
}
_COMPARED = [
    *("images", "image_tensors", "facts", "rejected_images", "samples", "dataset_summary"),
    *("pixel_statistics", "defect_summary", "duplicate_images", "load_history", "snapshots"),
    *("near_duplicates", "source_datasets"),
]
"""Tables of the schema `main` that are compared. Others depend on the warehouse, not on the roots."""

_TABLES = """
SELECT schema_name || '.' || name FROM (
    SELECT database_name, schema_name, table_name AS name FROM duckdb_tables()
    UNION ALL
    SELECT database_name, schema_name, view_name FROM duckdb_views() WHERE NOT internal
)
WHERE database_name = 'published'
AND (
    schema_name = 'main' AND list_contains($compared, name)
    OR schema_name <> 'main' AND name IN ('images', 'stray_files') AND NOT schema_name LIKE 'anomaly%'
)
ORDER BY ALL
"""
_OURS = {"warehouse.duckdb", "anomaly.duckdb", "contact_sheets", "gallery"}
LOCK = re.compile(r".*\.(lock|holder)")
"""Matches names of lock files, which stay beside a database and hold no data."""


@dataclass(frozen=True)
class Content:
    """The rows of all tables, pixels by their MD5, without values that differ from load to load."""

    tables: Mapping[str, tuple[str, ...]]

    @property
    def rows(self) -> int:
        """Return the number of rows."""
        return sum(map(len, self.tables.values()))

    @cached_property
    def digest(self) -> str:
        """Return a digest; equal contents have equal digests."""
        return hashlib.sha256(repr(sorted(self.tables.items())).encode()).hexdigest()

    def differences(self, expected: Content) -> list[str]:
        """Return the differences from another content, table by table."""
        found = []
        for name in sorted({*self.tables, *expected.tables}):
            rows, wanted = (Counter(each.tables.get(name, ())) for each in (self, expected))
            lost, added = wanted - rows, rows - wanted
            if lost or added:
                shown = "; ".join(row[:300] for row in [*lost, *added][:2])
                found.append(f"{name}: {lost.total()} rows lost, {added.total()} too many: {shown}")
        return found


@contextmanager
def opened(database: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a database read-only, in a separate DuckDB instance."""
    connection = duckdb.connect(":memory:", config={"threads": 1})
    try:
        connection.execute("SET TimeZone = 'UTC'")
        path = str(database).replace("'", "''")
        connection.execute(f"ATTACH '{path}' AS published (READ_ONLY)")
        connection.execute("USE published.main")
        yield connection
    finally:
        connection.close()


def content_of(
    connection: duckdb.DuckDBPyConnection, ignoring: frozenset[str] = frozenset()
) -> Content:
    """Read everything."""
    named = connection.execute(_TABLES, {"compared": _COMPARED}).fetchall()
    names = [name for (name,) in named]
    return Content({name: _rows(connection, name, OF_THE_LOAD | ignoring) for name in names})


def read_content(database: Path, ignoring: frozenset[str] = frozenset()) -> Content:
    """Open a database and read everything."""
    with opened(database) as connection:
        return content_of(connection, ignoring)


def publications(database: Path) -> int:
    """Count the publications that a database lists."""
    with opened(database) as connection:
        [(count,)] = connection.execute("SELECT count(*) FROM snapshots").fetchall()
    return int(count)


def _rows(
    connection: duckdb.DuckDBPyConnection, name: str, ignored: frozenset[str]
) -> tuple[str, ...]:
    query = _SUMMED_UP.get(name.removeprefix("main."))
    if query is None:
        described = connection.execute(f"DESCRIBE {name}").fetchall()
        columns = [_column(*row[:2]) for row in described if row[0] not in ignored]
        query = f"SELECT {', '.join(columns)} FROM {name}"
    rows = connection.execute(query).fetchall()
    return tuple(sorted("|".join(map(_cell, row)) for row in rows))


def _column(name: str, kind: str) -> str:
    if kind == "BLOB":
        return f"md5({name})"
    # A published file has times without a zone, a warehouse and a lake with one.
    return f"make_timestamp(epoch_us({name}))::VARCHAR" if kind.startswith("TIMESTAMP") else name


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.12g}"
    return ",".join(map(_cell, value)) if isinstance(value, list) else str(value)


def published(workspace: Workspace, allowed: Mapping[str, Content | None], output: str = "") -> str:
    """Return the name of the published content among the allowed ones; None means no file."""
    if not workspace.database.exists():
        for name, content in allowed.items():
            if content is None:
                return name
        raise Fault("the published database is gone", output)
    try:
        found = read_content(workspace.database)
    except Exception as error:
        raise Fault(f"the published database cannot be read: {error}", output) from error
    for name, content in allowed.items():
        if content is not None and content.digest == found.digest:
            return name
    nearest = [found.differences(content) for content in allowed.values() if content]
    raise Fault(f"what is published is neither of {', '.join(allowed)}: {nearest}", output)


def healed(workspace: Workspace, expected: Content, ignoring: frozenset[str] = frozenset()) -> int:
    """Run once more, and assert the expected content and no leftovers; return the number of rows."""
    command = workspace.run()
    found = read_content(workspace.database, ignoring)
    if differences := found.differences(expected):
        raise Fault(f"the next run did not heal it: {differences}", command.tail())
    if left := leftovers(workspace):
        raise Fault(f"left behind after the next run: {left}", command.tail())
    return found.rows


def leftovers(workspace: Workspace) -> list[str]:
    """Return forbidden leftovers of a run: unfinished files, packages, staged rows, a held lock."""
    ours = {*_OURS, *(path.name for path in kept_paths(workspace.database))}
    beside = [path.name for path in workspace.data.iterdir() if path.name not in ours]
    found = [name for name in beside if not LOCK.fullmatch(name)]
    found += [path.name for path in (workspace.folder / "tmp").glob("*.dlt")]
    with opened(workspace.database) as connection:
        found += [f"{table} is published" for table, _ in _staged(connection)]
    with opened(workspace.warehouse) as connection:
        found += [f"{rows} rows in {table}" for table, rows in _staged(connection) if rows]
    try:
        with FileLock(f"{workspace.warehouse}.lock", timeout=0):
            pass
    except Timeout:
        found.append("the lock is held")
    return found


def _staged(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, int]]:
    tables = connection.execute(
        "SELECT schema_name || '.' || table_name FROM duckdb_tables() "
        "WHERE schema_name LIKE '%_staging' AND NOT starts_with(table_name, '_dlt')"
    ).fetchall()
    counted = []
    for (name,) in tables:
        [(rows,)] = connection.execute(f"SELECT count(*) FROM {name}").fetchall()
        counted.append((name, rows))
    return counted
