"""Create the Dagster home in one process at a time, and keep it small.

The class below is the `instance_class` of `dagster.yaml`. Dagster reads the defaults of a home from
this class before it opens the databases there, and before it imports any code location.

- Without a lock, two commands that open an empty home at the same time both create its tables, and one of
  them fails with `table runs already exists`. Here they run one after the other, under a file lock.
- By default each run has its own database of events, and events about assets and checks are stored in a
  second one as well. A home that is created here has one database for the events of all runs, with small
  pages. A home that Dagster created keeps its layout and its history.
- A home that cannot be written to raises one error message instead of a stack trace of SQLite or Dagster.
- Events are stored without fields that Dagster can restore, and without fields that are never read.
"""

import glob
import os
import shutil
import sqlite3
import tempfile
from contextlib import closing, suppress
from typing import Any
from urllib.parse import unquote

import click
import dagster as dg
import yaml
from dagster._core.execution.plan.handle import StepHandle
from dagster._core.instance.ref import InstanceRef
from dagster._core.storage.event_log import ConsolidatedSqliteEventLogStorage
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster._core.storage.legacy_storage import CompositeStorage
from dagster._serdes import ConfigurableClassData
from filelock import FileLock

from anomaly_assets.assets import storage
from anomaly_assets.datasets.names import shown
from anomaly_assets.errors import AnomalyAssetsError
from anomaly_assets.full_disk import out_of_space

LOCK_NAME = ".lock"

# Creating the databases takes about 1 s. `Timeout` of filelock is an OSError.
_LOCK_SECONDS = 60.0
# Dagster's default is to store each event alone. A run plans an event for each asset and check.
_PLANNED_TOGETHER = 1000
# Most events have 1 kB: SQLite's default pages of 4 kB would be a quarter empty.
_PAGE_BYTES = 1024
_EVENTS = os.path.join("history", "event_log.db")
_EVENTS_OF_DAGSTER = os.path.join("history", "runs", "index.db")
_OTHERS = (os.path.join("history", "runs.db"), os.path.join("schedules", "schedules.db"))
_FOLDERS = ("history", "schedules", "storage")
_STORAGES = {"storage", "run_storage", "event_log_storage", "schedule_storage"}


class HomeError(AnomalyAssetsError, click.ClickException):
    """Unusable Dagster home; Dagster's commands print only the message of this class."""


class DagsterHome(dg.DagsterInstance):
    """Dagster instance in a home that stays small.

    Its storage is a default: a `dagster.yaml` may name another one, such as PostgreSQL.
    """

    @classmethod
    def config_schema(cls) -> dict[str, Any]:
        """Return an empty schema: there are no further settings."""
        return {}

    @classmethod
    def config_defaults(cls, base_dir: str) -> dict[str, ConfigurableClassData | None]:
        """Create the databases in a home that has none, and return its defaults.

        Args:
            base_dir: The home: DAGSTER_HOME, or the temporary folder of a command without one.

        Raises:
            HomeError: The home is read-only, and its `dagster.yaml` names no other storage; or SQLite
                would open other files.
        """
        _refuse_characters(base_dir)
        _refuse_read_only(base_dir)
        # If the file system has no locks, go on without one, as Dagster does.
        with (
            suppress(OSError, NotImplementedError),
            FileLock(os.path.join(base_dir, LOCK_NAME), _LOCK_SECONDS),
        ):
            if not _exists(base_dir, _EVENTS) and not _exists(base_dir, _EVENTS_OF_DAGSTER):
                _create(base_dir)
        defaults = dict(InstanceRef.config_defaults(base_dir))
        return {**defaults, **(_one_file(base_dir) if _exists(base_dir, _EVENTS) else {})}

    def _get_event_batch_size(self) -> int:
        """Return how many events are stored together at most; only planned ones come in batches."""
        return _PLANNED_TOGETHER

    def handle_new_event(self, event: dg.EventLogEntry, **options: Any) -> None:
        """Store an event without its second message, the tags of its log line, and the handle of its step.

        Dagster reads the message from the inner event, and derives the step handle from the node handle.
        Once a run has succeeded, its records of planned checks are deleted, because they have results.

        Raises:
            HomeError: The disk is full.
        """
        told = event.dagster_event
        if told is not None:
            in_handle = told.node_handle is not None and told.step_handle == StepHandle(
                told.node_handle
            )
            handle = None if in_handle else told.step_handle
            told = told._replace(logging_tags={}, step_handle=handle)
            event = event._replace(user_message="", dagster_event=told)
        try:
            super().handle_new_event(event, **options)
        except Exception as error:
            # Dagster prints the error, which otherwise repeats the whole event.
            if sentence := out_of_space(error, [self.root_directory]):
                raise HomeError(sentence) from error
            raise
        if told is not None and told.event_type == dg.DagsterEventType.RUN_SUCCESS:
            self._forget_details_of_checks(event.run_id)

    def _forget_details_of_checks(self, run_id: str) -> None:
        """Delete events of a successful run about its checks; their evaluations stay.

        The deleted events record that a check was planned, and the output of its step, which nothing reads.
        A failed run keeps them, because it can be retried from its failure.
        """
        storage = self.event_log_storage
        if isinstance(storage, ConsolidatedSqliteEventLogStorage):
            planned = dg.DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED.value
            output = dg.DagsterEventType.STEP_OUTPUT.value
            columns = SqlEventLogStorageTable.c
            kind = columns.dagster_event_type
            of_check = (kind == output) & columns.step_key.endswith("_checks", autoescape=True)
            with storage.run_connection(run_id) as connection:
                connection.execute(
                    SqlEventLogStorageTable.delete().where(
                        columns.run_id == run_id, (kind == planned) | of_check
                    )
                )


def _refuse_characters(base_dir: str) -> None:
    """Raise `HomeError` if SQLAlchemy would not take the path as it is: Dagster puts it into a URL."""
    is_taken_apart = "?" in base_dir or unquote(base_dir) != base_dir
    if is_taken_apart and not _STORAGES & _configuration(base_dir).keys():
        raise HomeError(
            f"{shown(base_dir)} has ? or %, as in a URL, in its path, and Dagster's databases cannot "
            "be opened there. Set DAGSTER_HOME to another folder (make DAGSTER_HOME=/a/folder …)."
        )


def _refuse_read_only(base_dir: str) -> None:
    """Raise `HomeError` if Dagster cannot write to its folders and databases in this home."""
    paths = [path for name in _FOLDERS if os.path.isdir(path := os.path.join(base_dir, name))]
    if len(paths) < len(_FOLDERS):
        paths.append(base_dir)  # parent of the folders that do not exist yet
    paths += [path for folder in _FOLDERS[:2] for path in glob.glob(_databases(base_dir, folder))]
    closed = next((path for path in paths if not os.access(path, os.W_OK)), None)
    if closed is not None and not _STORAGES & _configuration(base_dir).keys():
        raise HomeError(
            f"{shown(closed)} cannot be written to, and Dagster stores its runs there. Ask its owner for "
            "write access, or set DAGSTER_HOME to another folder (make DAGSTER_HOME=/a/folder …)."
        )


def _databases(base_dir: str, folder: str) -> str:
    return os.path.join(glob.escape(base_dir), folder, "*.db")


def _configuration(base_dir: str) -> dict[str, Any]:
    try:
        with open(os.path.join(base_dir, "dagster.yaml"), encoding="utf-8") as file:
            return dict(yaml.safe_load(file) or {})
    except OSError:
        return {}


def _exists(base_dir: str, name: str) -> bool:
    return os.path.exists(os.path.join(base_dir, name))


def _one_file(base_dir: str) -> dict[str, ConfigurableClassData]:
    """Return the storages of a home whose events are in one database."""
    history = yaml.dump({"base_dir": os.path.join(base_dir, "history", "")})
    schedules = yaml.dump({"base_dir": os.path.join(base_dir, "schedules")})
    storages = {
        "run_storage": (storage.__name__, storage.RunStorage.__name__, history),
        "event_log_storage": (storage.__name__, storage.EventStorage.__name__, history),
        "schedule_storage": (
            "dagster._core.storage.schedules",
            "SqliteScheduleStorage",
            schedules,
        ),
    }
    names = ("module_name", "class_name", "config_yaml")
    together = yaml.dump({key: dict(zip(names, of, strict=True)) for key, of in storages.items()})
    return {
        "storage": ConfigurableClassData(
            "dagster._core.storage.legacy_storage", "CompositeStorage", together
        ),
        **{key: ConfigurableClassData(*of) for key, of in storages.items()},
    }


def _create(base_dir: str) -> None:
    """Create the databases in a temporary folder and move them in; the one with the events comes last.

    Dagster takes any file of that name for a complete database, and a killed command may leave half of one.
    """
    for left in glob.glob(os.path.join(glob.escape(base_dir), ".creating-*")):
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=".creating-", dir=base_dir) as folder:
        created = _one_file(folder)["storage"].rehydrate(as_type=CompositeStorage)
        created.run_storage.dispose()
        created.event_log_storage.dispose()
        for name in (*_OTHERS, _EVENTS):
            new, path = os.path.join(folder, name), os.path.join(base_dir, name)
            if not os.path.exists(path):
                _make_pages_small(new)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                os.replace(new, path)


def _make_pages_small(path: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        # SQLite cannot change the page size in WAL mode: leave it, change the size, return to it.
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
        connection.execute("VACUUM")
        connection.execute("PRAGMA journal_mode = WAL")
