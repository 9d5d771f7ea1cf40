"""The Dagster home of several first runs."""

import shutil
import threading
from pathlib import Path
from typing import Any

import dagster as dg
import filelock
import pytest
import sqlalchemy as db
from dagster._core.storage.event_log.schema import SqlEventLogStorageMetadata
from dagster._core.storage.runs.schema import RunStorageSqlMetadata
from dagster._core.storage.schedules.schema import ScheduleStorageSqlMetadata

from anomaly_assets.assets.home import DagsterHome


@pytest.fixture
def home(tmp_path: Path, project_root: Path) -> Path:
    """An empty Dagster home with the configuration of the project."""
    shutil.copy(project_root / "dagster.yaml", tmp_path)
    return tmp_path


def opened(home: Path) -> dg.DagsterInstance:
    """Open a home as commands do that have it in DAGSTER_HOME."""
    return dg.DagsterInstance.from_config(str(home))


@pytest.mark.parametrize(
    "tables",
    [RunStorageSqlMetadata, SqlEventLogStorageMetadata, ScheduleStorageSqlMetadata],
    ids=["runs", "events", "schedules"],
)
def test_two_commands_that_open_an_empty_home_at_the_same_moment_both_can(
    home: Path, monkeypatch: pytest.MonkeyPatch, tables: db.MetaData
) -> None:
    """The second opens it when the first has seen that tables are missing and not created them yet."""
    second_is_there = threading.Event()
    errors: list[BaseException] = []

    def open_home() -> None:
        try:
            opened(home).dispose()
        except BaseException as error:
            errors.append(error)
        finally:
            second_is_there.set()

    second = threading.Thread(target=open_home)

    def before_create(*_: Any, **__: Any) -> None:
        if threading.current_thread() is second:
            second_is_there.set()
        elif second.ident is None:
            second.start()
            assert second_is_there.wait(60)

    acquire = filelock.FileLock.acquire

    def acquire_and_note(lock: Any, *args: Any, **options: Any) -> Any:
        if threading.current_thread() is second:
            second_is_there.set()
        return acquire(lock, *args, **options)

    monkeypatch.setattr(filelock.FileLock, "acquire", acquire_and_note)
    db.event.listen(tables, "before_create", before_create)
    try:
        opened(home).dispose()
    finally:
        db.event.remove(tables, "before_create", before_create)
    second.join(60)
    assert second.ident is not None
    assert errors == []
    with opened(home) as instance:
        assert instance.get_runs() == []


def test_the_home_is_what_dagster_makes_of_one_without_our_class(
    home: Path, tmp_path: Path
) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()

    def files(folder: Path) -> set[str]:
        return {path.relative_to(folder).as_posix() for path in folder.rglob("*.db")}

    with opened(home) as ours, dg.DagsterInstance.local_temp(str(plain)) as theirs:
        assert type(ours) is DagsterHome
        assert type(ours.run_storage) is type(theirs.run_storage)
        assert type(ours.event_log_storage) is type(theirs.event_log_storage)
        assert type(ours.run_coordinator) is type(theirs.run_coordinator)
        assert files(plain) == {name for name in files(home) if not name.startswith("plain/")}


def test_a_home_in_which_nothing_can_be_locked_is_opened_without_a_lock(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def acquire(*_: object, **__: object) -> None:
        raise NotImplementedError("FileSystem does not appear to support flock")

    monkeypatch.setattr(filelock.FileLock, "acquire", acquire)
    with opened(home) as instance:
        assert instance.get_runs() == []


def test_a_home_that_was_created_before_is_opened_without_creating_anything(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(home).dispose()
    created: list[object] = []
    monkeypatch.setattr(
        "anomaly_assets.assets.home.DagsterSqliteStorage", lambda path: created.append(path)
    )
    opened(home).dispose()
    assert created == []


def test_what_dagster_does_about_limits_is_what_the_configuration_says(home: Path) -> None:
    with opened(home) as instance:
        concurrency = instance.get_concurrency_config()
        assert concurrency.run_queue_config is not None
        assert concurrency.run_queue_config.max_concurrent_runs == 10
        assert concurrency.pool_config.default_pool_limit is None
        assert instance.run_monitoring_enabled
        assert instance.run_monitoring_max_runtime_seconds == 21_600
        assert not instance.run_launcher.supports_check_run_worker_health
