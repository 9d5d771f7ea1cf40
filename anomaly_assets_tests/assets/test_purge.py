"""Test deletion of old runs from a Dagster home."""

import base64
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path

import dagster as dg
import pytest

from anomaly_assets.assets import purge as module
from anomaly_assets.assets.purge import main, purge
from anomaly_assets_tests.assets.homes import new_home, opened, size

PICTURE = "data:image/webp;base64," + base64.b64encode(bytes(range(256)) * 200).decode()


@dg.asset(check_specs=[dg.AssetCheckSpec("is_there", asset="first")])
def first() -> dg.MaterializeResult:
    return dg.MaterializeResult(
        metadata={"picture": PICTURE}, check_results=[dg.AssetCheckResult(passed=True)]
    )


@dg.asset
def second() -> None:
    pass


@dg.asset_check(asset="second")
def is_new() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


DEFINITIONS = dg.Definitions(
    assets=[first, second],
    asset_checks=[is_new],
    jobs=[
        dg.define_asset_job("both", selection=dg.AssetSelection.assets("first", "second")),
        dg.define_asset_job("only_first", selection=dg.AssetSelection.assets("first")),
    ],
)


IN_EACH_FORM = pytest.mark.parametrize(
    "form", ["one database", "a database per run"], indirect=True
)


@pytest.fixture
def form(request: pytest.FixtureRequest) -> str:
    """Return the form of a home: the number of databases for its events."""
    return str(getattr(request, "param", "one database"))


@pytest.fixture
def home(form: str, tmp_path: Path) -> Path:
    """Create a home in one of its two forms."""
    home = new_home(tmp_path / "dagster_home")
    if form == "a database per run":
        (home / "dagster.yaml").rename(tmp_path / "dagster.yaml")
        dg.DagsterInstance.from_config(str(home)).dispose()
        shutil.move(tmp_path / "dagster.yaml", home)
    return home


@pytest.fixture
def instance(home: Path) -> Iterator[dg.DagsterInstance]:
    with opened(home) as instance:
        yield instance


def run(instance: dg.DagsterInstance, job: str, days_ago: float) -> str:
    """Run a job and backdate it; it leaves files of every kind."""
    result = DEFINITIONS.resolve_job_def(job).execute_in_process(instance=instance)
    home = Path(instance.root_directory)
    for folder in ("compute_logs", "first"):
        path = home / "storage" / result.run_id / folder / "file"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 1000)
    created = datetime.now(timezone.utc) - timedelta(days=days_ago)
    with closing(sqlite3.connect(home / "history" / "runs.db")) as connection, connection:
        connection.execute(
            "UPDATE runs SET create_timestamp = ? WHERE run_id = ?",
            (created.strftime("%Y-%m-%d %H:%M:%S.%f"), result.run_id),
        )
    return str(result.run_id)


def before(days: int) -> datetime:
    return datetime.now(timezone.utc) - timedelta(days=days)


def mentioned(home: Path, run_id: str) -> list[str]:
    """Return remaining files and rows of a run."""
    left = [str(path.relative_to(home)) for path in home.rglob("*") if run_id in str(path)]
    for database in home.rglob("*.db"):
        with closing(sqlite3.connect(database)) as connection:
            tables = connection.execute(
                "SELECT name FROM sqlite_schema WHERE type = 'table'"
            ).fetchall()
            for (table,) in tables:
                names = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
                if "run_id" in names:
                    query = f"SELECT count(*) FROM {table} WHERE run_id = ?"
                    if connection.execute(query, (run_id,)).fetchone() != (0,):
                        left.append(f"{database.name}:{table}")
    return left


@IN_EACH_FORM
def test_old_runs_are_deleted_with_all_that_belongs_to_them_and_the_home_is_smaller(
    home: Path, instance: dg.DagsterInstance
) -> None:
    old = [run(instance, "both", 100 + number) for number in range(3)]
    newest = run(instance, "both", 10)
    assert all(mentioned(home, run_id) for run_id in old)
    said: list[str] = []
    purged = purge(instance, before(90), said.append)
    assert (purged.deleted, purged.needed, said) == (3, 0, [])
    assert [found.run_id for found in instance.get_runs()] == [newest]
    assert [mentioned(home, run_id) for run_id in old] == [[]] * 3
    assert purged.bytes_before - purged.bytes_after > 3 * 68_000
    assert purged.bytes_after == size(home)
    event = instance.get_latest_materialization_event(dg.AssetKey("first"))
    assert event is not None
    assert event.run_id == newest


def test_an_old_run_stays_that_shows_the_latest_state_of_an_asset_or_a_check(
    home: Path, instance: dg.DagsterInstance
) -> None:
    run(instance, "both", 101)
    both = run(instance, "both", 100)
    run(instance, "only_first", 99)
    newest = run(instance, "only_first", 98)
    purged = purge(instance, before(90), print)
    assert (purged.deleted, purged.needed) == (2, 2)
    assert {found.run_id for found in instance.get_runs()} == {both, newest}
    second = instance.get_latest_materialization_event(dg.AssetKey("second"))
    assert second is not None
    assert second.run_id == both


def test_an_old_run_stays_whose_pictures_a_later_one_links_to(
    home: Path, instance: dg.DagsterInstance
) -> None:
    shows = run(instance, "both", 100)
    run(instance, "both", 99)
    link = dg.MetadataValue.dagster_run(shows)
    instance.report_runless_asset_event(
        dg.AssetMaterialization("second", metadata={"pictures_in_run": link})
    )
    newest = run(instance, "only_first", 1)
    purged = purge(instance, before(90), print)
    assert {found.run_id for found in instance.get_runs()} >= {shows, newest}
    assert shows in {found.run_id for found in instance.get_runs()}
    assert purged.needed >= 1


def test_a_run_that_waits_or_runs_stays_however_old_it_is(
    home: Path, instance: dg.DagsterInstance
) -> None:
    started = instance.create_run_for_job(
        DEFINITIONS.resolve_job_def("both"), status=dg.DagsterRunStatus.STARTED
    )
    with closing(sqlite3.connect(home / "history" / "runs.db")) as connection, connection:
        connection.execute("UPDATE runs SET create_timestamp = '2020-01-01 00:00:00.000000'")
    assert purge(instance, before(90), print).deleted == 0
    assert [found.run_id for found in instance.get_runs()] == [started.run_id]


@IN_EACH_FORM
def test_a_purge_that_is_stopped_is_completed_by_the_next(
    home: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = [run(instance, "both", 100 + number) for number in range(3)]
    run(instance, "both", 10)
    for step in ("_delete_checks", "_vacuum"):
        with monkeypatch.context() as stopping:

            def stopped(*_: object) -> None:
                raise KeyboardInterrupt

            stopping.setattr(module, step, stopped)
            with pytest.raises(KeyboardInterrupt):
                purge(instance, before(90), print)
    purge(instance, before(90), print)
    assert [mentioned(home, run_id) for run_id in old] == [[]] * 3


def test_a_database_that_is_in_use_is_named_and_everything_else_is_done(
    home: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_VACUUM_WAIT_SECONDS", 0.0)
    old, _ = run(instance, "both", 100), run(instance, "both", 10)
    path = home / "schedules" / "schedules.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        said: list[str] = []
        assert purge(instance, before(90), said.append).deleted == 1
    assert said == [
        f"{path} could not be shrunk (database is locked). Later runs use its free space. To free it "
        "now, stop the processes that use this Dagster home and run this command again."
    ]
    assert mentioned(home, old) == []


def test_the_command_says_what_it_deleted(
    home: Path,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run(instance, "both", 50)
    run(instance, "both", 40)
    run(instance, "only_first", 1)
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    assert main([]) == 0
    assert capsys.readouterr().out.startswith("0 runs from before ")
    assert main(["--keep-days", "30"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("1 runs from before ")
    assert f" UTC were deleted; 1 more stay, because the UI shows them. {home} now has " in printed


@pytest.mark.parametrize("days", ["0", "-1", "x", "1.5", "36501", "9" * 30])
def test_a_number_of_days_that_makes_no_sense_is_refused(
    days: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([f"--keep-days={days}"])
    assert f"{days!r} is not a whole number from 1 to 36500" in capsys.readouterr().err


def test_a_missing_home_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    assert main([]) == 1
    assert capsys.readouterr().err == (
        "error: DAGSTER_HOME is not set. Set it to the Dagster home, or use make purge.\n"
    )
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "none"))
    assert main([]) == 1
    assert "is not a directory or does not exist" in capsys.readouterr().err
