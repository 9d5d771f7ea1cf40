"""Test MotherDuck without an account: the statements sent to a DuckDB instance that simulates it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import duckdb
import pytest

from anomaly_assets.errors import WarehouseError, install_extra
from anomaly_assets.locations import LocationError, MotherDuckLocation, parse_location
from anomaly_assets.tables.ddl import row_count
from anomaly_assets.warehouse.copying.copy import copy_database
from anomaly_assets.warehouse.extensions import load_extensions
from anomaly_assets.warehouse.motherduck.warehouse import (
    MotherDuckWarehouse,
    start_motherduck,
)
from anomaly_assets.warehouse.open import open_warehouse
from anomaly_assets_tests.warehouse.project import SPEC, Project

TOKEN = "token-of-somebody"


class Played:
    """A DuckDB instance in memory that records every statement, and simulates MotherDuck's own ones."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, said: list[str]) -> None:
        self._connection = connection
        self._said = said

    def execute(self, statement: str, parameters: Any = None) -> Any:
        self._said.append(" ".join(statement.split()))
        if statement == "ATTACH 'md:'":
            return self
        if made := re.fullmatch(r"CREATE DATABASE IF NOT EXISTS (\w+)", statement):
            return self._connection.execute(f"ATTACH IF NOT EXISTS ':memory:' AS {made[1]}")
        if cloned := re.fullmatch(r"CREATE OR REPLACE DATABASE (\w+) FROM (\w+)", statement):
            self._connection.execute(f"DETACH DATABASE IF EXISTS {cloned[1]}")
            self._connection.execute(f"ATTACH ':memory:' AS {cloned[1]}")
            return self._connection.execute(f"COPY FROM DATABASE {cloned[2]} TO {cloned[1]}")
        return self._connection.execute(statement, parameters)

    def cursor(self) -> Played:
        return Played(self._connection.cursor(), self._said)

    def close(self) -> None:
        self._connection.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def warehouse(said: list[str], monkeypatch: pytest.MonkeyPatch) -> MotherDuckWarehouse:
    """Return a database with the name `team`, which exists during the test."""
    instance = duckdb.connect(":memory:")
    instance.execute("SET GLOBAL TimeZone = 'UTC'")

    def start() -> Any:
        return Played(instance.cursor(), said)

    made = MotherDuckWarehouse(MotherDuckLocation("team"), 1.0, start=start)
    monkeypatch.setattr(
        "anomaly_assets.warehouse.copying.copy.open_warehouse", lambda *_, **__: made
    )
    return made


def test_the_location_is_the_name_of_a_database() -> None:
    warehouse = open_warehouse("md:team")
    assert isinstance(warehouse, MotherDuckWarehouse)
    assert (warehouse.name, warehouse.published.name) == ("md:team", "md:team_published")
    assert parse_location("motherduck:team") == MotherDuckLocation("team")


@pytest.mark.parametrize("location", ["md:", "md:a b", "md:team?motherduck_token=hidden-one"])
def test_a_location_that_names_no_database_is_refused_and_a_token_in_it_not_shown(
    location: str,
) -> None:
    with pytest.raises(
        LocationError, match="the name of a database and nothing else, such as md:anomaly"
    ) as raised:
        open_warehouse(location)
    assert "hidden-one" not in str(raised.value)


def test_a_missing_token_is_named_before_anything_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("motherduck_token", "MOTHERDUCK_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with (
        pytest.raises(WarehouseError, match="neither motherduck_token nor MOTHERDUCK_TOKEN is set"),
        open_warehouse("md:team").connect(),
    ):
        pass


def test_the_extension_is_named_where_it_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTHERDUCK_TOKEN", TOKEN)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(WarehouseError, match=re.escape(install_extra("motherduck"))) as raised:
        start_motherduck()
    assert TOKEN not in str(raised.value)
    with pytest.raises(WarehouseError, match=re.escape(install_extra("lake"))):
        load_extensions(duckdb.connect(":memory:"), "ducklake")


def test_a_database_is_copied_built_and_published_with_these_statements(
    project: Project, warehouse: MotherDuckWarehouse, said: list[str], tmp_path: Path
) -> None:
    project.warehouse.publish(tmp_path / "anomaly.duckdb", SPEC)
    copied = copy_database(str(project.warehouse.path), "md:team", log=lambda _: None)
    assert copied.tables["main.image_tensors"].rows == 9
    assert said[:3] == [
        "ATTACH 'md:'",
        "CREATE DATABASE IF NOT EXISTS team",
        "USE team.main",
    ]
    assert said[-2] == "CREATE OR REPLACE DATABASE team_published FROM team"
    with warehouse.connect() as connection:
        connection.execute("UPDATE image_tensors SET run_id = 'another'")
    first = warehouse.publish(tmp_path / "unused.duckdb", SPEC, run_id="first")
    again = warehouse.publish(tmp_path / "unused.duckdb", SPEC, run_id="again")
    assert (first.location, first.written, again.written) == ("md:team_published", True, False)
    assert first.snapshot_id == again.snapshot_id
    assert warehouse.differences(tmp_path / "unused.duckdb") == []
    assert said.count("CREATE OR REPLACE DATABASE team_published FROM team") == 2
    assert not [statement for statement in said if "CHECKPOINT" in statement]
    with warehouse.connect() as connection:
        assert row_count(connection, "samples") == 9
    assert not (tmp_path / "unused.duckdb").exists()
