"""Publishing on a lake: the version that passed the blocking checks is noted, and readers open that one.

A lake keeps its versions, so nothing is copied. A row of `published_versions` names the version that was
checked; what a refresh changes after it is in later versions, which nobody opens before they are noted
themselves. Two commits make a publication: the row of `snapshots`, which is a part of the version that is
published, and then the row that publishes it. A run that is killed between them has published nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone

import duckdb

from anomaly_assets.tensors.spec import TensorSpec
from anomaly_assets.warehouse.base import CATALOG
from anomaly_assets.warehouse.lake.connection import (
    PUBLISHED_VERSIONS,
    PublishedVersion,
    published_versions,
)
from anomaly_assets.warehouse.lake.warehouse import LakeWarehouse
from anomaly_assets.warehouse.publishing.content import (
    Differences,
    Publication,
    checked_content,
    differences,
)
from anomaly_assets.warehouse.schema import sql_text


def publish_version(
    warehouse: LakeWarehouse, spec: TensorSpec, *, run_id: str | None = None
) -> Publication:
    """Publish the newest version of a lake; see `warehouse.publish.publish`."""
    with warehouse.finishing(), warehouse.connect() as connection:
        content = checked_content(connection, spec, _newest(connection, warehouse), run_id)
        if content.written:
            publish_current_version(connection, content.snapshot_id)
        history = published_versions(connection, CATALOG)
    return Publication(
        **vars(content),
        location=warehouse.name,
        history=[{"snapshot_id": each.snapshot_id, "version": each.version} for each in history],
        details={"lake_version": history[0].version},
    )


def publish_current_version(connection: duckdb.DuckDBPyConnection, snapshot_id: str) -> None:
    """Let readers open the version that is the newest now; nobody else is writing."""
    version = connection.execute(f"SELECT id FROM {CATALOG}.current_snapshot()").fetchall()[0][0]  # noqa: S608
    connection.execute(sql_text(PUBLISHED_VERSIONS))
    connection.execute(
        f"INSERT INTO {PUBLISHED_VERSIONS} VALUES (?, ?, ?)",  # noqa: S608
        [snapshot_id, version, datetime.now(timezone.utc)],
    )


def differing_version(warehouse: LakeWarehouse) -> Differences:
    """What differs between the newest version of a lake and the one that is published."""
    with warehouse.finishing(), warehouse.connect() as connection:
        return differences(connection, _newest(connection, warehouse))


@dataclass(frozen=True)
class _Newest:
    connection: duckdb.DuckDBPyConnection
    location: str
    published: PublishedVersion | None

    def snapshot_id(self) -> str | None:
        return self.published.snapshot_id if self.published else None

    def row_count(self, name: str) -> int:
        assert self.published is not None
        query = f"SELECT count(*) FROM {name} AT (VERSION => {self.published.version})"  # noqa: S608
        try:
            return int(self.connection.execute(query).fetchall()[0][0])
        except duckdb.CatalogException:
            return 0


def _newest(connection: duckdb.DuckDBPyConnection, warehouse: LakeWarehouse) -> _Newest:
    published = next(iter(published_versions(connection, CATALOG)), None)
    return _Newest(connection, warehouse.name, published)
