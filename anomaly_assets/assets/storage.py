"""Store the runs and events of a Dagster home on SQLite connections that stay open.

Dagster's own storages open a connection for every statement and close it again. Closing the last one makes
SQLite copy its write-ahead log into the database, and SQLAlchemy compiles each statement once for each
connection. That was a third of the processor time of a refresh that changes nothing. These storages read
and write the same files, so a home can be used with either.
"""

import logging
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import dagster as dg
import sqlalchemy as db
from dagster._core.storage.event_log import ConsolidatedSqliteEventLogStorage
from dagster._core.storage.runs import SqliteRunStorage
from dagster._core.storage.sql import create_engine
from dagster._core.storage.sqlite import create_db_conn_string
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import QueuePool
from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver
from watchdog.observers.polling import PollingObserver

_LOG = logging.getLogger(__name__)


class _Database:
    """SQLite database whose connections stay open until it is closed."""

    def __init__(self, address: str) -> None:
        self._engine = create_engine(address, poolclass=QueuePool, max_overflow=-1)
        self._path = str(self._engine.url.database)
        self._of_thread = threading.local()
        db.event.listen(self._engine, "connect", self._opened)
        db.event.listen(self._engine, "checkout", self._refuse_replaced)

    @contextmanager
    def transaction(self) -> Iterator[db.Connection]:
        """Run a transaction, or continue that of `together`."""
        shared = getattr(self._of_thread, "connection", None)
        if shared is not None:
            yield shared
            return
        with self._engine.begin() as connection:
            yield connection

    @contextmanager
    def together(self) -> Iterator[None]:
        """Put all transactions of this thread into one: each commit writes and syncs a file."""
        with self.transaction() as connection:
            self._of_thread.connection = connection
            try:
                yield
            finally:
                self._of_thread.connection = None

    def has_table(self, name: str) -> bool:
        with self.transaction() as connection:
            return db.inspect(connection).has_table(name)

    def close(self) -> None:
        """Close the connections; the database can be used again, which opens new ones."""
        self._engine.dispose()

    def _opened(self, connection: Any, record: Any) -> None:
        # In WAL mode a crash of the machine loses the last transactions at most, and damages nothing.
        connection.execute("PRAGMA synchronous = NORMAL")
        record.info["file"] = self._file()

    def _refuse_replaced(self, _connection: Any, record: Any, _proxy: Any) -> None:
        """Open a new connection if the file was deleted or replaced, for instance with its home."""
        if record.info["file"] != self._file():
            raise DisconnectionError

    def _file(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self._path)
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino


class _Watcher(FileSystemEventHandler):
    """Handler of changes to a database and its write-ahead log."""

    def __init__(self, storage: ConsolidatedSqliteEventLogStorage) -> None:
        path = storage.get_db_path()
        self._storage = storage
        self._names = {os.path.basename(path), os.path.basename(path) + "-wal"}

    def on_created(self, event: FileSystemEvent) -> None:
        """Pass the first events of a new write-ahead log on."""
        self.on_modified(event)

    def on_modified(self, event: FileSystemEvent) -> None:
        """Pass new events on; an error must not end the thread, which serves all pages."""
        if os.path.basename(os.fsdecode(event.src_path)) in self._names:
            try:
                self._storage.on_modified()
            except Exception:
                _LOG.exception("New events could not be read; the next change tries again.")


def _observed(handler: FileSystemEventHandler, folder: str) -> BaseObserver:
    """Return a running observer of the files in a folder.

    Outside Linux, the system reports a write only when the file is closed. So files are looked at each
    second there, and also if inotify has no room for another program.
    """
    kinds = (Observer, PollingObserver) if sys.platform == "linux" else (PollingObserver,)
    for kind in kinds:
        observer: BaseObserver = kind(timeout=1)
        observer.schedule(handler, folder)
        try:
            observer.start()
        except OSError:
            continue
        return observer
    raise OSError(f"{folder} cannot be watched.")


class EventStorage(ConsolidatedSqliteEventLogStorage):
    """Event log of a home, with one transaction for an event and all that Dagster derives from it."""

    _obs: Any

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._watching = threading.RLock()

    @cached_property
    def _database(self) -> _Database:
        return _Database(self._conn_string)

    @contextmanager
    def _connect(self) -> Iterator[db.Connection]:
        with self._database.transaction() as connection:
            yield connection

    def has_table(self, table_name: str) -> bool:
        """Return whether the database has a table; those that exist are looked up once."""
        return table_name in self._tables or self._database.has_table(table_name)

    @cached_property
    def _tables(self) -> set[str]:
        with self._database.transaction() as connection:
            return set(db.inspect(connection).get_table_names())

    @cached_property
    def _has_index_columns(self) -> bool:
        return super().has_asset_key_index_cols()

    def has_asset_key_index_cols(self) -> bool:
        """Return whether the table of assets has its newer columns; they are looked up once."""
        return self._has_index_columns

    def store_event(self, event: dg.EventLogEntry) -> None:
        """Store an event."""
        with self._database.together():
            super().store_event(event)

    def store_event_batch(self, events: Sequence[dg.EventLogEntry]) -> None:
        """Store events in one transaction."""
        with self._database.together():
            for event in events:
                super().store_event(event)

    def watch(self, run_id: str, cursor: str | None, callback: Any) -> None:
        """Call a function with the events of a run as they are stored.

        Dagster watches the database alone, which changes when a connection is closed. Until then its
        write-ahead log has the events.
        """
        with self._watching:
            if not self._obs:
                self._obs = _observed(_Watcher(self), self._base_dir)
            super().watch(run_id, cursor, callback)

    def end_watch(self, run_id: str, handler: Any) -> None:
        """Stop calling a function."""
        with self._watching:
            super().end_watch(run_id, handler)

    def on_modified(self) -> None:
        """Call the functions with new events; while that lasts, no page comes or goes."""
        with self._watching:
            super().on_modified()

    def dispose(self) -> None:
        """Stop watching the database, and close it."""
        super().dispose()
        self._database.close()


class RunStorage(SqliteRunStorage):
    """Runs of a home."""

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> "RunStorage":
        """Open the database; Dagster calls this with the configuration of the home."""
        path = Path(config_value["base_dir"], "runs.db")
        if path.exists() and path.stat().st_size:  # SQLite creates an empty file when it opens none
            # `from_local` would read Dagster's 60 migrations to find out that the database is complete.
            return cls(create_db_conn_string(config_value["base_dir"], "runs"), inst_data)
        return cls.from_local(inst_data=inst_data, **config_value)

    @cached_property
    def _database(self) -> _Database:
        return _Database(self._conn_string)

    @contextmanager
    def connect(self) -> Iterator[db.Connection]:
        """Run a transaction."""
        with self._database.transaction() as connection:
            yield connection

    def dispose(self) -> None:
        """Close the database."""
        super().dispose()
        self._database.close()
