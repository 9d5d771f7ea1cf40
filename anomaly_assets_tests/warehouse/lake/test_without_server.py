"""Test parts of a lake that need no PostgreSQL: its folder, its store, messages and publications."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from anomaly_assets.errors import WarehouseError
from anomaly_assets.locations import LakeLocation, parse_location
from anomaly_assets.warehouse.lake import connect
from anomaly_assets.warehouse.lake.connect import (
    PublishedVersion,
    allow_store,
    attach_lake,
    connect_lake,
    has_version,
    is_relative,
    published_versions,
    start_for_lakes,
)
from anomaly_assets.warehouse.lake.explained import explained_lake, meaning
from anomaly_assets.warehouse.lake.folder import settled_folder
from anomaly_assets.warehouse.lake.locks import LakeLocks
from anomaly_assets.warehouse.open import open_warehouse

NAME = "ducklake:postgres:host=db"
NOBODY = "ducklake:postgres:host=127.0.0.1 port=1 dbname=lake user=team password=hidden-one"
ONE, OTHER = "1" * 64, "12" * 32


@pytest.fixture(scope="module")
def instance() -> Iterator[duckdb.DuckDBPyConnection]:
    """Start a DuckDB instance once: it verifies its extensions, 100 MB."""
    started = start_for_lakes()
    yield started
    started.close()


class Catalogue:
    """The answers of a catalogue in PostgreSQL.

    Attributes:
        data_path: The folder that it stores; None for a lake that does not exist yet.
        file: Path of its newest data file.
    """

    def __init__(self, data_path: str | None = None, file: str | None = None) -> None:
        self.data_path = data_path
        self.file = file

    def query(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        if "to_regclass" in statement:
            return [(None if self.data_path is None else "ducklake_metadata",)]
        if statement.startswith("UPDATE"):
            (self.data_path,) = values
            return [("data_path",)]
        if "ducklake_data_file" in statement:
            return [] if self.file is None else [(self.file,)]
        return [(self.data_path,)]


def settled(
    instance: duckdb.DuckDBPyConnection, folder: Path | str | None, catalogue: Catalogue
) -> str | None:
    return settled_folder(instance, catalogue.query, None if folder is None else str(folder), NAME)


def test_the_folder_of_a_new_lake_is_created_and_its_path_is_absolute(
    instance: duckdb.DuckDBPyConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert settled(instance, "shared/lake", Catalogue()) == str(tmp_path / "shared/lake")
    assert list((tmp_path / "shared/lake").iterdir()) == []


@pytest.mark.parametrize("place", ["lake", "lake/deeper", "lake/main/images"])
def test_the_folder_of_another_lake_is_refused_and_nothing_is_created(
    instance: duckdb.DuckDBPyConnection, tmp_path: Path, place: str
) -> None:
    file = tmp_path / "lake/main/images/ducklake-1.parquet"
    file.parent.mkdir(parents=True)
    file.touch()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(WarehouseError, match="holds the files of another lake") as raised:
        settled(instance, tmp_path / place, Catalogue())
    assert str(raised.value).startswith(f"{NAME} is new, and {tmp_path / 'lake'}")
    assert sorted(tmp_path.rglob("*")) == before


def test_the_folder_of_an_existing_lake_is_not_looked_through(
    instance: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    (tmp_path / "ducklake-1.parquet").touch()
    catalogue = Catalogue(f"{tmp_path}/")
    assert settled(instance, tmp_path, catalogue) == str(tmp_path)
    assert settled(instance, None, catalogue) is None
    assert catalogue.data_path == f"{tmp_path}/"


def test_a_folder_that_cannot_be_created_is_named_before_the_lake_stores_it(
    instance: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WarehouseError, match="was not made: its folder .*file/lake cannot be"):
        settled(instance, tmp_path / "file/lake", Catalogue())


@pytest.mark.parametrize("file", [None, "main/images/ducklake-1.parquet"])
def test_a_relative_folder_of_an_older_release_becomes_absolute_where_its_files_are(
    instance: duckdb.DuckDBPyConnection,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    file: str | None,
) -> None:
    (tmp_path / "lake/main/images").mkdir(parents=True)
    (tmp_path / "lake/main/images/ducklake-1.parquet").touch()
    monkeypatch.chdir(tmp_path)
    catalogue = Catalogue("lake/", file)
    settled(instance, None, catalogue)
    assert catalogue.data_path == f"{tmp_path}/lake/"


def test_a_relative_folder_without_the_files_of_the_lake_stays_as_it_is(
    instance: duckdb.DuckDBPyConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lake").mkdir()
    monkeypatch.chdir(tmp_path)
    catalogue = Catalogue("lake/", "main/images/ducklake-1.parquet")
    settled(instance, None, catalogue)
    assert catalogue.data_path == "lake/"


def test_a_store_that_cannot_be_listed_is_named(
    instance: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance.execute("SET http_retries = 0")
    keys(monkeypatch, "http://127.0.0.1:1")
    with pytest.raises(WarehouseError, match=r"^s3://bucket/lake cannot be listed: "):
        settled(instance, "s3://bucket/lake", Catalogue())


def keys(monkeypatch: pytest.MonkeyPatch, endpoint: str | None, token: str | None = None) -> None:
    """Set the variables of AWS to these, and no others."""
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "an-example-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden-one")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    for name, value in (("AWS_ENDPOINT_URL", endpoint), ("AWS_SESSION_TOKEN", token)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("endpoint", "told"),
    [
        (None, {"endpoint": "s3.eu-west-1.amazonaws.com", "use_ssl": "true"}),
        (
            "http://127.0.0.1:9000/",
            {"endpoint": "127.0.0.1:9000", "use_ssl": "false", "url_style": "path"},
        ),
    ],
)
def test_the_keys_of_a_store_hold_for_the_folder_of_the_lake_and_are_not_shown(
    instance: duckdb.DuckDBPyConnection,
    monkeypatch: pytest.MonkeyPatch,
    endpoint: str | None,
    told: dict[str, str],
) -> None:
    keys(monkeypatch, endpoint, token="hidden-two")
    allow_store(instance, "lake", "s3://bucket/lake")
    allow_store(instance, "folder", "/srv/lake")
    [(name, scope, text)] = instance.execute(
        "SELECT name, scope, secret_string FROM duckdb_secrets() WHERE name <> 'new_store'"
    ).fetchall()
    assert (name, scope) == ("lake_store", ["s3://bucket/lake"])
    found = dict(part.split("=", 1) for part in text.split(";"))
    assert found.items() >= {**told, "region": "eu-west-1", "key_id": "an-example-key"}.items()
    assert found["session_token"] == found["secret"] == "redacted"
    assert "hidden" not in text


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ("No snapshot found at version 7", "version 7, which was open, has expired"),
        ("No magic bytes found at end of file '/a/b.parquet'", "/a/b.parquet is damaged"),
        ('Cannot open file "/a/b.parquet": No such file', "/a/b.parquet is missing"),
        ("HTTP GET error on 's3://b/a.parquet' (HTTP 404)", "s3://b/a.parquet is missing"),
        (
            "HTTP GET error on 's3://b/a.parquet' (HTTP 403)",
            "denies access to the data file s3://b",
        ),
        ("Could not connect to server for HTTP GET to 's3://b/a.parquet'", "does not answer"),
    ],
)
def test_errors_of_the_files_of_a_lake_say_what_to_do(said: str, problem: str) -> None:
    with pytest.raises(WarehouseError) as raised, explained_lake(NAME):
        raise duckdb.IOException(f"IO Error: {said}")
    assert str(raised.value).startswith(f"{NAME}: ")
    assert problem in str(raised.value)
    assert isinstance(raised.value.__cause__, duckdb.Error)


def test_another_error_stays_what_it_is() -> None:
    assert meaning(NAME, duckdb.Error("Parser Error")) is None
    with pytest.raises(duckdb.ParserException), explained_lake(NAME):
        duckdb.connect(":memory:").execute("SELEC 1")


def test_a_server_that_is_down_is_named_without_the_password(
    instance: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    location = parse_location(NOBODY)
    assert isinstance(location, LakeLocation)
    warehouse = open_warehouse(NOBODY, 1.0, lake_data=str(tmp_path / "lake"))
    with pytest.raises(WarehouseError, match="cannot be opened: ") as to_write, warehouse.locked():
        raise AssertionError("there is no server")
    with pytest.raises(WarehouseError, match="cannot be opened: ") as to_attach:
        attach_lake(instance, location, "lake", read_only=True)
    with pytest.raises(WarehouseError, match="cannot be opened: ") as to_read:
        connect_lake(NOBODY)
    for raised in (to_write, to_attach, to_read):
        assert str(raised.value).startswith(f"{location.name} cannot be opened: ")
        assert "host=127.0.0.1 port=1" in location.name
        assert "hidden-one" not in str(raised.value)
        assert raised.value.__cause__ is None
    assert not (tmp_path / "lake").exists()


def test_a_run_without_its_session_has_no_lock() -> None:
    location = parse_location(NOBODY)
    assert isinstance(location, LakeLocation)
    locks = LakeLocks(location, 0.0, print)
    with pytest.raises(WarehouseError, match="no run holds it"):
        locks.acquire("the refresh of mvtec_ad")
    assert not locks.holds("the refresh of mvtec_ad")


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        (
            "database does not exist - and creating a new DuckLake is explicitly disabled",
            "holds no lake yet: refresh it once",
        ),
        ("data_path is not set", "holds no lake yet. Set the folder"),
        (
            'DATA_PATH parameter "/a" does not match existing data path "/b"\nmore',
            "has its files in another folder than ANOMALY_LAKE_DATA",
        ),
        (
            "unable to connect: connection to server at db failed: timeout",
            "cannot be opened: connection to server at db failed: timeout",
        ),
    ],
)
def test_why_a_lake_was_not_attached(said: str, problem: str) -> None:
    location = LakeLocation("host=db password=x", shown="host=db")
    assert connect._why_not_attached(location, duckdb.Error(said)).startswith(f"{NAME} {problem}")


@pytest.mark.parametrize(
    ("folder", "relative"),
    [("lake", True), ("../lake", True), ("/srv/lake", False), ("s3://bucket/lake", False)],
)
def test_a_folder_that_depends_on_the_process_is_relative(folder: str, relative: bool) -> None:
    assert is_relative(folder) is relative


def test_publications_are_read_from_a_lake_newest_first(
    instance: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    """Use a lake whose catalogue is a DuckDB file: only the locks need PostgreSQL."""
    options = f"DATA_PATH '{tmp_path / 'lake'}', DATA_INLINING_ROW_LIMIT 0"
    instance.execute(f"ATTACH 'ducklake:{tmp_path / 'catalogue'}' AS published ({options})")
    assert published_versions(instance) == []
    instance.execute(
        "CREATE TABLE published.main.published_versions (snapshot_id VARCHAR, version BIGINT)"
    )
    instance.execute(
        "INSERT INTO published.main.published_versions VALUES (?, 1), (?, 2)", [ONE, OTHER]
    )
    assert published_versions(instance) == [PublishedVersion(OTHER, 2), PublishedVersion(ONE, 1)]
    assert has_version(instance, "published", 2)
    assert not has_version(instance, "published", 9)
    assert Path(connect._data_path(instance, "published")) == tmp_path / "lake"


def test_a_publication_is_chosen_by_its_id_or_its_first_digits() -> None:
    location = LakeLocation("host=db", shown="host=db")
    published = [PublishedVersion(OTHER, 2), PublishedVersion(ONE, 1)]
    assert connect._chosen(location, published, None) == published[0]
    assert connect._chosen(location, published, "11") == published[1]
    with pytest.raises(LookupError, match="Nothing is published in ducklake:postgres:host=db"):
        connect._chosen(location, [], None)
    for snapshot, what in (("1", "more than one snapshot"), ("f", "no snapshot")):
        with pytest.raises(LookupError) as raised:
            connect._chosen(location, published, snapshot)
        assert re.search(
            f"{what} '{snapshot}'. Published: {OTHER[:12]}, {ONE[:12]}", str(raised.value)
        )
