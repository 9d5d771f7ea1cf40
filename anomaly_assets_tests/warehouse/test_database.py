"""Test opening the warehouse: one writer at a time, a timeout, and the name of the holder."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from pathlib import Path

import duckdb
import pytest

from anomaly_assets.tables.sql_text import table_exists
from anomaly_assets.warehouse.file import warehouse as database
from anomaly_assets.warehouse.file.warehouse import (
    FileWarehouse,
    WarehouseBusyError,
    WarehouseError,
)
from anomaly_assets_tests.warehouse.other_process import (
    HAS_IT_OPEN,
    HOLDS_THE_LOCK,
    other_process,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Create a database with one row."""
    path = tmp_path / "warehouse.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
    return path


def settings(warehouse: FileWarehouse) -> list[tuple[str, str]]:
    """Return all settings of the DuckDB that connections come from, and its attached databases."""
    with warehouse.connect() as connection:
        return connection.execute(
            """
            SELECT name, value FROM duckdb_settings()
            UNION ALL SELECT 'attached', database_name FROM duckdb_databases() ORDER BY ALL
            """
        ).fetchall()


def kept(warehouse: FileWarehouse) -> list[tuple[int]]:
    with warehouse.connect() as connection:
        return connection.execute("FROM kept").fetchall()


@pytest.mark.slow
def test_a_run_that_holds_the_warehouse_is_named_when_the_wait_is_over(path: Path) -> None:
    with other_process(HOLDS_THE_LOCK, str(path)) as other:
        started = time.monotonic()
        with pytest.raises(WarehouseBusyError) as raised, FileWarehouse(path, 1.0).connect():
            pytest.fail("two runs had the warehouse")
        waited = time.monotonic() - started
    assert 0.9 <= waited < 5
    message = str(raised.value)
    assert message.startswith(f"{path} was held for more than 1 s by the run with process id")
    assert re.search(
        rf"process id {other.pid} since \d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", message
    )


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["read_write", "read_only"])
def test_a_person_who_has_the_warehouse_open_is_named_when_the_wait_is_over(
    path: Path, mode: str
) -> None:
    said: list[str] = []
    with other_process(HAS_IT_OPEN, str(path), mode) as other:
        started = time.monotonic()
        with (
            pytest.raises(WarehouseBusyError) as raised,
            FileWarehouse(path, 0.4, said.append).connect(),
        ):
            pytest.fail("two processes had the database")
        waited = time.monotonic() - started
    assert 0.4 <= waited < 5
    message = str(raised.value)
    assert f"{path} is open in " in message
    assert f"(process id {other.pid}). Close it there" in message
    assert len(said) == 1
    assert said[0].startswith(f"Waiting for {path}, which is open in ")
    assert said[0].endswith(f"(process id {other.pid}).")


def test_a_long_wait_says_again_and_again_who_is_waited_for(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_TELL_SECONDS", "_REMIND_SECONDS"):
        monkeypatch.setattr(database, name, 0.1)
    said: list[str] = []
    with other_process(HOLDS_THE_LOCK, str(path)) as other:
        with pytest.raises(WarehouseBusyError), FileWarehouse(path, 0.5, said.append).locked():
            pytest.fail("two runs had the warehouse")
        start = f"Waiting for {path}, held by the run with process id {other.pid} since "
    assert len(said) >= 2
    assert all(sentence.startswith(start) for sentence in said)


@pytest.mark.slow
@pytest.mark.parametrize("script", [HOLDS_THE_LOCK, HAS_IT_OPEN])
def test_a_run_waits_once_in_vain_and_again_after_it_was_let_in(path: Path, script: str) -> None:
    warehouse = FileWarehouse(path, 1.0)
    with other_process(script, str(path), "read_write") as other:
        started = time.monotonic()
        for _ in range(4):
            with pytest.raises(WarehouseBusyError), warehouse.connect():
                pytest.fail("two processes had the database")
        assert 0.9 <= time.monotonic() - started < 2.5
        other.let_go()
        other.process.wait()
    with warehouse.connect(), other_process(HOLDS_THE_LOCK, str(path.with_name("other"))):
        pass
    with other_process(script, str(path), "read_write"):
        started = time.monotonic()
        with pytest.raises(WarehouseBusyError), warehouse.connect():
            pytest.fail("two processes had the database")
        assert time.monotonic() - started >= 0.9


def test_nobody_waits_where_the_wait_is_zero(path: Path) -> None:
    with other_process(HOLDS_THE_LOCK, str(path)):
        started = time.monotonic()
        with pytest.raises(WarehouseBusyError), FileWarehouse(path, 0.0).locked():
            pytest.fail("two runs had the warehouse")
    assert time.monotonic() - started < 1


@pytest.mark.slow
def test_a_run_waits_for_another_one_and_then_goes_on(path: Path) -> None:
    with other_process(HOLDS_THE_LOCK, str(path)) as other:
        other.let_go_after(0.4)
        started = time.monotonic()
        assert kept(FileWarehouse(path, 20.0)) == [(7,)]
        assert time.monotonic() - started >= 0.3


def test_a_run_waits_for_a_person_and_then_goes_on(path: Path) -> None:
    with other_process(HAS_IT_OPEN, str(path), "read_write") as other:
        other.let_go_after(0.4)
        started = time.monotonic()
        assert kept(FileWarehouse(path, 20.0, lambda _: None)) == [(7,)]
        assert time.monotonic() - started >= 0.3


def test_a_killed_run_holds_nothing_back(path: Path) -> None:
    with other_process(HOLDS_THE_LOCK, str(path)) as other:
        other.kill()
        assert kept(FileWarehouse(path, 0.0)) == [(7,)]


def test_a_killed_writer_holds_nothing_back_and_what_it_committed_is_there(path: Path) -> None:
    insert = "INSERT INTO kept VALUES (8)"
    with other_process(HAS_IT_OPEN, str(path), "read_write", insert) as other:
        other.kill()
        assert kept(FileWarehouse(path, 0.0)) == [(7,), (8,)]


def test_the_lock_can_be_taken_again_by_who_holds_it(path: Path) -> None:
    warehouse, other_run = FileWarehouse(path, 0.0), FileWarehouse(path, 0.0)
    with warehouse.locked():
        with warehouse.locked() as inner, inner.connect() as connection:
            assert connection.execute("FROM kept").fetchall() == [(7,)]
        with pytest.raises(WarehouseBusyError), other_run.locked():
            pytest.fail("the inner lock let go of the outer one")
    assert kept(other_run) == [(7,)]


def test_an_error_lets_go_of_the_lock_and_of_the_database(path: Path) -> None:
    warehouse = FileWarehouse(path, 0.0)
    with pytest.raises(ZeroDivisionError), warehouse.connect() as connection:
        raise ZeroDivisionError
    with pytest.raises(duckdb.ConnectionException):
        connection.execute("SELECT 1")
    assert kept(FileWarehouse(path, 0.0)) == [(7,)]


def test_a_duckdb_in_which_something_failed_is_not_used_again(path: Path) -> None:
    warehouse = FileWarehouse(path, 0.0)
    with warehouse.locked():
        before = settings(warehouse)
        with pytest.raises(duckdb.Error), warehouse.connect() as connection:
            connection.execute(
                "SET threads = 1; ATTACH ':memory:' AS left_behind; SELECT error('')"
            )
        assert settings(warehouse) == before


def test_a_query_that_a_signal_ended_is_not_told_of_as_a_failure(path: Path) -> None:
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    warehouse = FileWarehouse(path, 0.0)
    try:
        with pytest.raises(KeyboardInterrupt), warehouse.connect() as connection:
            connection.execute(
                "SELECT count(*) FROM range(10_000_000) AS a, range(10_000_000) AS b"
            )
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert kept(warehouse) == [(7,)]


@pytest.mark.parametrize("error", [RuntimeError("Query"), RecursionError("Query interrupted")])
def test_other_errors_stay_what_they_are(path: Path, error: RuntimeError) -> None:
    with pytest.raises(type(error)) as raised, FileWarehouse(path, 0.0).connect():
        raise error
    assert raised.value is error


def test_a_second_connection_in_the_same_process_is_told_to_close_the_first(path: Path) -> None:
    warehouse = FileWarehouse(path, 0.0)
    with (
        warehouse.connect(),
        pytest.raises(WarehouseError, match="already open in this process"),
        warehouse.connect(),
    ):
        pytest.fail("the database was opened twice")


@pytest.mark.parametrize(("kept_bytes", "databases"), [(None, 1), (0, 0)])
def test_the_file_stays_attached_between_steps_unless_many_blocks_are_cached(
    path: Path, monkeypatch: pytest.MonkeyPatch, kept_bytes: int | None, databases: int
) -> None:
    if kept_bytes is not None:
        monkeypatch.setattr("anomaly_assets.warehouse.file.warehouse.KEPT_BYTES", kept_bytes)
    attached = "SELECT count(*) FROM duckdb_databases() WHERE database_name = 'warehouse'"
    warehouse = FileWarehouse(path, 0.0)
    with warehouse.locked():
        with warehouse.connect() as connection:
            connection.execute("CREATE TABLE remarks AS SELECT 1 AS one")
        assert warehouse._instance is not None
        assert warehouse._instance.execute(attached).fetchall() == [(databases,)]
        with warehouse.connect() as connection:
            assert connection.execute("FROM remarks").fetchall() == [(1,)]
    with FileWarehouse(path, 0.0).connect() as connection:
        assert connection.execute("FROM remarks").fetchall() == [(1,)]


def test_the_holder_is_noted_for_those_who_wait(path: Path) -> None:
    with FileWarehouse(path, 0.0).locked():
        note = json.loads(path.with_name("warehouse.duckdb.holder").read_text())
    assert note["pid"] == os.getpid()


def test_an_unreadable_note_about_the_holder_still_gives_an_answer(path: Path) -> None:
    with other_process(HOLDS_THE_LOCK, str(path)):
        path.with_name("warehouse.duckdb.holder").write_text("{half a no")
        with (
            pytest.raises(WarehouseBusyError, match="by another run"),
            FileWarehouse(path, 0).locked(),
        ):
            pytest.fail("two runs had the warehouse")


def test_a_file_that_is_no_database_is_said_to_be_one_that_can_be_deleted(tmp_path: Path) -> None:
    path = tmp_path / "warehouse.duckdb"
    path.write_bytes(b"no database" * 1000)
    with (
        pytest.raises(
            WarehouseError, match=r"cannot be opened: [^!]*database file\. If .*delete it.*rebuilt"
        ),
        FileWarehouse(path, 5.0).connect(),
    ):
        pytest.fail("it was opened")


def test_a_new_warehouse_makes_its_folders(tmp_path: Path) -> None:
    path = tmp_path / "it's new" / "deep" / "warehouse.duckdb"
    with FileWarehouse(path, 0.0).connect() as connection:
        connection.execute("CREATE TABLE made (number INTEGER)")
        assert table_exists(connection, "main", "made")
        assert not table_exists(connection, "main", "missing")
        assert not table_exists(connection, "missing", "made")
    assert path.is_file()


@pytest.mark.parametrize("name", ["mvtec_ad", "dagm_2007"])
def test_a_warehouse_that_is_called_like_a_source_dataset_is_refused(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / f"{name}.duckdb"
    with (
        pytest.raises(WarehouseError, match="choose another file name"),
        FileWarehouse(path).connect(),
    ):
        pytest.fail("it was opened")
    assert not path.exists()


def test_times_are_in_utc_whatever_the_machine_says(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        with FileWarehouse(path, 0.0).connect() as connection:
            query = "SELECT to_timestamp(0)::VARCHAR"
            assert connection.execute(query).fetchall() == [("1970-01-01 00:00:00+00",)]
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_relative_path_means_the_folder_it_was_given_in(
    path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(path.parent)
    warehouse = FileWarehouse(Path(path.name), 0.0)
    monkeypatch.chdir("/")
    assert kept(warehouse) == [(7,)]


@pytest.mark.parametrize("link", ["file", "folder"])
def test_a_warehouse_behind_a_link_is_held_and_kept_beside_the_file_itself(
    tmp_path: Path, link: str
) -> None:
    (tmp_path / "disk").mkdir()
    real = tmp_path / "disk" / "warehouse.duckdb"
    (tmp_path / "link").symlink_to("disk" if link == "folder" else "disk/warehouse.duckdb")
    named = tmp_path / "link" / "warehouse.duckdb" if link == "folder" else tmp_path / "link"
    warehouse = FileWarehouse(named, 0.0)
    with warehouse.connect() as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
        with pytest.raises(WarehouseBusyError), FileWarehouse(real, 0.0).locked():
            pytest.fail("it was held twice, under two names")
    assert warehouse.path == real
    assert warehouse.pipelines_folder.parent == real.parent
    assert kept(FileWarehouse(real)) == [(7,)]
    assert sorted(os.listdir(tmp_path)) == ["disk", "link"]
    assert (tmp_path / "link").is_symlink()


def test_a_warehouse_on_a_share_that_is_not_mounted_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("share")
    with pytest.raises(
        WarehouseError, match=r"link is a symbolic link to .*share.*: mount or make"
    ):
        FileWarehouse(tmp_path / "link" / "warehouse.duckdb")
    assert os.listdir(tmp_path) == ["link"]


def test_a_run_removes_what_a_killed_one_left_of_a_compact_copy_of_the_warehouse(
    path: Path,
) -> None:
    path.with_name(f".{path.name}.{'0' * 32}.unfinished").mkdir()
    with FileWarehouse(path).locked():
        assert sorted(os.listdir(path.parent)) == [
            path.name,
            f"{path.name}.holder",
            f"{path.name}.lock",
        ]


def test_what_a_killed_load_left_is_gone_for_whoever_comes_next_and_nested_locks_leave_it(
    tmp_path: Path,
) -> None:
    warehouse = FileWarehouse(tmp_path / "warehouse.duckdb")
    package = warehouse.pipelines_folder / "mvtec_ad" / "load"
    package.mkdir(parents=True)
    with warehouse.locked():
        assert not warehouse.pipelines_folder.exists()
        package.mkdir(parents=True)
        with warehouse.connect():
            assert package.exists()
