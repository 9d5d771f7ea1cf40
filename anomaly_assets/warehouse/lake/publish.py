"""Publish on a lake: record the version that passed the blocking checks; readers open that one.

A lake keeps its versions, so nothing is copied. A row of `published_versions` names the checked
version. Later refreshes create later versions, which readers do not open until these are recorded as
well. A publication is two commits: first the row of `snapshots`, which is part of the published
version, then the row of `published_versions`. A run that is killed between them has published nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone

import duckdb

from anomaly_assets.locations import LakeLocation
from anomaly_assets.recipes import Recipe
from anomaly_assets.tables.ddl import ensure_tables, sql_text
from anomaly_assets.tables.quality import Digest, quality_digest
from anomaly_assets.tables.source_datasets import are_samples, read_consents
from anomaly_assets.warehouse.base import CATALOG, Warehouse
from anomaly_assets.warehouse.lake.connect import (
    PUBLISHED_VERSIONS,
    PublishedVersion,
    attach_published,
    has_version,
    published_versions,
    start_for_lakes,
)
from anomaly_assets.warehouse.provenance import note_snapshot, provenance, published_evaluation
from anomaly_assets.warehouse.publication import (
    Differences,
    Publication,
    Request,
    checked_content,
    differences,
)


def publish_version(warehouse: Warehouse, spec: Recipe, request: Request) -> Publication:
    """Publish the newest version of a lake; see `Warehouse.publish`."""
    with warehouse.finishing(), warehouse.connect() as connection:
        ensure_tables(connection)
        published = _newest(connection, warehouse)
        _discard_unpublished(connection, published.published)
        content = checked_content(connection, spec, published, request)
        if content.written:
            connection.begin()
            note_snapshot(connection, content.row)
            connection.commit()
            publish_current_version(connection, content.snapshot_id)
        history = published_versions(connection, CATALOG)
        origin = provenance(connection, content.snapshot_id)
    return content.published(
        origin,
        warehouse.name,
        history=[{"snapshot_id": each.snapshot_id, "version": each.version} for each in history],
        details={"lake_version": history[0].version},
    )


def _discard_unpublished(
    connection: duckdb.DuckDBPyConnection, published: PublishedVersion | None
) -> None:
    """Delete rows of `snapshots` from runs that were killed before they published their version.

    They are missing in the version that is published. Times are not compared: clocks of several machines
    differ.
    """
    if published is None:
        return
    recorded = f"SELECT snapshot_id FROM snapshots AT (VERSION => {published.version})"  # noqa: S608
    unpublished = f"snapshot_id NOT IN ({recorded})"
    found = connection.execute(f"SELECT 1 FROM snapshots WHERE {unpublished}").fetchall()  # noqa: S608
    if found:
        connection.execute(f"DELETE FROM snapshots WHERE {unpublished}")  # noqa: S608


def publish_current_version(connection: duckdb.DuckDBPyConnection, snapshot_id: str) -> None:
    """Record the newest version as published; the caller must hold the write lock."""
    version = connection.execute(f"SELECT id FROM {CATALOG}.current_snapshot()").fetchall()[0][0]  # noqa: S608
    connection.execute(sql_text(PUBLISHED_VERSIONS))
    connection.execute(
        f"INSERT INTO {PUBLISHED_VERSIONS} VALUES (?, ?, ?)",  # noqa: S608
        [snapshot_id, version, datetime.now(timezone.utc)],
    )


def differing_version(warehouse: Warehouse) -> Differences:
    """Return the differences between the newest version of a lake and the published one."""
    with warehouse.finishing(), warehouse.connect() as connection:
        return differences(connection, _newest(connection, warehouse))


@dataclass(frozen=True)
class _Newest:
    """The published version of a lake; it is never adopted, because a lake publishes only to itself."""

    connection: duckdb.DuckDBPyConnection
    location: str
    published: PublishedVersion | None
    adopted: bool = False

    def snapshot_id(self) -> str | None:
        return self.published.snapshot_id if self.published else None

    def evaluation_id(self) -> str | None:
        if self.published is None:
            return None
        version = self.published.version
        return published_evaluation(self.connection, f"snapshots AT (VERSION => {version})")

    def warehouse_id(self) -> str | None:
        return None

    def marks(self) -> dict[str, int]:
        """Return tensor counts of the published version; the first release stored 0 for all marks."""
        if self.published is None:
            return {}
        version = self.published.version
        rows = self.connection.execute(
            f"""
            SELECT split_part(image_id, '/', 1), count(*), list(DISTINCT split_part(image_id, '/', 2))
            FROM image_tensors AT (VERSION => {version}) GROUP BY ALL
            """  # noqa: S608
        ).fetchall()
        roots = self.connection.execute(
            f"SELECT roots FROM snapshots AT (VERSION => {version}) ORDER BY published_at DESC LIMIT 1"  # noqa: S608
        ).fetchone()
        root_of = (roots[0] if roots else None) or {}
        return {
            name: count
            for name, count, categories in rows
            if not are_samples(name, root_of.get(name), categories)
        }

    def consents(self) -> set[tuple[str, int]]:
        if self.published is None:
            return set()
        return read_consents(self.connection, f"consents AT (VERSION => {self.published.version})")

    def quality(self) -> Digest | None:
        if self.published is None:
            return None
        return quality_digest(self.connection, after=f"AT (VERSION => {self.published.version})")

    def row_counts(self, names: Collection[str]) -> dict[str, int]:
        return {name: self._row_count(name) for name in names}

    def _row_count(self, name: str) -> int:
        assert self.published is not None
        query = f"SELECT count(*) FROM {name} AT (VERSION => {self.published.version})"  # noqa: S608
        try:
            return int(self.connection.execute(query).fetchall()[0][0])
        except duckdb.CatalogException:
            return 0


def _newest(connection: duckdb.DuckDBPyConnection, warehouse: Warehouse) -> _Newest:
    published = next(iter(published_versions(connection, CATALOG)), None)
    if published and not has_version(connection, CATALOG, published.version):
        published = None  # deleted by another tool; it cannot be opened
    return _Newest(connection, warehouse.name, published)


@contextmanager
def opened_version(location: LakeLocation) -> Iterator[duckdb.DuckDBPyConnection | None]:
    """Open the published version of a lake, read-only; yield None if there is none."""
    with start_for_lakes() as connection:
        try:
            attach_published(connection, location, "published")
        except LookupError:
            yield None
            return
        connection.execute("USE published.main")
        yield connection


def publish_copy(connection: duckdb.DuckDBPyConnection) -> None:
    """Publish the newest snapshot of a lake that was copied here."""
    newest = "SELECT snapshot_id FROM snapshots ORDER BY published_at DESC LIMIT 1"
    found = connection.execute(newest).fetchone()
    if found is not None:
        publish_current_version(connection, str(found[0]))
