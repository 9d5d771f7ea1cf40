"""Make a lake for one test, and read its content."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest

from anomaly_assets.locations import LakeLocation, parse_location
from anomaly_assets.warehouse.lake.connect import (
    PUBLISHED_VERSIONS,
    attach_lake,
    connect_lake,
    start_for_lakes,
)
from anomaly_assets.warehouse.lake.warehouse import LakeWarehouse
from anomaly_assets.warehouse.publication import Publication
from anomaly_assets_tests.assets.environment import Environment
from anomaly_assets_tests.faults.content import Content, content_of
from anomaly_assets_tests.warehouse.lake.postgres import Postgres
from anomaly_assets_tests.warehouse.project import SPEC

NOWHERE = Path("a lake publishes where it is")
"""Target of a publication of a lake, which is ignored."""

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Lake:
    """A lake.

    Attributes:
        environment: The settings that point to it.
        postgres: The server of its catalogue.
        database: Name of its catalogue.
        folder: Folder of its files.
    """

    environment: Environment
    postgres: Postgres
    database: str
    folder: str

    @property
    def location(self) -> str:
        return self.postgres.location(self.database)

    @property
    def parsed(self) -> LakeLocation:
        parsed = parse_location(self.location)
        assert isinstance(parsed, LakeLocation)
        return parsed

    def warehouse(self, wait_seconds: float = 60.0) -> LakeWarehouse:
        return LakeWarehouse(self.parsed, self.folder, wait_seconds)

    def publish(self, **options: Any) -> Publication:
        """Publish the newest version; see `Warehouse.publish`."""
        return self.warehouse().publish(NOWHERE, SPEC, **options)

    def published(self, snapshot: str | None = None) -> Content:
        """Return the content that readers get."""
        connection = connect_lake(self.location, snapshot=snapshot)
        try:
            return _comparable(content_of(connection))
        finally:
            connection.close()

    @contextmanager
    def newest(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open the newest version, published or not."""
        connection = start_for_lakes()
        try:
            attach_lake(connection, self.parsed, "published", read_only=True)
            connection.execute("USE published.main")
            yield connection
        finally:
            connection.close()

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Return rows of the newest version."""
        with self.newest() as connection:
            return connection.execute(query).fetchall()

    def versions(self) -> int:
        """Return the number of the newest version."""
        [(version,)] = self.rows("SELECT max(snapshot_id) FROM ducklake_snapshots('published')")
        return int(version)

    def publications(self) -> list[tuple[str, int]]:
        """Return snapshot id and version of all publications, in order."""
        return self.rows(f"SELECT snapshot_id, version FROM {PUBLISHED_VERSIONS} ORDER BY version")


def new_lake(
    environment: Environment,
    postgres: Postgres,
    folder: str,
    monkeypatch: pytest.MonkeyPatch,
    template: str = "template1",
) -> Lake:
    """Create a catalogue, empty or as a copy of another, and let the settings point to it."""
    database = f"lake_{next(_numbers)}"
    postgres.create(database, template)
    lake = Lake(environment, postgres, database, folder)
    monkeypatch.setenv("ANOMALY_WAREHOUSE", lake.location)
    monkeypatch.setenv("ANOMALY_LAKE_DATA", folder)
    return lake


def _comparable(content: Content) -> Content:
    """Return the content without tables that a published file lacks: publications and staged rows."""
    others = {
        name
        for name in content.tables
        if name == f"main.{PUBLISHED_VERSIONS}" or "_staging." in name
    }
    assert not any(content.tables[name] for name in others if "_staging." in name)
    return Content({name: content.tables[name] for name in {*content.tables} - others})
