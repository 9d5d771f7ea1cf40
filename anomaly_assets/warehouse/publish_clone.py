"""Publishing in MotherDuck: once the blocking checks have passed, people get a clone of the warehouse."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import duckdb

from anomaly_assets.tensors.spec import TensorSpec
from anomaly_assets.warehouse.motherduck import MotherDuckWarehouse
from anomaly_assets.warehouse.provenance import note_snapshot, provenance
from anomaly_assets.warehouse.publish import (
    COUNTED_TABLES,
    _counts,
    _refuse_what_is_wrong,
    _snapshot_id,
)
from anomaly_assets.warehouse.schema import ensure_tables, row_count


@dataclass(frozen=True)
class ClonePublication:
    """What publishing did.

    Attributes:
        snapshot_id: Digest of the content.
        written: False where this content was already published.
        samples: Number of rows of `samples`.
        provenance: Its row of `snapshots`, by column.
    """

    snapshot_id: str
    written: bool
    samples: int
    provenance: Mapping[str, Any]


def publish_clone(
    warehouse: MotherDuckWarehouse, spec: TensorSpec, *, run_id: str | None = None
) -> ClonePublication:
    """Publish what a database of MotherDuck holds, unless it already is.

    Args:
        warehouse: The database.
        spec: Shape that all tensors must have.
        run_id: Noted with the snapshot.

    Raises:
        PublishRefusedError: A blocking check fails.
    """
    with warehouse.finishing(), warehouse.connect() as connection:
        ensure_tables(connection)
        _refuse_what_is_wrong(connection, spec)
        snapshot_id = _snapshot_id(connection)
        samples = row_count(connection, "samples")
        if _published_id(connection, warehouse) == snapshot_id and not _differing(
            connection, warehouse
        ):
            return ClonePublication(
                snapshot_id, False, samples, provenance(connection, snapshot_id)
            )
        counts = _counts(connection)
        del counts["snapshots"]  # which this very row changes
        note_snapshot(connection, snapshot_id, run_id, counts)
        warehouse.clone(connection)
        return ClonePublication(snapshot_id, True, samples, provenance(connection, snapshot_id))


def differing_from_clone(warehouse: MotherDuckWarehouse) -> list[tuple[str, str | None]]:
    """Tables whose row counts differ between what is published and the warehouse, and how."""
    with warehouse.connect() as connection:
        return _differing(connection, warehouse)


def _published_id(
    connection: duckdb.DuckDBPyConnection, warehouse: MotherDuckWarehouse
) -> str | None:
    clone = warehouse.published.database
    newest = f"SELECT snapshot_id FROM {clone}.main.snapshots ORDER BY published_at DESC LIMIT 1"  # noqa: S608
    try:
        found = connection.execute(newest).fetchone()
    except (duckdb.CatalogException, duckdb.BinderException):
        return None
    return str(found[0]) if found else None


def _differing(
    connection: duckdb.DuckDBPyConnection, warehouse: MotherDuckWarehouse
) -> list[tuple[str, str | None]]:
    clone = warehouse.published.database
    counts = [
        (name, row_count(connection, f"{clone}.main.{name}"), row_count(connection, name))
        for name in COUNTED_TABLES
    ]
    return [
        (name, f"{found} published, {rows} in the warehouse")
        for name, found, rows in counts
        if found != rows
    ]
