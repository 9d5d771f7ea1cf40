"""Test the folder of a lake's files: an absolute path that no other lake uses."""

from __future__ import annotations

from pathlib import Path

import pytest

from anomaly_assets.errors import WarehouseError
from anomaly_assets.warehouse.lake.warehouse import LakeWarehouse
from anomaly_assets_tests.assets.environment import Environment
from anomaly_assets_tests.stores.s3 import S3
from anomaly_assets_tests.warehouse.lake.lakes import Lake, new_lake
from anomaly_assets_tests.warehouse.lake.postgres import Postgres

PATH = "SELECT value FROM ducklake_metadata WHERE key = 'data_path'"


def stored(lake: Lake) -> str:
    with lake.postgres.session(lake.database) as session:
        [(value,)] = session.execute(PATH.encode()).fetchall()
    return str(value)


def made(lake: Lake, folder: str | None) -> None:
    """Open a lake like a run, which creates it if it does not exist."""
    with LakeWarehouse(lake.parsed, folder, 20.0).connect() as connection:
        assert connection.execute("SELECT count(*) FROM identity").fetchall() == [(1,)]


def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "elsewhere"
    folder.mkdir(exist_ok=True)
    monkeypatch.chdir(folder)
    return folder


def test_a_relative_folder_is_stored_as_its_whole_path(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made(lake, "data/lake")
    assert stored(lake) == f"{tmp_path}/data/lake/"
    made(lake, "data/lake")  # the next run, with the same setting
    other = elsewhere(tmp_path, monkeypatch)
    made(lake, None)
    with pytest.raises(
        WarehouseError, match="has its files in another folder than ANOMALY_LAKE_DATA"
    ):
        made(lake, "data/lake")
    assert [*other.iterdir()] == []


def test_a_relative_folder_of_an_older_release_is_completed_where_its_files_are(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made(lake, "data/lake")
    with lake.postgres.session(lake.database) as session:
        session.execute("UPDATE ducklake_metadata SET value = 'data/lake/' WHERE key = 'data_path'")
    other = elsewhere(tmp_path, monkeypatch)
    refused = r"stores a relative path for its folder, data/lake/, which does not exist below .*elsewhere\."
    for folder in (None, lake.folder):
        with pytest.raises(
            WarehouseError, match=refused if folder is None else "files in another folder"
        ):
            made(lake, folder)
    with pytest.raises(WarehouseError, match=refused):
        lake.rows("FROM identity")
    (other / "data/lake").mkdir(parents=True)  # a folder of the same name is not it
    with pytest.raises(WarehouseError):
        made(lake, "data/lake")
    assert stored(lake) == "data/lake/"
    monkeypatch.chdir(tmp_path)
    made(lake, "data/lake")
    assert stored(lake) == f"{tmp_path}/data/lake/"
    elsewhere(tmp_path, monkeypatch)
    assert len(lake.rows("FROM identity")) == 1


@pytest.mark.parametrize("place", ["", "/below", "/.."])
def test_a_folder_that_another_lake_uses_is_refused(
    environment: Environment,
    postgres: Postgres,
    lake: Lake,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
) -> None:
    made(lake, lake.folder)
    files = sorted(Path(lake.folder).rglob("*"))
    other = new_lake(environment, postgres, f"{lake.folder}{place}", monkeypatch)
    with pytest.raises(WarehouseError, match="is new, and .* holds the files of another lake"):
        made(other, other.folder)
    assert sorted(Path(lake.folder).rglob("*")) == files
    made(lake, lake.folder)  # goes on as before


def test_a_prefix_that_another_lake_uses_is_refused(
    environment: Environment, postgres: Postgres, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    s3.put("lake-folder-test/.keep", b"")
    folder = s3.location("lake-folder-test")
    one, other = (new_lake(environment, postgres, folder, monkeypatch) for _ in range(2))
    made(one, folder)
    with pytest.raises(WarehouseError, match="is new, and s3://.* holds the files of another lake"):
        made(other, folder)
    made(one, folder)


def test_a_folder_that_cannot_be_made_makes_no_lake(lake: Lake, tmp_path: Path) -> None:
    """Test a former bug: the catalogue of the lake stored the first folder for ever."""
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(WarehouseError, match="was not made: its folder .* cannot be written to"):
        made(lake, str(tmp_path / "file"))
    made(lake, str(tmp_path / "folder"))


def test_a_link_into_the_folder_of_another_lake_is_refused(
    lake: Lake,
    postgres: Postgres,
    environment: Environment,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made(lake, str(tmp_path / "theirs"))
    (tmp_path / "theirs" / "inner").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "theirs" / "inner")
    second = new_lake(environment, postgres, str(tmp_path / "link"), monkeypatch)
    with pytest.raises(WarehouseError, match="holds the files of another lake"):
        made(second, str(tmp_path / "link"))
