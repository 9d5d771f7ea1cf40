"""Publishing on a lake: the version that passed the blocking checks is noted, and readers open that one.

A lake keeps its versions, so nothing is copied. A row of `published_versions` names the version that was
checked; what a refresh changes after it is in later versions, which nobody opens before they are noted
themselves. Two commits make a publication: the row of `snapshots`, which is a part of the version that is
published, and then the row that publishes it. A run that is killed between them has published nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import duckdb

from anomaly_assets.tensors.spec import TensorSpec
from anomaly_assets.warehouse.base import CATALOG
from anomaly_assets.warehouse.lake import LakeWarehouse
from anomaly_assets.warehouse.lake_connection import (
    PUBLISHED_VERSIONS,
    PublishedVersion,
    published_versions,
)
from anomaly_assets.warehouse.provenance import note_snapshot, provenance
from anomaly_assets.warehouse.publish import (
    COUNTED_TABLES,
    _counts,
    _refuse_what_is_wrong,
    _snapshot_id,
)
from anomaly_assets.warehouse.schema import ensure_tables, row_count, sql_text


@dataclass(frozen=True)
class LakePublication:
    """What publishing did.

    Attributes:
        snapshot_id: Digest of the content.
        written: False where this content was already published.
        version: Version of the lake that holds it.
        samples: Number of rows of `samples`.
        provenance: Its row of `snapshots`, by column.
        history: What was published, the newest first.
    """

    snapshot_id: str
    written: bool
    version: int
    samples: int
    provenance: Mapping[str, Any]
    history: list[PublishedVersion]


def publish_version(
    warehouse: LakeWarehouse, spec: TensorSpec, *, run_id: str | None = None
) -> LakePublication:
    """Publish the newest version of a lake, unless its content already is.

    Args:
        warehouse: The lake.
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
        newest = _newest(connection)
        if newest and newest.snapshot_id == snapshot_id and not _differing(connection, newest):
            origin, history = (
                provenance(connection, snapshot_id),
                published_versions(connection, CATALOG),
            )
            return LakePublication(snapshot_id, False, newest.version, samples, origin, history)
        counts = _counts(connection)
        del counts["snapshots"]  # which this very row changes
        note_snapshot(connection, snapshot_id, run_id, counts)
        version = publish_current_version(connection, snapshot_id)
        origin, history = (
            provenance(connection, snapshot_id),
            published_versions(connection, CATALOG),
        )
        return LakePublication(snapshot_id, True, version, samples, origin, history)


def publish_current_version(connection: duckdb.DuckDBPyConnection, snapshot_id: str) -> int:
    """Let readers open the version that is the newest now; nobody else is writing."""
    version = connection.execute(f"SELECT id FROM {CATALOG}.current_snapshot()").fetchall()[0][0]  # noqa: S608
    connection.execute(sql_text(PUBLISHED_VERSIONS))
    connection.execute(
        f"INSERT INTO {PUBLISHED_VERSIONS} VALUES (?, ?, ?)",  # noqa: S608
        [snapshot_id, version, datetime.now(timezone.utc)],
    )
    return int(version)


def differing_versions(warehouse: LakeWarehouse) -> list[tuple[str, str | None]]:
    """Tables whose row counts differ between what is published and the newest version, and how."""
    with warehouse.finishing(), warehouse.connect() as connection:
        newest = _newest(connection)
        if newest is None:
            return [(warehouse.name, "nothing is published")]
        return _differing(connection, newest)


def _newest(connection: duckdb.DuckDBPyConnection) -> PublishedVersion | None:
    return next(iter(published_versions(connection, CATALOG)), None)


def _differing(
    connection: duckdb.DuckDBPyConnection, published: PublishedVersion
) -> list[tuple[str, str | None]]:
    differing: list[tuple[str, str | None]] = []
    for name in COUNTED_TABLES:
        query = f"SELECT count(*) FROM {name} AT (VERSION => {published.version})"  # noqa: S608
        try:
            found = connection.execute(query).fetchall()[0][0]
        except duckdb.CatalogException:
            found = 0
        rows = row_count(connection, name)
        if found != rows:
            differing.append((name, f"{found} published, {rows} in the warehouse"))
    return differing
