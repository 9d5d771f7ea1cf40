"""Test copying to a file: complete or absent, durable, and through symbolic links."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from anomaly_assets.catalogue.dlt_source import load
from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.errors import WarehouseError
from anomaly_assets.reader import open_samples
from anomaly_assets.tables.recipes import record_spec
from anomaly_assets.warehouse.copying import copy as copying
from anomaly_assets.warehouse.copying.copy import CopyError, copy_database
from anomaly_assets.warehouse.file.warehouse import FileWarehouse
from anomaly_assets.warehouse.removal import forget
from anomaly_assets_tests.disk import record_calls
from anomaly_assets_tests.faults.content import read_content
from anomaly_assets_tests.warehouse.project import SPEC, Project


def quiet(_: str) -> None:
    """Discard a log message."""


@pytest.fixture(scope="module")
def source_once(loaded_once: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    shutil.copyfile(loaded_once.warehouse.path, folder / "warehouse.duckdb")
    project = Project.at(folder, loaded_once.roots_folder)
    project.warehouse.publish(folder / "anomaly.duckdb", SPEC)
    return folder


@pytest.fixture
def source(source_once: Path, project: Project) -> str:
    """Return a copy of the published file, as if `project` had published it."""
    for name in ("warehouse.duckdb", "anomaly.duckdb"):
        shutil.copyfile(source_once / name, project.folder / name)
    return str(project.folder / "anomaly.duckdb")


def count(path: Path) -> list[tuple[int]]:
    with duckdb.connect(str(path), read_only=True) as connection:
        return connection.execute("SELECT count(*) FROM anomaly.samples").fetchall()


@pytest.mark.slow
def test_a_copy_is_on_the_disk_before_it_has_its_name(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "to"
    folder.mkdir()
    (folder / "copy.duckdb.wal").write_bytes(b"of a file that is gone")
    calls = record_calls(monkeypatch)
    link = os.link

    def linked(*paths: Path) -> None:
        calls.append(("link", *(path.name for path in paths)))
        link(*paths)

    monkeypatch.setattr(os, "link", linked)
    copy_database(source, str(folder / "copy.duckdb"), log=quiet)
    assert calls == [
        ("fsync", "copy.duckdb.unfinished"),
        ("link", "copy.duckdb.unfinished", "copy.duckdb"),
        ("fsync", "to"),
    ]
    assert os.listdir(folder) == ["copy.duckdb"]
    assert count(folder / "copy.duckdb") == [(9,)]


@pytest.mark.slow
def test_a_source_whose_tables_lack_new_columns_is_copied(source: str, tmp_path: Path) -> None:
    with duckdb.connect(source) as connection:
        connection.execute("ALTER TABLE facts DROP COLUMN thumbnail")
    copy_database(source, str(tmp_path / "copy.duckdb"), log=quiet)
    with duckdb.connect(str(tmp_path / "copy.duckdb"), read_only=True) as connection:
        counts = "SELECT count(*), count(content_sha256), count(thumbnail) FROM anomaly.facts"
        assert connection.execute(counts).fetchall() == [(9, 9, 0)]


@pytest.mark.slow
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


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def interrupted_copy(source: str, target: Path, at: str) -> None:
    """Copy, and interrupt at this function of the module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(copying, at, interrupted)
        with pytest.raises(KeyboardInterrupt):
            copy_database(source, str(target), log=quiet)
    assert not target.exists()


def change(source: str, *statements: str) -> None:
    with duckdb.connect(source) as connection:
        for statement in statements:
            connection.execute(statement)


EMPTIED = [
    f"DELETE FROM {name}" for name in ("image_tensors", "mvtec_ad.images", "dagm_2007.images")
]
WITHOUT_THE_FIRST_AND_LAST = [
    "DELETE FROM image_tensors WHERE image_id IN ((SELECT min(image_id) FROM image_tensors), "
    "(SELECT max(image_id) FROM image_tensors))"
]
WITHOUT_A_DATASET = [
    "DELETE FROM image_tensors WHERE image_id LIKE 'mvtec_ad/%'",
    "DELETE FROM source_datasets WHERE source_dataset = 'mvtec_ad'",
    "DROP SCHEMA mvtec_ad CASCADE",
]


@pytest.mark.slow
@pytest.mark.parametrize("changes", [EMPTIED, WITHOUT_THE_FIRST_AND_LAST, WITHOUT_A_DATASET])
def test_a_copy_goes_on_with_a_source_that_has_lost_images_since(
    source: str, tmp_path: Path, changes: list[str]
) -> None:
    target = tmp_path / "copy.duckdb"
    interrupted_copy(source, target, "verified")
    change(source, *changes)
    tables = copy_database(source, str(target), log=quiet).tables
    with duckdb.connect(source) as connection:
        [(tensors,)] = connection.execute("SELECT count(*) FROM image_tensors").fetchall()
    assert tables["main.image_tensors"].rows == tensors
    with duckdb.connect(str(target), read_only=True) as copied:
        assert copied.execute("SELECT count(*) FROM image_tensors").fetchall() == [(tensors,)]
        there = copied.execute("SELECT DISTINCT schema_name FROM duckdb_tables() ORDER BY ALL")
        assert ("mvtec_ad",) in there.fetchall() or changes is WITHOUT_A_DATASET


@pytest.mark.slow
def test_a_copy_that_was_killed_before_it_had_its_name_gets_it(source: str, tmp_path: Path) -> None:
    target = tmp_path / "copy.duckdb"
    interrupted_copy(source, target, "put_in_place")
    assert copy_database(source, str(target), log=quiet).tensors_written == 0
    assert read_content(target).differences(read_content(Path(source))) == []


@pytest.mark.slow
def test_what_a_complete_copy_without_its_name_holds_is_not_replaced(
    source: str, tmp_path: Path
) -> None:
    target = tmp_path / "copy.duckdb"
    interrupted_copy(source, target, "put_in_place")
    change(source, *WITHOUT_THE_FIRST_AND_LAST)
    refused = r"copy\.duckdb\.unfinished already holds data \(9 samples, not published\)"
    with pytest.raises(CopyError, match=refused):
        copy_database(source, str(target), log=quiet)


@pytest.mark.slow
def test_a_file_that_is_made_during_the_copy_is_left_as_it_is(source: str, tmp_path: Path) -> None:
    target = tmp_path / "copy.duckdb"

    def other_run(_: str) -> None:
        target.write_bytes(b"theirs")

    refused = "was created by another process meanwhile, and is unchanged"
    with pytest.raises(CopyError, match=refused):
        copy_database(source, str(target), log=other_run)
    assert target.read_bytes() == b"theirs"
    assert count(tmp_path / "copy.duckdb.unfinished") == [(9,)]


def test_a_published_file_is_refused_with_what_it_holds(source: str) -> None:
    refused = r"exists and holds 9 samples, published [-0-9]{10} [0-9:]{5} UTC: name a new file"
    with pytest.raises(CopyError, match=refused):
        copy_database(source, source, log=quiet)


@pytest.mark.slow
@pytest.mark.parametrize(
    "run",
    [
        lambda project: load(
            SOURCE_DATASETS["mvtec_ad"], str(project.roots_folder / "mvtec_ad"), project.warehouse
        ),
        lambda project: project.build(),
        lambda project: project.warehouse.publish(project.folder / "anomaly.duckdb", SPEC),
        lambda project: forget(project.warehouse, "mvtec_ad"),
    ],
    ids=["load", "build", "publish", "forget"],
)
def test_a_run_makes_an_unfinished_copy_its_own(
    project: Project, run: Callable[[Project], object]
) -> None:
    with project.warehouse.connect() as connection:
        connection.execute("CREATE TABLE unfinished_copy (since TIMESTAMP WITH TIME ZONE)")
        connection.execute("DELETE FROM mvtec_ad.images WHERE image_id LIKE '%/000.png'")
    run(project)
    with project.warehouse.connect() as connection:
        assert ("unfinished_copy",) not in connection.execute("SHOW TABLES").fetchall()


@pytest.mark.slow
@pytest.mark.parametrize("of_warehouse", [False, True])
def test_a_copy_to_a_file_has_the_snapshot_id_of_its_source_until_a_run_uses_it(
    project: Project, tmp_path: Path, of_warehouse: bool
) -> None:
    """Test a former bug: readers took a copy for a warehouse, which has no snapshot id."""
    published = project.folder / "anomaly.duckdb"
    snapshot_id = project.warehouse.publish(published, SPEC).snapshot_id
    source = project.warehouse.path if of_warehouse else published
    for place in (tmp_path / "copy.duckdb", tmp_path / "copy_of_copy.duckdb"):
        copy_database(str(source), str(place), log=quiet)
        with open_samples(place) as samples:
            assert samples.snapshot_id == snapshot_id
        with open_samples(place, snapshot=snapshot_id) as samples:
            assert len(samples) == 9
        source = place
    used = FileWarehouse(tmp_path / "copy.duckdb")
    assert used.publish(tmp_path / "published.duckdb", SPEC).snapshot_id == snapshot_id
    with open_samples(used.path) as samples:
        assert samples.snapshot_id is None


@pytest.mark.slow
def test_a_copy_of_a_warehouse_of_the_first_release_states_no_snapshot(
    project: Project, tmp_path: Path
) -> None:
    """Check that a copy gives no id if its content may differ from the newest publication."""
    project.warehouse.publish(project.folder / "anomaly.duckdb", SPEC)
    project.rows("DROP TABLE identity")
    project.rows("CREATE TABLE mvtec_ad_staging.images (image_id VARCHAR)")
    copy_database(str(project.warehouse.path), str(tmp_path / "copy.duckdb"), log=quiet)
    with open_samples(tmp_path / "copy.duckdb") as samples:
        assert samples.snapshot_id is None


@pytest.mark.slow
def test_a_file_without_the_newest_columns_is_copied(source: str, tmp_path: Path) -> None:
    """Test a former bug: columns that only the copy has changed the digest of a table."""
    change(
        source,
        "ALTER TABLE source_datasets DROP COLUMN commercial_use",
        "ALTER TABLE source_datasets DROP COLUMN citation",
    )
    copy_database(source, str(tmp_path / "copy.duckdb"), log=quiet)
    with open_samples(tmp_path / "copy.duckdb") as samples:
        assert samples.terms["dagm_2007"].commercial_use == "allowed"


@pytest.mark.slow
def test_a_warehouse_that_records_what_belongs_to_it_alone_is_copied(
    project: Project, tmp_path: Path
) -> None:
    """Check that tables about one warehouse, such as its next publication, are not copied."""
    project.warehouse.publish(project.folder / "anomaly.duckdb", SPEC)
    with project.warehouse.connect() as connection:
        record_spec(connection, SPEC)
    copy_database(str(project.warehouse.path), str(tmp_path / "copy.duckdb"), log=quiet)
    assert count(tmp_path / "copy.duckdb") == [(9,)]


def test_a_target_that_cannot_be_written_is_named_with_its_option(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(warehouse: FileWarehouse) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(FileWarehouse, "_acquire", fail)
    target = tmp_path / "copy.duckdb"
    with pytest.raises(CopyError) as raised:
        copy_database(source, str(target), log=quiet)
    assert str(raised.value) == (
        f"{target} cannot be written: No space left on device. Free some space if the disk is full, "
        "or name another target (--to)."
    )


def test_a_database_of_something_else_is_not_copied(tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "other.duckdb")) as connection:
        connection.execute("CREATE TABLE customers AS SELECT 1 AS id")
    with pytest.raises(WarehouseError, match="other.duckdb is not a database of this project"):
        copy_database(str(tmp_path / "other.duckdb"), str(tmp_path / "copy.duckdb"), log=quiet)


@pytest.mark.slow
def test_a_warehouse_with_changes_that_are_not_published_is_not_copied(
    project: Project, tmp_path: Path
) -> None:
    """Test a former bug: the copy had the id of the last publication, and other samples."""
    source = str(project.warehouse.path)
    project.warehouse.publish(project.folder / "anomaly.duckdb", SPEC)
    copy_database(source, str(tmp_path / "copy.duckdb"), log=lambda _: None)
    project.rows("DELETE FROM mvtec_ad.images WHERE label = 'anomalous'")
    with pytest.raises(CopyError, match="changes that are not published"):
        copy_database(source, str(tmp_path / "half.duckdb"), log=lambda _: None)
    assert not [*tmp_path.glob("half*")]
