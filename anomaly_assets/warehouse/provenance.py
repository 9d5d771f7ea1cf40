"""Read and write the row of `snapshots`: content and origin of a publication."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import duckdb

from anomaly_assets.tables.ddl import sql_text
from anomaly_assets.version import code_version


@dataclass(frozen=True)
class SnapshotRow:
    """Values of a row of `snapshots`, except those that its SQL file counts.

    Attributes:
        snapshot_id: Digest of the content.
        run_id: The run that publishes it.
        warehouse_id: Identity of the warehouse.
        row_counts: Map of a table to its number of rows.
        published_at: Time of publication, in UTC; see `time_of_publication`.
        evaluation_id: Digest of the results of the baseline; None if there are none.
    """

    snapshot_id: str
    run_id: str | None
    warehouse_id: str
    row_counts: Mapping[str, int]
    published_at: datetime
    evaluation_id: str | None = None


def time_of_publication(connection: duckdb.DuckDBPyConnection) -> datetime:
    """Return the time of a publication: now, or just after the newest one.

    Times must increase, because the newest row of `snapshots` describes the content of a file, and a
    clock may have been ahead when that row was written.
    """
    [(newest,)] = connection.execute("SELECT epoch_us(max(published_at)) FROM snapshots").fetchall()
    now = datetime.now(timezone.utc)
    if newest is None:
        return now
    after = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(microseconds=newest + 1)
    return max(now, after)


def note_snapshot(connection: duckdb.DuckDBPyConnection, row: SnapshotRow) -> None:
    """Write or replace the row of a snapshot, so that content published twice has one row.

    The caller must have begun a transaction.

    Args:
        connection: The copy before it is published; afterwards the warehouse.
        row: Values to write.
    """
    connection.execute("DELETE FROM snapshots WHERE snapshot_id = ?", [row.snapshot_id])
    connection.execute(
        sql_text("note_snapshot"),
        {
            "snapshot_id": row.snapshot_id,
            "published_at": row.published_at,
            "run_id": row.run_id,
            "code_version": code_version(),
            "tables": list(row.row_counts),
            "rows": list(row.row_counts.values()),
            "warehouse_id": row.warehouse_id,
            "evaluation_id": row.evaluation_id,
        },
    )


def was_published(connection: duckdb.DuckDBPyConnection, snapshot_id: str) -> bool:
    """Return whether a release that digests its summaries has published this content before."""
    query = "SELECT count(*) FROM snapshots WHERE snapshot_id = ? AND warehouse_id IS NOT NULL"
    return connection.execute(query, [snapshot_id]).fetchone() != (0,)


def published_evaluation(connection: duckdb.DuckDBPyConnection, snapshots: str) -> str | None:
    """Return the evaluation id of the newest publication; None for one without results.

    Args:
        connection: A DuckDB instance with a published database.
        snapshots: The table `snapshots` in SQL, such as `published.main.snapshots`.
    """
    query = f"SELECT evaluation_id FROM {snapshots} ORDER BY published_at DESC LIMIT 1"  # noqa: S608
    try:
        found = connection.execute(query).fetchone()
    except (duckdb.CatalogException, duckdb.BinderException):  # of an earlier release
        return None
    return found[0] if found else None


def provenance(connection: duckdb.DuckDBPyConnection, snapshot_id: str) -> dict[str, Any]:
    """Return the row of a snapshot by column; empty if it was never recorded."""
    query = "FROM snapshots WHERE snapshot_id = ?"
    result = connection.execute(query, [snapshot_id])
    names = [column[0] for column in result.description or []]
    row = result.fetchone()
    return dict(zip(names, row, strict=True)) if row else {}
