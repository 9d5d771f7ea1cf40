"""Record the identity of a warehouse, and the owners of a published file.

A warehouse has a table `identity` with one row. A published file has no identity: it has a table `owners`
with the identities of the warehouses that may replace it. A copy by the `copy` command is another
warehouse, so it gets a new identity.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import datetime, timezone

import duckdb

from anomaly_assets.errors import WarehouseError
from anomaly_assets.tables.recipes import TENSOR_SHAPE
from anomaly_assets.tables.registry import UNPUBLISHED

IDENTITY = "identity"
OWNERS = "owners"
PUBLISHED_FILES = "published_files"
INTENDED = "intended_publication"
UNFINISHED_COPY = "unfinished_copy"
"""Table that marks an unfinished copy, to which no run has written since."""

COMPLETE_COPY = "complete_copy"
"""Table that marks a complete copy of a publication in a file, to which no run has written since."""

_IDENTITY_COLUMNS = "(warehouse_id VARCHAR NOT NULL, made_at TIMESTAMP WITH TIME ZONE NOT NULL)"
_OWNERS_COLUMNS = "(warehouse_id VARCHAR NOT NULL, since TIMESTAMP WITH TIME ZONE NOT NULL)"
_MOST_NAMED = 5


def ensure_identity(connection: duckdb.DuckDBPyConnection) -> str:
    """Return the identity of the warehouse; create one if it has none yet.

    Raises:
        WarehouseError: The database is not empty and was not created by this project.
    """
    try:
        found = connection.execute(f"SELECT warehouse_id FROM {IDENTITY}").fetchone()  # noqa: S608
    except duckdb.CatalogException:
        found = None
    if found:
        return str(found[0])
    _refuse_foreign_database(connection)
    made = uuid.uuid4().hex
    connection.begin()
    connection.execute(f"CREATE TABLE IF NOT EXISTS {IDENTITY} {_IDENTITY_COLUMNS}")
    connection.execute(
        f"INSERT INTO {IDENTITY} VALUES (?, ?)",  # noqa: S608
        [made, datetime.now(timezone.utc)],
    )
    connection.commit()
    return made


def read_owners(connection: duckdb.DuckDBPyConnection) -> dict[str, int] | None:
    """Return the owners of a published file: identity to microseconds since 1970; None without table."""
    try:
        rows = connection.execute(f"SELECT warehouse_id, epoch_us(since) FROM {OWNERS}")  # noqa: S608
    except duckdb.CatalogException:
        return None
    return dict(rows.fetchall())


def make_publication(connection: duckdb.DuckDBPyConnection, owned_by: Iterable[str]) -> None:
    """Turn a copy of a warehouse into a published file that these warehouses own."""
    for name in (IDENTITY, PUBLISHED_FILES, INTENDED, TENSOR_SHAPE):
        connection.execute(f"DROP TABLE IF EXISTS {name}")
    for name in UNPUBLISHED:
        connection.execute(f"DELETE FROM {name}")  # noqa: S608
    connection.execute(f"CREATE OR REPLACE TABLE {OWNERS} {_OWNERS_COLUMNS}")
    now = datetime.now(timezone.utc)
    for warehouse_id in owned_by:
        connection.execute(f"INSERT INTO {OWNERS} VALUES (?, ?)", [warehouse_id, now])  # noqa: S608


def is_warehouse(connection: duckdb.DuckDBPyConnection) -> bool:
    """Return whether runs write to a database: publishing drops its identity and dlt's staging schemas."""
    query = """
        SELECT 1 FROM duckdb_tables() WHERE database_name = current_database()
        AND ((schema_name = 'main' AND table_name = ?) OR suffix(schema_name, '_staging'))
    """
    return bool(connection.execute(query, [IDENTITY]).fetchall())


def holds_publication(connection: duckdb.DuckDBPyConnection) -> bool:
    """Return whether the content of a database is its newest snapshot: published, or a copy of that."""
    query = (
        "SELECT 1 FROM duckdb_tables() WHERE database_name = current_database() AND table_name = ?"
    )
    is_copy = bool(connection.execute(query, [COMPLETE_COPY]).fetchall())
    return is_copy or not is_warehouse(connection)


def mark_complete(connection: duckdb.DuckDBPyConnection) -> None:
    """Mark a file as a complete copy of a publication, until a run writes to it."""
    connection.execute(
        f"CREATE TABLE IF NOT EXISTS {COMPLETE_COPY} (since TIMESTAMP WITH TIME ZONE)"
    )


def take_over(connection: duckdb.DuckDBPyConnection) -> None:
    """Mark a copy, complete or not, as the warehouse of runs: `copy` no longer resumes there."""
    for name in (UNFINISHED_COPY, COMPLETE_COPY):
        connection.execute(f"DROP TABLE IF EXISTS {name}")


def _refuse_foreign_database(connection: duckdb.DuckDBPyConnection) -> None:
    tables = connection.execute(
        """
        SELECT CASE WHEN schema_name = 'main' THEN '' ELSE schema_name || '.' END || table_name
        FROM duckdb_tables() WHERE database_name = current_database() ORDER BY ALL
        """
    ).fetchall()
    named = {table for (table,) in tables}
    if OWNERS in named:
        raise WarehouseError(
            "ANOMALY_WAREHOUSE names a published database, which cannot be the warehouse. "
            "Name another location. `anomaly-assets copy` creates a warehouse from it."
        )
    ours = {"facts", "image_tensors", "snapshots", UNFINISHED_COPY}
    loaded = (".stray_files", "._dlt_loads")  # left by a first load that was killed
    if named and not named & ours and not any(table.endswith(loaded) for table in named):
        shown = ", ".join(sorted(named)[:_MOST_NAMED])
        raise WarehouseError(
            f"ANOMALY_WAREHOUSE names a database with other tables ({shown}). It was not changed. "
            "Name another location."
        )
