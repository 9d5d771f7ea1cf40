"""Test the parsing of locations; a password in a location is never shown."""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from anomaly_assets.errors import WarehouseError, install_extra
from anomaly_assets.locations import (
    LakeLocation,
    LocationError,
    is_file,
    parse_location,
    shown_scheme,
)
from anomaly_assets.reader import diff_snapshots, list_snapshots, open_samples
from anomaly_assets.settings import Settings, SettingsError
from anomaly_assets.warehouse.copying.copy import copy_database
from anomaly_assets.warehouse.file.warehouse import FileWarehouse
from anomaly_assets.warehouse.lake.warehouse import LakeWarehouse
from anomaly_assets.warehouse.open import open_warehouse

LAKES = [
    "ducklake:postgres:host=db.example dbname=team user=me password=hidden-one sslpassword=hidden-two",
    "ducklake:postgres:postgresql://me:hidden-one@db.example/team?sslpassword=hidden-two",
]


def test_a_path_is_a_file() -> None:
    warehouse = open_warehouse("data/team.duckdb")
    assert isinstance(warehouse, FileWarehouse)
    assert warehouse.name == str(Path("data/team.duckdb").absolute())
    assert parse_location("C:team.duckdb") == Path("C:team.duckdb")


def test_a_path_that_duckdb_cannot_write_to_is_refused_without_what_follows(tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    (tmp_path / "what?").mkdir()
    linked.symlink_to(tmp_path / "what?")
    for path in ("data/team.duckdb?access_token=hidden-one", str(linked / "team.duckdb")):
        with pytest.raises(WarehouseError, match=r"\?…: .*question mark") as caught:
            open_warehouse(path)
        assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("location", LAKES)
def test_a_lake_is_named_without_its_secrets(location: str) -> None:
    lake = parse_location(location)
    assert isinstance(lake, LakeLocation)
    assert lake.password == "hidden-one"
    assert lake.name == "ducklake:postgres:" + lake.shown
    assert {*lake.shown.split()} == {"host=db.example", "dbname=team", "user=me"}
    assert "connect_timeout=10" in lake.conninfo
    assert "hidden" not in repr(lake) + lake.name + repr(open_warehouse(location))
    assert "hidden-one" not in lake.conninfo


def test_a_lake_that_is_only_named_is_not_opened() -> None:
    assert isinstance(open_warehouse(LAKES[0]), LakeWarehouse)


@pytest.mark.parametrize(
    "location",
    [
        "ducklake:catalog.ducklake",
        "ducklake:sqlite:team.db?password=hidden-one",
        "ducklake:postgres:what=ever password=hidden-one",
        "ducklake:postgres:postgresql://me:hidden-one@[db/team",
        "ducklake:postgres:postgresql://me:a@hidden-one@db.example/team",
        "ducklake:postgres:postgresql://me:a/hidden-one@db.example/team",
        "ducklake:postgres:postgresql://me:a%zzhidden-one@db.example/team",
        "ducklake:postgres:host=db password=my hidden-one dbname=team",
        "ducklake:postgres:host=db passwrd=hidden-one",
        "ducklake:postgres:host=db pwd=hidden-one",
        "ducklake:mysql://me:a@hidden-one@db/team",
        "ducklake:md:team?motherduck_token=hidden-one",
        "https://db.example/team?sig=hidden-one",
        "s3://me:hidden-one@bucket/team.duckdb",
    ],
)
def test_what_makes_no_sense_is_refused_with_an_example_and_without_its_secrets(
    location: str,
) -> None:
    assert not is_file(location)
    with pytest.raises(LocationError, match=r"ducklake:postgres:") as raised:
        parse_location(location)
    assert "hidden-one" not in str(raised.value)


SLIPS = [
    ("postgres:host=db password=hidden-one", "postgres:…"),
    ("postgresql://me:hidden-one@db/team", "postgresql://…"),
    ("Postgresql://me:hidden-one@db/team", "Postgresql://…"),
    ("postgresql:/me:hidden-one@db/team", "postgresql:/…"),
    ("Ducklake:postgres:host=db password=hidden-one", "Ducklake:postgres:…"),
    (" ducklake:postgres:host=db password=hidden-one", "ducklake:postgres:…"),
    ('"ducklake:postgres:host=db password=hidden-one"', "ducklake:postgres:…"),
    ("ducklake:mysql:host=db password=hidden-one", "ducklake:mysql:…"),
    ("ducklake:postgresql://me:hidden-one@db/team", "ducklake:postgresql://…"),
    ("MD:team?motherduck_token=hidden-one", "MD:…"),
    ("md:team motherduck_token=hidden-one", "md:…"),
    ("md:../hidden-one", "md:…"),
    ("https:/me:hidden-one@db.example/team.duckdb", "https:/…"),
    ("https:me:hidden-one@db.example", "https:…"),
    ("s3:/bucket/hidden-one", "s3:/…"),
    ("S3://me:hidden-one@bucket", "S3://…"),
    ("//me:hidden-one@db.example/team", "…"),
    ("me:hidden-one@db.example/team", "…"),
    ("my-self:hidden-one@db.example/team", "…"),
    ("host=db dbname=team password=hidden-one", "…"),
    ("password=hidden-one", "…"),
    ("team.duckdb\npassword=hidden-one", "…"),
    ("hidden_one:team", "…"),
]
"""Slips in URLs and connection strings, and what may be shown of each."""


@pytest.mark.parametrize(("location", "shown"), SLIPS)
def test_a_slip_in_an_address_becomes_no_file_and_no_message_repeats_it(
    location: str, shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert not is_file(location)
    assert shown_scheme(location) == shown
    uses: list[Callable[[], object]] = [
        lambda: open_warehouse(location),
        lambda: open_warehouse(Path(location)),
        lambda: open_warehouse(
            Settings.from_environment({"ANOMALY_WAREHOUSE": location}).warehouse
        ),
        lambda: Settings.from_environment({"ANOMALY_DATABASE": location}),
        lambda: open_samples(location),
        lambda: open_samples(Path(location)),
        lambda: list_snapshots(location),
        lambda: diff_snapshots("a", "b", location),
        lambda: copy_database(location, "new.duckdb"),
    ]
    for use in uses:
        with pytest.raises((LocationError, SettingsError)) as raised:
            use()
        assert "hidden" not in "".join(traceback.format_exception(raised.value))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "path",
    [
        "data/team.duckdb",
        "C:team.duckdb",
        "C:\\data\\team.duckdb",
        "./run:1.duckdb",
        "data/run:1.duckdb",
        "run-2024-05-01T10:30.duckdb",
        "2024-05-01 10:30.duckdb",
        "/mnt/host=a/token=1/team.duckdb",
        "data/me:hidden@here/team.duckdb",
        "größe/my team.duckdb",
    ],
)
def test_a_path_with_unusual_characters_is_still_a_path(path: str) -> None:
    assert is_file(path)
    assert parse_location(path) == Path(path)


def test_without_the_extra_its_name_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(LocationError, match=re.escape(install_extra("lake"))) as raised:
        parse_location(LAKES[0])
    assert "hidden" not in str(raised.value)


@pytest.mark.parametrize(
    "location", ["md:x&motherduck_token=hidden", "md:x motherduck_token=hidden", "md:x?t=hidden"]
)
def test_a_token_in_the_name_of_a_database_is_not_shown(location: str) -> None:
    with pytest.raises(LocationError, match="motherduck_token") as raised:
        parse_location(location)
    assert "hidden" not in str(raised.value)
