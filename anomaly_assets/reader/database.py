"""From the name of a database to a read-only connection, in this process and in its workers.

A published file is replaced while people read it. So the file is held open, and every process that
reads for the same `Samples` reads that very file, whatever its name stands for by then.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import duckdb

from anomaly_assets.warehouse.file.pinned_file import OpenFile
from anomaly_assets.warehouse.file.snapshots import open_snapshot
from anomaly_assets.warehouse.open_published import DatabaseError, Opened, explained, open_file

__all__ = ["Database", "DatabaseError", "explained"]

_NEWEST_SNAPSHOT = "SELECT snapshot_id FROM snapshots ORDER BY published_at DESC LIMIT 1"

# Of one text, because DuckDB combines hashes of several values by exclusive or, in which order is lost.
_LAYOUT = "SELECT count(*), bit_xor(hash(image_id || ' ' || rowid)) FROM image_tensors"

_MEMORY_BYTES = 512 * 1024 * 1024
"""Of what was read, DuckDB keeps so much for the next time; by default it would keep up to 80 % of the
machine's memory, in each worker."""

_inherited: list[Opened] = []
"""Connections of the parent of a forked process: using them, or ending them, would hang."""


class Database:
    """One snapshot of a published database, open in every process that reads from it.

    It can be pickled, and used by several threads. A process that got it by a fork or a pickle opens the
    same snapshot for itself when it first reads, even after another one was published under the same name.

    Attributes:
        location: What was opened, as it was named.
        snapshot_id: Id of the snapshot; None where nothing was ever published.
    """

    def __init__(self, location: str, snapshot: str | None = None) -> None:
        self._published = Path(os.path.abspath(location))
        if snapshot is None:
            self._open_with(open_file(Path(location)), location)
        else:
            found, opened = open_snapshot(location, snapshot)
            self._open_with(opened, str(found.path), found.snapshot_id)
        if self._held is None or not self._held.has_address():
            self._note_layout()  # a fork has nothing else to compare

    def _open_with(self, opened: Opened, location: str, snapshot_id: str | None = None) -> None:
        self.location = location
        self._memory_bytes = _MEMORY_BYTES
        # One attribute, because another thread may close it meanwhile.
        self._state: tuple[int | None, Opened | None] = os.getpid(), opened
        self._held = opened.file
        self._layout: tuple[Any, ...] | None = None
        try:
            with explained(self.location):
                self.snapshot_id = snapshot_id or newest_id(opened.connection)
            _limit_memory(opened.connection, self._memory_bytes)
        except BaseException:
            self.close()
            raise

    def opened(self) -> Opened:
        """Return what is open in this process; one that has not yet read opens it.

        Raises:
            DatabaseError: The samples were closed, or their snapshot is there no more.
        """
        process, opened = self._state
        if process != os.getpid():
            if opened is not None:
                _inherited.append(opened)
            opened = self._again()
            _limit_memory(opened.connection, self._memory_bytes)
            self._state, self._held = (os.getpid(), opened), opened.file
        if opened is None:
            raise DatabaseError(f"{self.location} was closed: open the samples again.")
        return opened

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """Return a connection of this process, for one thread; close it after use.

        Raises:
            DatabaseError: See `opened`.
        """
        return self.opened().cursor()

    @contextmanager
    def unchanged(self) -> Iterator[Opened]:
        """Give what is open in this process, and refuse what the block has read if it was changed by then.

        Raises:
            DatabaseError: The file was written to, or see `opened`.
        """
        opened = self.opened()
        file = opened.file.opened if opened.file is not None else None
        self._refuse_written(file)
        try:
            yield opened
        finally:
            self._refuse_written(file)

    def _refuse_written(self, file: OpenFile | None) -> None:
        """Raise if a file was written to. DuckDB goes by what it read of the file when it opened it."""
        if file is not None and not file.is_as_opened():
            raise DatabaseError(
                f"{self.location} was written to since these samples were opened: open them "
                "again. A published file that is in use is replaced by `mv`, not by `cp`."
            )

    def allow_memory(self, further_bytes: int) -> None:
        """Let DuckDB take more memory, in each process: for who reads wide rows."""
        self._memory_bytes += further_bytes
        process, opened = self._state
        if process == os.getpid() and opened is not None:
            _limit_memory(opened.connection, self._memory_bytes)

    def close(self) -> None:
        """Close it in this process, as soon as the last thread that reads from it is done."""
        process, opened = self._state
        if process == os.getpid() and opened is not None:
            # connection.close() would end the queries of other threads with an error of DuckDB's. It closes
            # by itself when nothing refers to it any more.
            self._state = process, None
            if opened.file is not None:
                opened.file.close()

    def _again(self) -> Opened:
        for opened in self._found_again():
            with suppress(duckdb.Error):
                if self._is_same(opened):
                    return opened
            opened.close()
        raise self._replaced()

    def _found_again(self) -> Iterator[Opened]:
        """Open what may hold the snapshot: the file that was opened, what has its name now, older ones."""
        if self._held is not None:
            with suppress(DatabaseError, OSError):
                yield open_file(self._published, self._held)
        with suppress(DatabaseError, LookupError, OSError):
            if self.snapshot_id is None:
                yield open_file(self._published)
            else:
                yield open_snapshot(self._published, self.snapshot_id)[1]

    def _is_same(self, opened: Opened) -> bool:
        """Return whether rows that were found before are the same in what is open now."""
        held, file = self._held, opened.file
        if held and file and file.has_address() and held.state == file.state:
            return True
        # A file with the same content can have it in other rows, for instance after it was compacted.
        return (
            newest_id(opened.connection) == self.snapshot_id
            and _layout(opened.connection) == self._layout
        )

    def _replaced(self) -> DatabaseError:
        return DatabaseError(
            f"{self.location} was replaced since these samples were opened (snapshot "
            f"{self.snapshot_id}), and this process cannot get at the old file. Open the samples "
            "again, keep older snapshots (ANOMALY_KEEP_SNAPSHOTS), or read from `Samples.cache`."
        )

    def _note_layout(self) -> None:
        process, opened = self._state
        if self._layout is None and process == os.getpid() and opened is not None:
            with explained(self.location), opened.cursor() as cursor:
                self._layout = _layout(cursor)

    def __getstate__(self) -> dict[str, Any]:
        self._note_layout()
        return {**self.__dict__, "_state": (None, None)}


def newest_id(connection: duckdb.DuckDBPyConnection) -> str | None:
    """Return the id of the snapshot that an open database holds; None where nothing was ever published."""
    found = connection.execute(_NEWEST_SNAPSHOT).fetchone()
    return str(found[0]) if found else None


def _layout(connection: duckdb.DuckDBPyConnection) -> tuple[Any, ...] | None:
    """Return a digest of which image is in which row."""
    return connection.execute(_LAYOUT).fetchone()


def _limit_memory(connection: duckdb.DuckDBPyConnection, memory_bytes: int) -> None:
    # Not for every cursor: DuckDB empties what it holds for reuse, which made reading 3 times slower.
    connection.execute(f"SET memory_limit = '{memory_bytes} bytes'")
