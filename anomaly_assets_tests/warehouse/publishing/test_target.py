"""Test that a file is replaced only if this warehouse owns it, or on request."""

from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path

import duckdb
import pytest

from anomaly_assets.errors import WarehouseBusyError, WarehouseError, rerun_with
from anomaly_assets.reader import list_snapshots, open_samples
from anomaly_assets.tables.ddl import ensure_tables
from anomaly_assets.warehouse.copying.copy import copy_database
from anomaly_assets.warehouse.file import publish as publishing
from anomaly_assets.warehouse.file.target import target_lock
from anomaly_assets.warehouse.file.warehouse import FileWarehouse
from anomaly_assets.warehouse.publication import PublishRefusedError
from anomaly_assets_tests.warehouse.project import SPEC, Project

CHANGE = "UPDATE image_tensors SET run_id = '{}'"
ADOPT = rerun_with("published_database", "adopt")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "shared"
    folder.mkdir()
    return folder / "anomaly.duckdb"


@pytest.fixture
def other(loaded_once: Project, tmp_path: Path) -> Project:
    """Create another warehouse with the same images."""
    folder = tmp_path / "other"
    folder.mkdir()
    shutil.copyfile(loaded_once.warehouse.path, folder / "warehouse.duckdb")
    other = Project.at(folder, loaded_once.roots_folder)
    with other.warehouse.connect() as connection:
        connection.execute("UPDATE identity SET warehouse_id = 'another'")
        connection.execute("UPDATE mvtec_ad.images SET modified_at = now()")
    other.refresh_all()
    return other


def give(project: Project, target: Path, *, adopt: bool = False) -> bool:
    return project.warehouse.publish(target, SPEC, adopt=adopt).written


def ask(path: Path, query: str) -> list[tuple]:
    with duckdb.connect(str(path), read_only=True) as connection:
        return connection.execute(query).fetchall()


def state(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def write_word_document(path: Path) -> str:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("word/document.xml", "<w:document/>")
    return "is not a DuckDB database"


def write_text(path: Path) -> str:
    path.write_text("minutes of a meeting, which nobody has twice\n" * 50)
    return "is not a DuckDB database"


def write_damaged_database(path: Path) -> str:
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE t AS FROM range(100000)")
    content = bytearray(path.read_bytes())
    content[5000:20000] = bytes(15000)
    content[20:200] = b"\xff" * 180
    path.write_bytes(content)
    return "cannot be opened"


def write_other_database_with_its_log(path: Path) -> str:
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE customers AS SELECT 1 AS id")
    connection = duckdb.connect(str(path))
    connection.execute("SET checkpoint_threshold = '1 GB'")
    connection.execute("INSERT INTO customers VALUES (2)")
    for name in (path.name, f"{path.name}.wal"):
        shutil.copyfile(path.with_name(name), path.with_name(f"copy-{name}"))
    connection.close()
    for name in (path.name, f"{path.name}.wal"):
        os.replace(path.with_name(f"copy-{name}"), path.with_name(name))
    return "is a DuckDB database of another program (its tables: customers)"


def make_folder(path: Path) -> str:
    path.mkdir()
    return "is not a file"


@pytest.mark.parametrize(
    "write",
    [write_word_document, write_text, write_damaged_database, write_other_database_with_its_log],
)
def test_what_is_not_ours_is_left_as_it_is_until_it_is_adopted(
    project: Project, target: Path, write: object
) -> None:
    assert callable(write)
    what = write(target)
    before = state(target.parent)
    for _ in range(2):
        with pytest.raises(PublishRefusedError) as caught:
            give(project, target)
        assert str(caught.value).startswith(f"Nothing was published: {target} {what}")
        assert str(caught.value).endswith(ADOPT)
        assert state(target.parent) == before
    assert give(project, target, adopt=True)
    assert ask(target, "SELECT count(*) FROM anomaly.samples") == [(9,)]
    assert os.listdir(target.parent) == ["anomaly.duckdb"]
    assert give(project, target) is False


def test_a_folder_in_the_place_of_the_file_is_refused(project: Project, target: Path) -> None:
    what = make_folder(target)
    with pytest.raises(PublishRefusedError, match=what):
        give(project, target)


@pytest.mark.slow
def test_an_empty_file_is_nothing_that_could_be_lost(project: Project, target: Path) -> None:
    target.touch()
    assert give(project, target)


@pytest.mark.slow
def test_a_file_of_another_warehouse_is_named_and_left_as_it_is_with_its_kept_snapshots(
    project: Project, other: Project, target: Path
) -> None:
    project.warehouse.publish(target, SPEC, keep_snapshots=1)
    project.rows(CHANGE.format("second"))
    project.warehouse.publish(target, SPEC, keep_snapshots=1)
    before = state(target.parent)
    assert len(before) == 2
    [(published_at, maker)] = ask(
        target,
        "SELECT strftime(published_at, '%Y-%m-%d %H:%M UTC'), warehouse_id FROM snapshots "
        "ORDER BY published_at DESC LIMIT 1",
    )
    with pytest.raises(PublishRefusedError) as caught:
        other.warehouse.publish(target, SPEC, keep_snapshots=1)
    assert str(caught.value) == (
        f"Nothing was published: {target} was published by another warehouse ({maker[:12]}) on "
        f"{published_at}, with 9 samples. It is left as it is. Name another file in ANOMALY_DATABASE, or, "
        f"to replace it on purpose, {ADOPT}"
    )
    assert state(target.parent) == before


@pytest.mark.slow
def test_both_owners_publish_after_an_adoption_and_the_history_is_that_of_the_file(
    project: Project, other: Project, target: Path
) -> None:
    assert give(project, target)
    assert give(other, target, adopt=True)
    assert len(ask(target, "FROM owners")) == 2
    for number in range(2):
        for each in (project, other):
            each.rows(CHANGE.format(f"{number} of {each.folder.name}"))
            assert give(each, target)
            assert len(ask(target, "FROM owners")) == 2
    makers = ask(target, "SELECT warehouse_id = 'another' FROM snapshots ORDER BY published_at")
    assert makers == [(False,), (True,), (False,), (True,), (False,), (True,)]


def test_a_file_of_the_first_release_is_recognised_by_a_snapshot_that_both_record(
    project: Project, other: Project, target: Path
) -> None:
    give(project, target)
    with duckdb.connect(str(target)) as connection:
        for name in ("owners", "source_datasets", "consents"):
            connection.execute(f"DROP TABLE main.{name}")
    with pytest.raises(PublishRefusedError, match="was published by another warehouse"):
        give(other, target)
    project.rows(CHANGE.format("second"))
    assert give(project, target)
    assert len(ask(target, "FROM owners")) == 1


@pytest.mark.slow
def test_a_kill_between_the_swap_and_its_note_is_made_good_by_the_next_run(
    project: Project, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    give(project, target)
    project.rows(CHANGE.format("second"))

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(publishing, "record_publication", killed)
        patch.setattr(publishing, "_history", killed)
        real = publishing.note_snapshot
        notes: list[int] = []

        def only_in_the_copy(*arguments: object) -> None:
            notes.append(1)
            real(*arguments) if len(notes) == 1 else killed()  # type: ignore[arg-type]

        patch.setattr(publishing, "note_snapshot", only_in_the_copy)
        with pytest.raises(KeyboardInterrupt):
            give(project, target)
    assert len(ask(target, "FROM snapshots")) == 2
    assert len(project.rows("FROM snapshots")) == 1
    assert give(project, target) is False
    assert project.rows("SELECT snapshot_id FROM snapshots ORDER BY ALL") == ask(
        target, "SELECT snapshot_id FROM snapshots ORDER BY ALL"
    )


@pytest.mark.slow
def test_publications_that_fail_on_the_way_are_not_listed(
    project: Project, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    give(project, target)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    for number in range(3):
        project.rows(CHANGE.format(f"change {number}"))
        with monkeypatch.context() as patch:
            patch.setattr(publishing, "copy_file", full)
            with pytest.raises(OSError, match="No space left"):
                give(project, target)
    assert len(project.rows("FROM snapshots")) == 1
    assert give(project, target)
    assert len(project.rows("FROM snapshots")) == len(ask(target, "FROM snapshots")) == 2


@pytest.mark.slow
def test_a_backup_whose_name_looks_like_that_of_a_kept_snapshot_stays(
    project: Project, target: Path
) -> None:
    backup = target.with_name("anomaly.202611280530.duckdb")
    project.warehouse.publish(target, SPEC, keep_snapshots=1)
    shutil.copyfile(target, backup)
    os.utime(backup, (0, 0))
    for number in range(3):
        project.rows(CHANGE.format(number))
        project.warehouse.publish(target, SPEC, keep_snapshots=1)
    assert backup.exists()
    assert len(os.listdir(target.parent)) == 3  # with the newest and the one before


def test_two_publishers_of_one_file_wait_for_each_other(target: Path) -> None:
    told: list[str] = []
    with (
        target_lock(target, 0.0, told.append),
        pytest.raises(WarehouseBusyError, match="another run that publishes to it"),
        target_lock(target, 0.0, told.append),
    ):
        pass
    assert told == [f"Waiting for {target}, to which another run is publishing."]
    assert os.listdir(target.parent) == []


def test_a_published_file_is_no_warehouse(project: Project, target: Path) -> None:
    give(project, target)
    before = target.read_bytes()
    with (
        pytest.raises(
            WarehouseError, match="names a published database, which cannot be the warehouse"
        ),
        FileWarehouse(target).connect() as connection,
    ):
        ensure_tables(connection)
    assert target.read_bytes() == before


def test_a_database_of_something_else_is_no_warehouse(tmp_path: Path) -> None:
    path = tmp_path / "customers.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE customers AS SELECT 1 AS id")
    before = path.read_bytes()
    with (
        pytest.raises(WarehouseError, match=r"with other tables \(customers\)"),
        FileWarehouse(path).connect() as connection,
    ):
        ensure_tables(connection)
    assert path.read_bytes() == before


def test_a_copy_of_a_warehouse_by_cp_and_a_restored_backup_replace_nothing(
    project: Project, target: Path, tmp_path: Path
) -> None:
    """Test a former bug: both have the identity of the owner, and old content replaced new content."""
    give(project, target)
    backup = tmp_path / "backup"
    backup.mkdir()
    shutil.copyfile(project.warehouse.path, backup / "warehouse.duckdb")
    older = Project.at(backup, project.roots_folder)
    assert not give(older, target)  # the same content
    project.rows(CHANGE.format("second"))
    give(project, target)
    before = state(target.parent)
    older.rows(CHANGE.format("third"))
    with pytest.raises(
        PublishRefusedError, match="by a later state of this warehouse, or by a copy"
    ):
        give(older, target)
    assert state(target.parent) == before
    assert give(older, target, adopt=True)
    with pytest.raises(
        PublishRefusedError, match="by a later state of this warehouse, or by a copy"
    ):
        give(project, target)


@pytest.mark.slow
def test_the_newest_snapshot_is_the_last_that_was_published_whatever_the_clock_says(
    project: Project, target: Path
) -> None:
    """Test a former bug: if a clock was ahead, files had the id of older content until that time."""
    give(project, target)
    project.rows("UPDATE snapshots SET published_at = published_at + INTERVAL 1 HOUR")
    for run in ("second", "third"):
        project.rows(CHANGE.format(run))
        published = project.warehouse.publish(target, SPEC, keep_snapshots=1)
        assert list_snapshots(target)[0].snapshot_id == published.snapshot_id
        with open_samples(target) as samples:
            assert samples.snapshot_id == published.snapshot_id


@pytest.mark.slow
def test_a_consent_of_one_owner_lifts_the_mark_of_another_no_second_time(
    project: Project, other: Project, target: Path
) -> None:
    give(other, target)
    give(project, target, adopt=True)
    fewer = (
        "DELETE FROM image_tensors WHERE image_id NOT IN (SELECT min(image_id) FROM image_tensors)"
    )
    project.rows(fewer)
    project.rows(
        "DELETE FROM mvtec_ad.images WHERE image_id NOT IN (SELECT image_id FROM image_tensors)"
    )
    project.rows(
        "DELETE FROM dagm_2007.images WHERE image_id NOT IN (SELECT image_id FROM image_tensors)"
    )
    project.warehouse.publish(target, SPEC, allow_shrink=True)
    assert give(other, target)
    with pytest.raises(PublishRefusedError, match="samples would be lost"):
        give(project, target)


@pytest.mark.slow
@pytest.mark.parametrize("adopt", [False, True])
def test_a_warehouse_is_never_replaced(
    project: Project, other: Project, target: Path, tmp_path: Path, adopt: bool
) -> None:
    """Test a former bug: they record the same snapshots, and were taken for a file of the first release."""
    give(project, target)
    give(other, target, adopt=True)
    backup = tmp_path / "backup.duckdb"
    shutil.copyfile(project.warehouse.path, backup)
    project.rows(CHANGE.format("later"))
    for path, publisher in ((project.warehouse.path, other), (backup, project)):
        before = path.read_bytes()
        with pytest.raises(PublishRefusedError, match="is a warehouse, to which runs write"):
            give(publisher, path, adopt=adopt)
        assert path.read_bytes() == before


@pytest.mark.slow
def test_a_copy_is_a_warehouse_too(project: Project, target: Path, tmp_path: Path) -> None:
    give(project, target)
    copy = tmp_path / "copy.duckdb"
    copy_database(str(target), str(copy), log=lambda _: None)
    project.rows(CHANGE.format("later"))
    with pytest.raises(PublishRefusedError, match="is a warehouse, to which runs write"):
        give(project, copy, adopt=True)


@pytest.mark.slow
def test_a_restored_backup_is_refused_although_another_owner_published_last(
    project: Project, other: Project, target: Path, tmp_path: Path
) -> None:
    give(project, target)
    shutil.copyfile(project.warehouse.path, tmp_path / "backup.duckdb")
    project.rows(CHANGE.format("second"))
    give(project, target)
    give(other, target, adopt=True)
    os.replace(tmp_path / "backup.duckdb", project.warehouse.path)
    before = target.read_bytes()
    with pytest.raises(PublishRefusedError, match="by a later state of this warehouse"):
        give(project, target)
    assert target.read_bytes() == before


@pytest.mark.slow
def test_kept_snapshots_of_a_warehouse_that_published_here_before_stay(
    project: Project, other: Project, target: Path
) -> None:
    for run in ("first", "second"):
        project.rows(CHANGE.format(run))
        project.warehouse.publish(target, SPEC, keep_snapshots=1)
    [kept] = (path for path in target.parent.glob("anomaly.*.duckdb"))
    target.rename(target.with_name("release.duckdb"))
    for run in ("third", "fourth", "fifth"):
        other.rows(CHANGE.format(run))
        other.warehouse.publish(target, SPEC, keep_snapshots=1)
    assert kept.exists()
    assert len(list_snapshots(target)) == 3


@pytest.mark.slow
def test_the_oldest_publication_leaves_whatever_the_times_of_files_say(
    project: Project, target: Path
) -> None:
    ids: list[str] = []
    for run in ("first", "second", "third"):
        project.rows(CHANGE.format(run))
        if ids:
            os.utime(target, (2_000_000_000, 2_000_000_000))
        if len(ids) == 2:
            backup = target.with_name("anomaly.202611281248.duckdb")
            backup.write_text("notes")
            os.utime(backup, (2_100_000_000, 2_100_000_000))
        ids.append(project.warehouse.publish(target, SPEC, keep_snapshots=1).snapshot_id)
    assert {each.snapshot_id for each in list_snapshots(target)} == {*ids[1:]}
    assert backup.exists()
