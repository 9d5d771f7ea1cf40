"""Test the Dagster home: concurrent first runs, its form, and the files that a run adds."""

import os
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing, nullcontext
from itertools import pairwise
from pathlib import Path
from typing import Any

import dagster as dg
import filelock
import pytest
import sqlalchemy as db
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.event_log.schema import SqlEventLogStorageMetadata
from dagster._core.storage.runs.schema import RunStorageSqlMetadata
from dagster._core.storage.schedules.schema import ScheduleStorageSqlMetadata

from anomaly_assets.assets import home as home_module
from anomaly_assets.assets.home import DagsterHome
from anomaly_assets.assets.storage import EventStorage
from anomaly_assets_tests.assets.environment import Environment
from anomaly_assets_tests.assets.homes import PROJECT, new_home, opened, size
from anomaly_assets_tests.assets.runs import run_job
from anomaly_assets_tests.faults.command import Skip
from anomaly_assets_tests.faults.outages import without_override

DATABASES = ["history/event_log.db", "history/runs.db", "schedules/schedules.db"]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Create an empty Dagster home with the configuration of the project."""
    return new_home(tmp_path / "dagster_home")


def databases(home: Path) -> list[str]:
    return sorted(path.relative_to(home).as_posix() for path in home.rglob("*.db"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "tables",
    [RunStorageSqlMetadata, SqlEventLogStorageMetadata, ScheduleStorageSqlMetadata],
    ids=["runs", "events", "schedules"],
)
def test_two_commands_that_open_an_empty_home_at_the_same_moment_both_can(
    home: Path, monkeypatch: pytest.MonkeyPatch, tables: db.MetaData
) -> None:
    """Open it a second time after the first process has found no tables and before it creates them."""
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


@pytest.mark.slow
def test_a_new_home_has_one_database_for_the_events_of_all_runs_with_small_pages(
    home: Path,
) -> None:
    with opened(home) as instance:
        assert type(instance) is DagsterHome
        assert type(instance.event_log_storage) is EventStorage
    assert databases(home) == DATABASES
    for name in DATABASES:
        with closing(sqlite3.connect(home / name)) as connection:
            assert connection.execute("PRAGMA page_size").fetchone() == (1024,)
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert sorted(path.name for path in home.iterdir()) == [
        ".lock", "dagster.yaml", "history", "schedules",
    ]  # fmt: skip


@pytest.mark.slow
def test_a_home_that_dagster_created_keeps_its_form_and_its_history(home: Path) -> None:
    (home / "dagster.yaml").rename(home.parent / "dagster.yaml")
    with dg.DagsterInstance.from_config(str(home)) as instance:
        assert type(instance) is dg.DagsterInstance
        run = instance.create_run_for_job(_job())
    before = databases(home)
    (home.parent / "dagster.yaml").rename(home / "dagster.yaml")
    with opened(home) as instance:
        assert type(instance) is DagsterHome
        assert type(instance.event_log_storage) is SqliteEventLogStorage
        assert [found.run_id for found in instance.get_runs()] == [run.run_id]
    assert databases(home) == before


@pytest.mark.slow
def test_a_command_that_is_killed_while_it_creates_a_home_leaves_nothing_that_stops_the_next(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = os.replace
    for killed_at in ("history/runs.db", "schedules/schedules.db", "history/event_log.db"):
        with monkeypatch.context() as killing:

            def killed(source: str, target: str, at: str = killed_at) -> None:
                if target.endswith(at):
                    raise KeyboardInterrupt
                replace(source, target)

            killing.setattr(home_module.os, "replace", killed)
            with pytest.raises(KeyboardInterrupt):
                opened(home)
        (home / f".creating-{killed_at[:7]}").mkdir()
        assert not (home / "history/event_log.db").exists()
    with opened(home) as instance:
        assert instance.get_runs() == []
    assert databases(home) == DATABASES
    assert not [*home.glob(".creating-*")]


@pytest.mark.slow
def test_a_home_in_which_nothing_can_be_locked_is_opened_without_a_lock(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def acquire(*_: object, **__: object) -> None:
        raise NotImplementedError("FileSystem does not appear to support flock")

    monkeypatch.setattr(filelock.FileLock, "acquire", acquire)
    with opened(home) as instance:
        assert instance.get_runs() == []


@pytest.mark.slow
def test_a_home_that_was_created_before_is_opened_without_creating_anything(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(home).dispose()
    created: list[str] = []
    monkeypatch.setattr(home_module, "_create", created.append)
    opened(home).dispose()
    assert created == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("used", "closed"),
    [(False, ""), (True, "history"), (True, "history/event_log.db")],
)
def test_a_home_that_cannot_be_written_to_is_one_sentence(
    environment: Environment, home: Path, tmp_path: Path, used: bool, closed: str
) -> None:
    with opened(home) if used else nullcontext():
        pass
    (home / closed).chmod(0o555)
    command = ["dagster", "asset", "materialize", "-m", "anomaly_assets.definitions"]
    code, said = _said_without_override(tmp_path, home, *command, "--select", "images")
    message = f"{home / closed} cannot be written to, and Dagster stores its runs there. Ask its owner for"
    assert code == 1
    assert said.rpartition("\nError: ")[2].startswith(message)
    assert "Traceback" not in said
    code, said = _said_without_override(tmp_path, home, "anomaly_assets.assets.purge")
    assert code == 1
    assert said.startswith(f"error: {message}")


@pytest.mark.slow
def test_make_says_the_same_of_a_home_that_it_cannot_make(tmp_path: Path) -> None:
    wrapper = _without_override(tmp_path)
    (tmp_path / "closed").mkdir(mode=0o555)
    home = tmp_path / "closed" / "home"
    command = [*wrapper, "make", f"DAGSTER_HOME={home}", "dagster-home"]
    made = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert made.returncode == 2
    assert made.stderr.startswith(
        f"{home} cannot be written to, and Dagster keeps its runs there ("
    )
    assert made.stderr.count("\n") == 2  # the second is of make


@pytest.mark.parametrize("name", ["home?x", "home%41x"])
def test_a_home_whose_path_dagster_would_take_for_another_is_refused(
    tmp_path: Path, name: str
) -> None:
    home = new_home(tmp_path / name)
    with pytest.raises(home_module.HomeError, match=r"in its path.*Set DAGSTER_HOME"):
        opened(home)
    assert [path.name for path in home.iterdir()] == ["dagster.yaml"]


@pytest.mark.slow
def test_a_home_with_another_storage_need_not_be_written_to(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    access = os.access
    monkeypatch.setattr(
        os, "access", lambda path, mode: path != str(home / "history") and access(path, mode)
    )
    (home / "history").mkdir()
    with pytest.raises(home_module.HomeError, match="cannot be written to"):
        opened(home)
    with (home / "dagster.yaml").open("a") as file:
        file.write(f"storage:\n  sqlite:\n    base_dir: {home.parent / 'elsewhere'}\n")
    with opened(home) as instance:
        assert instance.get_runs() == []


@pytest.mark.slow
def test_what_dagster_does_about_limits_is_what_the_configuration_says(home: Path) -> None:
    with opened(home) as instance:
        concurrency = instance.get_concurrency_config()
        assert concurrency.run_queue_config is not None
        assert concurrency.run_queue_config.max_concurrent_runs == 10
        assert concurrency.pool_config.default_pool_limit is None
        assert instance.run_monitoring_enabled
        assert instance.run_monitoring_max_runtime_seconds == 21_600
        assert not instance.run_launcher.supports_check_run_worker_health


@pytest.mark.slow
def test_events_are_read_as_dagster_made_them(home: Path) -> None:
    live: list[dg.EventLogEntry] = []
    with opened(home) as instance:
        handle = dg.DagsterInstance.handle_new_event

        def kept(self: dg.DagsterInstance, event: dg.EventLogEntry, **options: Any) -> None:
            live.append(event)
            handle(self, event, **options)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(dg.DagsterInstance, "handle_new_event", kept)
            with dg.DagsterInstance.ephemeral() as usual:
                _job().execute_in_process(instance=usual)
        as_usual = [_facts(event) for event in live]
        run = _job().execute_in_process(instance=instance)
        stored = [_facts(event) for event in instance.all_logs(run.run_id)]
        [record] = instance.get_run_records()
        assert record.dagster_run.is_success
    planned = [facts for facts in as_usual if facts[0] == "ASSET_CHECK_EVALUATION_PLANNED"]
    assert planned
    assert stored == [facts for facts in as_usual if facts not in planned]
    assert {kind for kind, *_ in stored} > {"STEP_START", "STEP_OUTPUT", "ASSET_MATERIALIZATION"}


@pytest.mark.slow
def test_what_a_run_that_fails_had_planned_to_check_stays(home: Path) -> None:
    with opened(home) as instance:
        run = _job(fails=True).execute_in_process(instance=instance, raise_on_error=False)
        assert not run.success
        kinds = [event.dagster_event_type for event in instance.all_logs(run.run_id)]
    assert kinds.count(dg.DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED) == 1


@pytest.mark.slow
def test_an_unchanged_refresh_adds_at_most_400_kilobytes_to_the_home(
    samples: Environment, home: Path
) -> None:
    sizes = []
    for _ in range(3):
        with opened(home) as instance:
            assert run_job(instance=instance).success
        sizes.append(size(home))
    grown = [after - before for before, after in pairwise(sizes)]
    assert max(grown) <= 400_000, grown


def _without_override(work: Path) -> tuple[str, ...]:
    try:
        return without_override(work)
    except Skip as reason:
        pytest.skip(str(reason))


def _said_without_override(work: Path, home: Path, *module: str) -> tuple[int, str]:
    command = [*_without_override(work), sys.executable, "-m", *module]
    environment = {**os.environ, "DAGSTER_HOME": str(home)}
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True)
    return done.returncode, done.stderr


def _job(fails: bool = False) -> dg.JobDefinition:
    @dg.asset(check_specs=[dg.AssetCheckSpec("is_there", asset="thing")])
    def thing() -> dg.MaterializeResult:
        if fails:
            raise RuntimeError("no")
        return dg.MaterializeResult(
            metadata={"rows": 3}, check_results=[dg.AssetCheckResult(passed=True)]
        )

    job = dg.define_asset_job("making", selection=dg.AssetSelection.all())
    return dg.Definitions(assets=[thing], jobs=[job]).resolve_job_def("making")


def _facts(event: dg.EventLogEntry) -> tuple[object, ...]:
    """Return the parts of an event that people and Dagster read, without times, process and run."""
    inside = event.dagster_event
    if inside is None:
        return (None, event.message, event.step_key)
    return (
        inside.event_type_value,
        event.message.partition(" in ")[0].partition("(pid")[0],
        event.step_key,
        inside.step_key,
        inside.step_handle,
        inside.node_handle,
        type(inside.event_specific_data),
    )
