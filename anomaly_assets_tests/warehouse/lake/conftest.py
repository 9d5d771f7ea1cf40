"""Start the servers once, on first use, and make a new lake for every test."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pytest

from anomaly_assets.warehouse.copying.copy import copy_database
from anomaly_assets.warehouse.lake.connect import start_for_lakes
from anomaly_assets_tests.assets.environment import Environment
from anomaly_assets_tests.stores.s3 import S3, seaweedfs
from anomaly_assets_tests.stores.servers import NotInstalledError
from anomaly_assets_tests.stores.store import VARIABLES
from anomaly_assets_tests.warehouse.conftest import loaded_once, project
from anomaly_assets_tests.warehouse.lake.lakes import Lake, new_lake
from anomaly_assets_tests.warehouse.lake.postgres import PASSWORD, Postgres, postgresql
from anomaly_assets_tests.warehouse.project import SPEC, Project

__all__ = ["loaded_once", "project"]


@contextmanager
def skipped_where_missing() -> Iterator[None]:
    """Skip a test whose server is not installed, unless servers are required."""
    try:
        yield
    except NotInstalledError as error:
        required = os.environ.get("CI") == "true"
        if required or os.environ.get("ANOMALY_TEST_STORES") == "required":
            pytest.fail(str(error))
        pytest.skip(str(error))


@contextmanager
def extensions_verified_once() -> Iterator[None]:
    """Let DuckDB verify the signatures of its extensions once in this process.

    DuckDB reads 100 MB at each start to verify the signatures, which took a third of the time of these
    tests. Other processes that a test starts verify them as usual.
    """
    start_for_lakes().close()
    connect = duckdb.connect

    def connect_without_verifying(database: Any = ":memory:", **options: Any) -> Any:
        if database == ":memory:" and not options:
            options = {"config": {"allow_unsigned_extensions": "true"}}
        return connect(database, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duckdb, "connect", connect_without_verifying)
        yield


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Run PostgreSQL."""
    with skipped_where_missing():
        server = postgresql()
        with server as started, extensions_verified_once():
            yield started


@pytest.fixture(scope="session")
def s3() -> Iterator[S3]:
    """Run SeaweedFS."""
    with skipped_where_missing(), seaweedfs() as started:
        yield started


@pytest.fixture
def environment(
    environment: Environment, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> Environment:
    """Set the usual settings, with the password of the catalogue, and no credentials of the shell."""
    for name in (*VARIABLES, *(name for name in os.environ if name.startswith("PG"))):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    return environment


@pytest.fixture(scope="session")
def source_once(loaded_once: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Publish nine images to a file; returns the folder of the warehouse and of `published/`."""
    folder = tmp_path_factory.mktemp("source_once")
    shutil.copyfile(loaded_once.warehouse.path, folder / "warehouse.duckdb")
    project = Project.at(folder, loaded_once.roots_folder)
    project.warehouse.publish(folder / "published" / "anomaly.duckdb", SPEC)
    return folder


@pytest.fixture
def source(source_once: Path, project: Project) -> Path:
    """Return a copy of this file, as if `project` had published it."""
    shutil.copytree(source_once, project.folder, dirs_exist_ok=True)
    return project.folder / "published" / "anomaly.duckdb"


@pytest.fixture(scope="session")
def copied_once(
    loaded_once: Project, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path]:
    """Copy nine published images to a lake; returns the name of its catalogue and its folder."""
    folder = tmp_path_factory.mktemp("copied_once")
    shutil.copyfile(loaded_once.warehouse.path, folder / "warehouse.duckdb")
    published = folder / "anomaly.duckdb"
    Project.at(folder, loaded_once.roots_folder).warehouse.publish(published, SPEC)
    postgres.create("copied_once")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("PGPASSWORD", PASSWORD)
        copy_database(
            str(published),
            postgres.location("copied_once"),
            lake_data=str(folder / "lake"),
            log=lambda _: None,
        )
    return "copied_once", folder / "lake"


@pytest.fixture
def copied(
    copied_once: tuple[str, Path],
    environment: Environment,
    postgres: Postgres,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Lake:
    """Copy this lake, its catalogue as a template of PostgreSQL."""
    template, folder = copied_once
    own = shutil.copytree(folder, tmp_path / "lake")
    lake = new_lake(environment, postgres, str(own), monkeypatch, template=template)
    with postgres.session(lake.database) as session:
        session.execute(
            "UPDATE ducklake_metadata SET value = %s WHERE key = 'data_path'", [f"{own}/"]
        )
    return lake


@pytest.fixture
def lake(
    environment: Environment,
    postgres: Postgres,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Lake:
    """Create a lake with its files in a folder; the settings point to it."""
    return new_lake(environment, postgres, str(tmp_path / "lake"), monkeypatch)
