"""The row of `snapshots`: what a publication holds, and where that came from."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

import duckdb

from anomaly_assets.version import code_version
from anomaly_assets.warehouse.schema import sql_text


def note_snapshot(
    connection: duckdb.DuckDBPyConnection,
    snapshot_id: str,
    run_id: str | None,
    row_counts: Mapping[str, int],
) -> None:
    """Write the row of a snapshot that is about to be published, anew if it is there.

    Args:
        connection: The warehouse.
        snapshot_id: Digest of the content.
        run_id: The run that publishes it.
        row_counts: Table to its number of rows.
    """
    connection.begin()
    connection.execute("DELETE FROM snapshots WHERE snapshot_id = ?", [snapshot_id])
    connection.execute(
        sql_text("note_snapshot"),
        {
            "snapshot_id": snapshot_id,
            "published_at": datetime.now(timezone.utc),
            "run_id": run_id,
            "code_version": code_version(),
            "tables": list(row_counts),
            "rows": list(row_counts.values()),
        },
    )
    connection.commit()


def provenance(connection: duckdb.DuckDBPyConnection, snapshot_id: str) -> dict[str, Any]:
    """The row of a snapshot by column; empty where it was never noted."""
    query = "FROM snapshots WHERE snapshot_id = ?"
    result = connection.execute(query, [snapshot_id])
    names = [column[0] for column in result.description or []]
    row = result.fetchone()
    return dict(zip(names, row, strict=True)) if row else {}
