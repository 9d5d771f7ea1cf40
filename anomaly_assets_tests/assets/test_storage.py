"""Test the databases of a Dagster home: connections, transactions, and files that are replaced."""

import errno
import queue
import shutil
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as db
from dagster._core.storage.event_log import ConsolidatedSqliteEventLogStorage

from anomaly_assets.assets import storage
from anomaly_assets.assets.storage import EventStorage, RunStorage
from anomaly_assets_tests.assets.homes import new_home, opened


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Create an empty Dagster home with the configuration of the project."""
    return new_home(tmp_path / "dagster_home")


@pytest.fixture
def counted() -> Iterator[Counter[str]]:
    """Count connections and commits of all engines."""
    found: Counter[str] = Counter()

    def connected(*_: Any) -> None:
        found["connections"] += 1

    def committed(*_: Any) -> None:
        found["commits"] += 1

    db.event.listen(db.Pool, "connect", connected)
    db.event.listen(db.Engine, "commit", committed)
    yield found
    db.event.remove(db.Pool, "connect", connected)
    db.event.remove(db.Engine, "commit", committed)


def made(instance: dg.DagsterInstance, assets: int) -> str:
    """Run a job with this number of assets, each with a check; return the id of its run."""

    def asset(number: int) -> dg.AssetsDefinition:
        name = f"thing_{number}"

        @dg.asset(name=name, check_specs=[dg.AssetCheckSpec("is_there", asset=name)])
        def thing() -> dg.MaterializeResult:
            return dg.MaterializeResult(check_results=[dg.AssetCheckResult(passed=True)])

        return thing

    job = dg.define_asset_job("making", selection=dg.AssetSelection.all())
    definitions = dg.Definitions(
        assets=[asset(number) for number in range(assets)],
        jobs=[job],
        executor=dg.in_process_executor,
    )
    run = definitions.resolve_job_def("making").execute_in_process(instance=instance)
    assert run.success
    return run.run_id


@pytest.mark.slow
def test_a_home_that_is_in_use_opens_no_connection_for_another_run(
    home: Path, counted: Counter[str]
) -> None:
    with opened(home) as instance:
        made(instance, 2)
        counted.clear()
        made(instance, 2)
    assert counted["connections"] == 0


@pytest.mark.slow
def test_an_event_and_all_that_follows_from_it_are_one_transaction(
    home: Path, counted: Counter[str]
) -> None:
    with opened(home) as instance:
        events = instance.all_logs(made(instance, 1))
        counted.clear()
        for event in events:
            instance.event_log_storage.store_event(event)
    assert counted["commits"] == len(events)


@pytest.mark.parametrize("system", ["inotify", "full inotify", "another system"])
def test_events_are_seen_while_the_process_that_stores_them_goes_on(
    home: Path, monkeypatch: pytest.MonkeyPatch, system: str
) -> None:
    if system == "another system":
        monkeypatch.setattr(storage.sys, "platform", "darwin")
    elif system == "full inotify":
        monkeypatch.setattr(storage.Observer, "start", _refused)
    found: queue.Queue[str] = queue.Queue()
    with opened(home) as running, opened(home) as watching:
        run = running.create_run_for_job(dg.GraphDefinition("none").to_job())
        watching.watch_event_logs(run.run_id, None, lambda event, _: found.put(event.message))
        for message in ("160 images", "344 images"):
            running.report_engine_event(message, run)
            assert found.get(timeout=20) == message


def _refused(*_: object) -> None:
    raise OSError(errno.EMFILE, "inotify instance limit reached")


def test_an_error_while_events_are_read_does_not_end_the_watch(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: queue.Queue[str] = queue.Queue()
    read = EventStorage.get_records_for_run
    failed = threading.Event()

    def failing_once(self: EventStorage, *arguments: Any, **options: Any) -> Any:
        if not failed.is_set():
            failed.set()
            raise OSError("disk I/O error")
        return read(self, *arguments, **options)

    with opened(home) as running, opened(home) as watching:
        run = running.create_run_for_job(dg.GraphDefinition("none").to_job())
        watching.watch_event_logs(run.run_id, None, lambda event, _: found.put(event.message))
        monkeypatch.setattr(EventStorage, "get_records_for_run", failing_once)
        running.report_engine_event("160 images", run)
        assert failed.wait(20)
        running.report_engine_event("344 images", run)
        assert [found.get(timeout=20), found.get(timeout=20)] == ["160 images", "344 images"]


@pytest.mark.slow
def test_the_planned_events_of_a_run_are_one_transaction(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored: list[int] = []
    store = EventStorage.store_event_batch

    def noted(self: EventStorage, events: Sequence[dg.EventLogEntry]) -> None:
        stored.append(len(events))
        store(self, events)

    monkeypatch.setattr(EventStorage, "store_event_batch", noted)
    with opened(home) as instance:
        made(instance, 3)
    assert stored == [6]  # three assets and their checks


def test_an_event_whose_asset_cannot_be_stored_is_not_stored_either(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> None:
        raise RuntimeError("no")

    with opened(home) as instance:
        monkeypatch.setattr(EventStorage, "store_asset_event", fails)
        with pytest.raises(RuntimeError):
            made(instance, 1)
        monkeypatch.undo()
        [run] = instance.get_runs()
        kinds = {entry.dagster_event_type for entry in instance.all_logs(run.run_id)}
    assert dg.DagsterEventType.ASSET_MATERIALIZATION not in kinds


@pytest.mark.slow
def test_a_home_that_is_deleted_while_a_process_has_it_open_is_not_written_to_any_more(
    home: Path, tmp_path: Path
) -> None:
    """Keep the UI open while another process deletes the home, or replaces it by a copy of another home."""
    with opened(home) as instance:
        made(instance, 1)
    shutil.copytree(home, tmp_path / "copy")
    with opened(home) as instance:
        lost = made(instance, 1)
        shutil.rmtree(home)
        shutil.copytree(tmp_path / "copy", home)
        new = made(instance, 1)
        found = [run.run_id for run in instance.get_runs()]
    assert new in found
    assert lost not in found
    with closing(sqlite3.connect(home / "history" / "event_log.db")) as connection:
        assert connection.execute(
            "SELECT count(*) > 0 FROM event_logs WHERE run_id = ?", [new]
        ).fetchone() == (1,)


@pytest.mark.slow
def test_threads_store_events_at_the_same_time(home: Path) -> None:
    with opened(home) as instance:
        run_id = made(instance, 1)
        events = instance.all_logs(run_id)
        errors: list[BaseException] = []

        def store() -> None:
            try:
                for event in events:
                    instance.event_log_storage.store_event(event)
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=store) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert errors == []
        assert len(instance.all_logs(run_id)) == 4 * len(events)


@pytest.mark.slow
def test_the_files_are_those_of_dagsters_own_storage(home: Path) -> None:
    with opened(home) as instance:
        assert isinstance(instance.run_storage, RunStorage)
        run_id = made(instance, 1)
        ours = [entry.dagster_event_type for entry in instance.all_logs(run_id)]
    assert not [*home.rglob("*-wal")]
    storage = ConsolidatedSqliteEventLogStorage(str(home / "history"))
    entries = storage.get_logs_for_run(run_id)
    assert [entry.dagster_event_type for entry in entries] == ours


@pytest.mark.slow
def test_an_empty_database_of_runs_gets_its_tables(home: Path) -> None:
    """Write an empty file, as SQLite does if a process opens a database that was deleted."""
    with opened(home) as instance:
        made(instance, 1)
    (home / "history" / "runs.db").write_bytes(b"")
    with opened(home) as instance:
        assert instance.get_run_by_id(made(instance, 1)) is not None
