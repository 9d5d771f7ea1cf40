"""From the name of a database to a read-only connection, in this process and in its workers.

A published file is replaced while people read it. So the file is held open, and every process that
reads for the same `Samples` reads that very file, whatever its name stands for by then.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from anomaly_assets.warehouse.base import sql_literal
from anomaly_assets.warehouse.locations import is_file
from anomaly_assets.warehouse.publishing.snapshots import find_snapshot

_CATALOG = "published"

_NEWEST_SNAPSHOT = "SELECT snapshot_id FROM snapshots ORDER BY published_at DESC LIMIT 1"

_MEMORY_BYTES = 512 * 1024 * 1024
"""Of what was read, DuckDB keeps so much for the next time; by default it would keep up to 80 % of the
machine's memory, in each worker."""

_inherited: list[duckdb.DuckDBPyConnection] = []
"""Connections of the parent of a forked process: using them, or ending them, would hang."""


class DatabaseError(RuntimeError):
    """What was opened cannot be read, or is no published database; the message says what to do."""


def connect(location: str, *, snapshot: str | None = None) -> duckdb.DuckDBPyConnection:
    """Open a published database read-only, with its tables in the current catalogue.

    Args:
        location: Path of a DuckDB file, `ducklake:postgres:…` or `md:NAME`.
        snapshot: Id of the snapshot to open instead of the newest, or the beginning of one.

    Raises:
        FileNotFoundError: There is no such file.
        LookupError: There is no such snapshot; the message names those that exist.
        DatabaseError: It is no published database, or cannot be read.
    """
    if not is_file(location):
        from anomaly_assets.reader.remote import connect_remote

        return connect_remote(location, snapshot=snapshot)
    return _connect_file(locate(location, snapshot))


def locate(location: str, snapshot: str | None = None) -> Path:
    """The file that holds a snapshot; see `connect` for arguments and errors."""
    if not is_file(location):
        raise DatabaseError("Only what is published as a file has a path.")
    path = Path(location)
    if snapshot is not None:
        path = find_snapshot(path, snapshot)
    if not path.exists():
        raise FileNotFoundError(
            f"{path} does not exist: run `make materialize`, or name the published file "
            "(in the call, or in ANOMALY_DATABASE)."
        )
    if path.is_dir():
        raise DatabaseError(f"{path} is a folder: name the published file in it.")
    return path


def _connect_file(path: Path, name: Path | None = None) -> duckdb.DuckDBPyConnection:
    # A DuckDB of our own, so that settings and connections of the caller's do not meet ours.
    connection = duckdb.connect(":memory:")
    try:
        with explained(str(name or path)):
            # Blobs are copied by the thread that asks for them; more would only take its memory.
            connection.execute("SET threads = 1")
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute(f"ATTACH {sql_literal(str(path))} AS {_CATALOG} (READ_ONLY)")
            connection.execute(f"USE {_CATALOG}.main")
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def explained(location: str) -> Iterator[None]:
    """Turn what DuckDB says about a file into an error that says what to do.

    Raises:
        DatabaseError: DuckDB could not read it.
    """
    try:
        yield
    except duckdb.CatalogException as error:
        raise DatabaseError(
            f"{location} is no published database of this project: {_first_line(error)}. "
            "`make materialize` makes one."
        ) from error
    except (duckdb.IOException, duckdb.SerializationException, duckdb.InternalException) as error:
        raise DatabaseError(
            f"{location} cannot be read: {_first_line(error)}. If the file is damaged, delete it and run "
            "`make materialize`, which publishes it again."
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(".")


class Database:
    """One snapshot of a published database, open in every process that reads from it.

    It can be pickled. A process that got it by a fork or a pickle opens the same snapshot for itself
    when it first reads, even after another one was published under the same name.

    Attributes:
        location: What was opened, as it was named.
        snapshot_id: Id of the snapshot; None where nothing was ever published.
    """

    def __init__(self, location: str, snapshot: str | None = None) -> None:
        path = locate(location, snapshot)
        self._file = _Held(path)
        self._open_with(_connect_file(self._file.address(), path), str(path))

    def _open_with(self, connection: duckdb.DuckDBPyConnection, location: str) -> None:
        self.location = location
        self._memory_bytes = _MEMORY_BYTES
        self._process = os.getpid()
        self._connection: duckdb.DuckDBPyConnection | None = connection
        try:
            with explained(self.location):
                self.snapshot_id = _snapshot_id(self._connection)
            _limit_memory(self._connection, self._memory_bytes)
            # A cursor does not inherit where its connection stands.
            self._use = _use(self._connection)
        except BaseException:
            self.close()
            raise

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A connection of this process, for one thread; close it after use.

        Raises:
            DatabaseError: The samples were closed, or their snapshot is there no more.
        """
        if self._process != os.getpid():
            if self._connection is not None:
                _inherited.append(self._connection)
            self._connection, self._process = self._again(), os.getpid()
            _limit_memory(self._connection, self._memory_bytes)
        if self._connection is None:
            raise DatabaseError(f"{self.location} was closed: open the samples again.")
        cursor = self._connection.cursor()
        cursor.execute(self._use)
        return cursor

    def allow_memory(self, further_bytes: int) -> None:
        """Let DuckDB take more memory, in each process: for who reads wide rows."""
        self._memory_bytes += further_bytes
        if self._connection is not None:
            _limit_memory(self._connection, self._memory_bytes)

    def close(self) -> None:
        """Close it in this process."""
        if self._process == os.getpid() and self._connection is not None:
            self._connection.close()
            self._connection = None
            self._file.close()

    def _again(self) -> duckdb.DuckDBPyConnection:
        for address in (self._file.address(), Path(self.location)):
            try:
                connection = _connect_file(address, Path(self.location))
                with explained(self.location):
                    found = _snapshot_id(connection)
            except DatabaseError:
                continue
            if found == self.snapshot_id:
                return connection
            connection.close()
        try:
            return connect(self.location, snapshot=self.snapshot_id)
        except (ImportError, LookupError, OSError) as error:
            raise DatabaseError(
                f"{self.location} was replaced since these samples were opened (snapshot "
                f"{self.snapshot_id}), and this process cannot get at the old file. Open the samples "
                "again, keep older snapshots (ANOMALY_KEEP_SNAPSHOTS), or read from `Samples.cache`."
            ) from error

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_connection": None, "_process": None}


def _snapshot_id(connection: duckdb.DuckDBPyConnection) -> str | None:
    found = connection.execute(_NEWEST_SNAPSHOT).fetchone()
    return str(found[0]) if found else None


def _limit_memory(connection: duckdb.DuckDBPyConnection, memory_bytes: int) -> None:
    # Not for every cursor: DuckDB empties what it holds for reuse, which made reading 3 times slower.
    connection.execute(f"SET memory_limit = '{memory_bytes} bytes'")


def _use(connection: duckdb.DuckDBPyConnection) -> str:
    query = "SELECT current_catalog(), current_schema()"
    catalog, schema = connection.execute(query).fetchall()[0]
    return f'USE "{catalog}"."{schema}"'


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


class _Held:
    """A file that stays within reach as long as this object lives, though its name be given to another."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._process = os.getpid()
        self._descriptor = os.open(path, os.O_RDONLY)
        self._identity = _identity(os.fstat(self._descriptor))
        self._closing = weakref.finalize(self, os.close, self._descriptor)

    def address(self) -> Path:
        """A path to the file: where the system has none by descriptor (Linux has), the name itself."""
        held = Path(f"/proc/{self._process}/fd/{self._descriptor}")
        try:
            # After `close`, the number may be that of a pipe, from which reading would wait for ever.
            same = _identity(held.stat()) == self._identity
        except OSError:
            same = False
        return held if same else self._path

    def close(self) -> None:
        """Let go of it, in the process that holds it."""
        if self._process == os.getpid():
            self._closing()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_closing"}
