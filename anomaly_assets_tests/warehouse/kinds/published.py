"""Define a published warehouse of any kind."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from anomaly_assets.reader.database import Database
from anomaly_assets.reader.open import open_database
from anomaly_assets.warehouse.base import Warehouse
from anomaly_assets.warehouse.publication import Differences, Publication
from anomaly_assets_tests.warehouse.project import SPEC


@dataclass(frozen=True)
class Published:
    """A warehouse of nine images, and what it has published.

    Attributes:
        warehouse: The warehouse.
        target: Target of its publications; a lake ignores it.
        open: Opens the published database as readers do.
        location: Location of the published database.
    """

    warehouse: Warehouse
    target: Path
    open: Callable[[], duckdb.DuckDBPyConnection]
    location: str

    def publish(self, **options: Any) -> Publication:
        return self.warehouse.publish(self.target, SPEC, **options)

    def differences(self) -> Differences:
        return self.warehouse.differences(self.target)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Run a statement in the warehouse."""
        with self.warehouse.connect() as connection:
            return connection.execute(query).fetchall()

    def delete(self, condition: str) -> None:
        """Delete images and their tensors from the warehouse."""
        for table in ("mvtec_ad.images", "dagm_2007.images", "image_tensors"):
            self.rows(f"DELETE FROM {table} WHERE {condition}")

    def read(self, query: str) -> list[tuple[Any, ...]]:
        """Return rows of the published database."""
        with closing(self.open()) as connection:
            return connection.execute(query).fetchall()

    def database(self) -> Database:
        """Open the published database as Python readers do."""
        return open_database(self.location)

    def newest_id(self) -> str:
        """Return the id of the published snapshot."""
        query = "SELECT snapshot_id FROM snapshots ORDER BY published_at DESC LIMIT 1"
        return str(self.read(query)[0][0])
