"""Delete old runs from the Dagster home: `python -m anomaly_assets.assets.purge --keep-days 90`.

The command keeps runs with the latest state of an asset or check, and runs with pictures to which later
runs link.
Dagster itself deletes ticks of schedules and sensors (`retention` in `dagster.yaml`), but never a run.
"""

import argparse
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

import dagster as dg
import sqlalchemy as db
from dagster._core.errors import DagsterHomeNotSetError, DagsterInvariantViolationError
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage

from anomaly_assets.assets.home import HomeError
from anomaly_assets.assets.reports import PICTURES_IN_RUN, latest_evaluation

_ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
_VACUUM_WAIT_SECONDS = 30.0
_MOST_DAYS = 36_500


@dataclass(frozen=True)
class Purged:
    """Result of a purge.

    Attributes:
        deleted: Number of runs.
        needed: Number of runs that are as old and stay, because a page of the UI shows them.
        bytes_before: Size of all files in the home.
        bytes_after: Size of all files in the home afterwards.
    """

    deleted: int
    needed: int
    bytes_before: int
    bytes_after: int


def purge(
    instance: dg.DagsterInstance, created_before: datetime, log: Callable[[str], None]
) -> Purged:
    """Delete the events, logs and files of runs that ended, and shrink the databases.

    After an interruption it can be run again: a run is deleted after everything that belongs to it.

    Args:
        instance: The home.
        created_before: Newer runs stay, as do queued and running ones.
        log: Called with a sentence if a database could not be shrunk.
    """
    home = Path(instance.root_directory)
    before = _size(home)
    needed = set(_needed_runs(instance))
    old = instance.get_runs(dg.RunsFilter(statuses=_ENDED, created_before=created_before))
    deleted = [run.run_id for run in old if run.run_id not in needed]
    for run_id in deleted:
        instance.compute_log_manager.delete_logs(prefix=[run_id])
        shutil.rmtree(home / "storage" / run_id, ignore_errors=True)
        _delete_checks(instance, run_id)
        instance.event_log_storage.delete_events(run_id)
        for file in (home / "history" / "runs").glob(f"{run_id}.db*"):
            file.unlink(missing_ok=True)
        instance.run_storage.delete_run(run_id)
    for database in [*home.glob("history/*.db"), *home.glob("schedules/*.db")]:
        _vacuum(database, log)
    _vacuum(home / "history" / "runs" / "index.db", log)
    return Purged(len(deleted), len(old) - len(deleted), before, _size(home))


def _needed_runs(instance: dg.DagsterInstance) -> Iterator[str]:
    """Yield the runs that the pages of assets and checks show."""
    for key in instance.all_asset_keys():
        event = instance.get_latest_materialization_event(key)
        if event is not None and event.asset_materialization is not None:
            yield from (event.run_id, *_linked(event.asset_materialization.metadata))
    for asset_key, check_name in _checks(instance):
        run_id, evaluation = latest_evaluation(instance, dg.AssetCheckKey(asset_key, check_name))
        if evaluation is not None:
            yield from (run_id, *_linked(evaluation.metadata))


def _linked(metadata: Mapping[str, dg.MetadataValue]) -> Iterator[str]:
    if PICTURES_IN_RUN in metadata:
        yield str(metadata[PICTURES_IN_RUN].value)


def _checks(instance: dg.DagsterInstance) -> Iterator[tuple[dg.AssetKey, str]]:
    storage = instance.event_log_storage
    if isinstance(storage, SqlEventLogStorage):
        columns = AssetCheckExecutionsTable.c
        with storage.index_connection() as connection:
            names = connection.execute(
                db.select(columns.asset_key, columns.check_name).distinct()
            ).fetchall()
        for text, check_name in names:
            if (key := dg.AssetKey.from_db_string(text)) is not None:
                yield key, check_name


def _delete_checks(instance: dg.DagsterInstance, run_id: str) -> None:
    """Delete results of checks, which Dagster does not delete with a run."""
    storage = instance.event_log_storage
    if isinstance(storage, SqlEventLogStorage):
        with storage.index_connection() as connection:
            connection.execute(
                AssetCheckExecutionsTable.delete().where(
                    AssetCheckExecutionsTable.c.run_id == run_id
                )
            )


def _vacuum(database: Path, log: Callable[[str], None]) -> None:
    """Return the free space of a database to the file system."""
    if not database.exists():
        return
    try:
        with closing(sqlite3.connect(database, _VACUUM_WAIT_SECONDS)) as connection:
            connection.execute("VACUUM")
            # Processes that keep the database open keep its log, which has a copy of every page by now.
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.OperationalError as error:
        log(
            f"{database} could not be shrunk ({error}). Later runs use its free space. To free it "
            "now, stop the processes that use this Dagster home and run this command again."
        )


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # SQLite deletes `-wal` and `-shm` files meanwhile
            total += path.stat().st_size if path.is_file() else 0
    return total


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m anomaly_assets.assets.purge", description=__doc__
    )
    parser.add_argument(
        "--keep-days",
        type=_days,
        default=90,
        help="keep runs younger than this; %(default)s by default",
    )
    before = datetime.now(timezone.utc) - timedelta(days=parser.parse_args(arguments).keep_days)
    try:
        with dg.DagsterInstance.get() as instance:
            purged = purge(instance, before, print)
            home = instance.root_directory
    except DagsterHomeNotSetError:
        print(
            "error: DAGSTER_HOME is not set. Set it to the Dagster home, or use make purge.",
            file=sys.stderr,
        )
        return 1
    except (DagsterInvariantViolationError, HomeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    kept = f"; {purged.needed} more stay, because the UI shows them" if purged.needed else ""
    print(
        f"{purged.deleted} runs from before {before:%Y-%m-%d %H:%M} UTC were deleted{kept}. {home} now has "
        f"{purged.bytes_after / 1e6:,.1f} MB; it had {purged.bytes_before / 1e6:,.1f} MB."
    )
    return 0


def _days(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or not 1 <= int(text[:9]) <= _MOST_DAYS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to {_MOST_DAYS}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
