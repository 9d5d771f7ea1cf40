"""Publish in MotherDuck: after the blocking checks, readers get a clone of the warehouse."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import duckdb

from anomaly_assets.locations import MotherDuckLocation
from anomaly_assets.recipes import Recipe
from anomaly_assets.tables.ddl import ensure_tables, row_counts
from anomaly_assets.tables.quality import Digest, quality_digest
from anomaly_assets.tables.source_datasets import published_marks, read_consents
from anomaly_assets.warehouse.base import Warehouse
from anomaly_assets.warehouse.provenance import note_snapshot, provenance, published_evaluation
from anomaly_assets.warehouse.publication import (
    Differences,
    Publication,
    Request,
    checked_content,
    differences,
)


def publish_clone(
    warehouse: Warehouse,
    clone: MotherDuckLocation,
    spec: Recipe,
    request: Request,
) -> Publication:
    """Publish the content of a MotherDuck database; see `Warehouse.publish`."""
    with warehouse.finishing(), warehouse.connect() as connection:
        ensure_tables(connection)
        published = _Clone(connection, clone)
        content = checked_content(connection, spec, published, request)
        if content.written:
            connection.begin()
            note_snapshot(connection, content.row)
            connection.commit()
            replace_clone(connection, warehouse.catalog, clone)
        origin = provenance(connection, content.snapshot_id)
    return content.published(origin, clone.name)


def differing_clone(warehouse: Warehouse, clone: MotherDuckLocation) -> Differences:
    """Compare a database of MotherDuck with its clone."""
    with warehouse.connect() as connection:
        return differences(connection, _Clone(connection, clone))


def replace_clone(
    connection: duckdb.DuckDBPyConnection, database: str, clone: MotherDuckLocation
) -> None:
    """Replace the clone that readers open, in one step and without copying data."""
    connection.execute(f"CREATE OR REPLACE DATABASE {clone.database} FROM {database}")


@dataclass(frozen=True)
class _Clone:
    connection: duckdb.DuckDBPyConnection
    clone: MotherDuckLocation
    adopted: bool = False

    @property
    def location(self) -> str:
        return self.clone.name

    def snapshot_id(self) -> str | None:
        clone = self.clone.database
        newest = (
            f"SELECT snapshot_id FROM {clone}.main.snapshots ORDER BY published_at DESC LIMIT 1"  # noqa: S608
        )
        try:
            found = self.connection.execute(newest).fetchone()
        except (duckdb.CatalogException, duckdb.BinderException):
            return None
        return str(found[0]) if found else None

    def evaluation_id(self) -> str | None:
        return published_evaluation(self.connection, f"{self.clone.database}.main.snapshots")

    def warehouse_id(self) -> str | None:
        return None

    def marks(self) -> dict[str, int]:
        if self.snapshot_id() is None:
            return {}
        return published_marks(self.connection, self.clone.database)

    def consents(self) -> set[tuple[str, int]]:
        return read_consents(self.connection, f"{self.clone.database}.main.consents")

    def quality(self) -> Digest | None:
        return quality_digest(self.connection, f"{self.clone.database}.main.")

    def row_counts(self, names: Collection[str]) -> dict[str, int]:
        return row_counts(self.connection, names, f"{self.clone.database}.main.")
