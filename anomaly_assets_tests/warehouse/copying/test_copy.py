"""Copying to a file: complete under its name or not there, durable, and where a link points to."""

from __future__ import annotations

import os
from pathlib import Path

import duckdb
import pytest

from anomaly_assets.warehouse.copying.copy import CopyError, copy_database
from anomaly_assets.warehouse.publish import publish
from anomaly_assets_tests.disk import record_calls
from anomaly_assets_tests.warehouse.project import SPEC, Project


def quiet(_: str) -> None:
    """Nobody reads it."""


@pytest.fixture
def source(project: Project) -> str:
    publish(project.warehouse, project.folder / "anomaly.duckdb", SPEC)
    return str(project.folder / "anomaly.duckdb")


def count(path: Path) -> list[tuple[int]]:
    with duckdb.connect(str(path), read_only=True) as connection:
        return connection.execute("SELECT count(*) FROM anomaly.samples").fetchall()


def test_a_copy_is_on_the_disk_before_it_has_its_name(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "to"
    folder.mkdir()
    (folder / "copy.duckdb.wal").write_bytes(b"of a file that is gone")
    calls = record_calls(monkeypatch)
    copy_database(source, str(folder / "copy.duckdb"), log=quiet)
    assert calls == [
        ("fsync", "copy.duckdb.unfinished"),
        ("replace", "copy.duckdb.unfinished", "copy.duckdb"),
        ("fsync", "to"),
    ]
    assert os.listdir(folder) == ["copy.duckdb"]
    assert count(folder / "copy.duckdb") == [(9,)]


def test_a_copy_is_made_where_a_link_points_to(source: str, tmp_path: Path) -> None:
    (tmp_path / "share").mkdir()
    (tmp_path / "link.duckdb").symlink_to("share/team.duckdb")
    copy_database(source, str(tmp_path / "link.duckdb"), log=quiet)
    assert (tmp_path / "link.duckdb").is_symlink()
    assert os.listdir(tmp_path / "share") == ["team.duckdb"]
    assert count(tmp_path / "link.duckdb") == [(9,)]


def test_a_link_into_a_share_that_is_not_mounted_is_refused(source: str, tmp_path: Path) -> None:
    (tmp_path / "link.duckdb").symlink_to("share/team.duckdb")
    with pytest.raises(CopyError, match=r"link\.duckdb is a symbolic link to .*: mount or make"):
        copy_database(source, str(tmp_path / "link.duckdb"), log=quiet)
    assert not (tmp_path / "share").exists()
