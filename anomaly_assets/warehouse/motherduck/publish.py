"""Publishing in MotherDuck: once the blocking checks have passed, people get a clone of the warehouse."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import duckdb

from anomaly_assets.tables.ddl import ensure_tables, row_counts
from anomaly_assets.tables.source_datasets import published_marks, read_consents
from anomaly_assets.tensor_spec import TensorSpec
from anomaly_assets.warehouse.motherduck.warehouse import MotherDuckWarehouse
from anomaly_assets.warehouse.provenance import note_snapshot, provenance
from anomaly_assets.warehouse.publication import (
    Differences,
    Publication,
    checked_content,
    differences,
)


def publish_clone(
    warehouse: MotherDuckWarehouse,
    spec: TensorSpec,
    *,
    run_id: str | None = None,
    allow_shrink: bool = False,
) -> Publication:
    """Publish what a database of MotherDuck holds; see `warehouse.publish.publish`."""
    with warehouse.finishing(), warehouse.connect() as connection:
        ensure_tables(connection)
        clone = _Clone(connection, warehouse)
        content = checked_content(connection, spec, clone, run_id, allow_shrink=allow_shrink)
        if content.written:
            connection.begin()
            note_snapshot(connection, content.row)
            connection.commit()
            warehouse.clone(connection)
        origin = provenance(connection, content.snapshot_id)
    return content.published(origin, clone.location)


def differing_clone(warehouse: MotherDuckWarehouse) -> Differences:
    """What differs between a database of MotherDuck and its clone."""
    with warehouse.connect() as connection:
        return differences(connection, _Clone(connection, warehouse))


@dataclass(frozen=True)
class _Clone:
    connection: duckdb.DuckDBPyConnection
    warehouse: MotherDuckWarehouse
    adopted: bool = False

    @property
    def location(self) -> str:
        return self.warehouse.published.name

    def snapshot_id(self) -> str | None:
        clone = self.warehouse.published.database
        newest = (
            f"SELECT snapshot_id FROM {clone}.main.snapshots ORDER BY published_at DESC LIMIT 1"  # noqa: S608
        )
        try:
            found = self.connection.execute(newest).fetchone()
        except (duckdb.CatalogException, duckdb.BinderException):
            return None
        return str(found[0]) if found else None

    def warehouse_id(self) -> str | None:
        return None

    def marks(self) -> dict[str, int]:
        if self.snapshot_id() is None:
            return {}
        return published_marks(self.connection, self.warehouse.published.database)

    def consents(self) -> set[tuple[str, int]]:
        return read_consents(self.connection, f"{self.warehouse.published.database}.main.consents")

    def row_counts(self, names: Collection[str]) -> dict[str, int]:
        return row_counts(self.connection, names, f"{self.warehouse.published.database}.main.")
