"""Open read-only connections to one snapshot of a database, in this process and in its workers.

A published file is replaced while it is being read. So a descriptor pins the file, and every process that
reads for the same `Samples` reads this file, also after another one has its name.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import duckdb

from anomaly_assets.tables.identity import holds_publication
from anomaly_assets.warehouse.file.pinned_file import HeldFile, OpenFile
from anomaly_assets.warehouse.file.snapshots import open_snapshot
from anomaly_assets.warehouse.open_published import DatabaseError, Opened, explained, open_file

__all__ = ["Database", "DatabaseError", "explained"]

_NEWEST_SNAPSHOT = "SELECT snapshot_id FROM snapshots ORDER BY published_at DESC LIMIT 1"

# Hash one concatenated text: DuckDB combines hashes of several values by XOR, which loses their order.
_LAYOUT = "SELECT count(*), bit_xor(hash(image_id || ' ' || rowid)) FROM image_tensors"
_RECIPES_LAYOUT = """
SELECT count(*), bit_xor(hash(concat_ws(' ', image_id, tile, recipe, rowid))) FROM recipe_tensors
"""

_MEMORY_BYTES = 512 * 1024 * 1024
"""DuckDB's memory limit in each process, including its buffer cache; the default is 80 % of the
machine's memory."""

_inherited: list[Opened] = []
"""Connections inherited from the parent by a fork: using or closing them would hang."""


class Database:
    """Snapshot of a published database, opened by each process that reads from it.

    It can be pickled, and used by several threads. After a fork or unpickling, a process opens the same
    snapshot at its first read, even if another one was published under the same name.

    Attributes:
        location: Path of the opened file, as it was passed.
        snapshot_id: Id of the snapshot; None for a warehouse, whose rows may differ from those published.
    """

    def __init__(self, location: str, snapshot: str | None = None) -> None:
        self._published = Path(os.path.abspath(location))
        if snapshot is None:
            self._open_with(open_file(Path(location)), location)
        else:
            found, opened = open_snapshot(location, snapshot)
            self._open_with(opened, str(found.path), found.snapshot_id)
        if self._held is None or not self._held.has_address():
            self._note_layout()  # after a fork there is nothing else to identify the snapshot

    def _open_with(self, opened: Opened, location: str, snapshot_id: str | None = None) -> None:
        self.location = location
        self._memory_bytes = _MEMORY_BYTES
        # One tuple, so that a thread that closes the database changes both values at once.
        self._state: tuple[int | None, Opened | None] = os.getpid(), opened
        self._held = opened.file
        self._layout: tuple[Any, ...] | None = None
        try:
            with explained(self.location):
                self.snapshot_id = snapshot_id or _published_id(opened.connection)
            _limit_memory(opened.connection, self._memory_bytes)
        except BaseException:
            self.close()
            raise

    def opened(self) -> Opened:
        """Return the open database of this process; open it if the process has not read yet.

        Raises:
            DatabaseError: The samples were closed, or their snapshot no longer exists.
        """
        process, opened = self._state
        if process != os.getpid():
            if opened is not None:
                _inherited.append(opened)
            opened = self._again()
            _limit_memory(opened.connection, self._memory_bytes)
            self._state, self._held = (os.getpid(), opened), opened.file
        if opened is None:
            raise DatabaseError(f"{self.location} was closed. Open the samples again.")
        return opened

    def again(self) -> Database:
        """Open the same snapshot once more, even if another one was published meanwhile.

        Raises:
            DatabaseError: See `opened`.
        """
        another = copy.copy(self)
        another.opened()
        return another

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """Return a connection for one thread of this process; close it after use.

        Raises:
            DatabaseError: See `opened`.
        """
        return self.opened().cursor()

    @contextmanager
    def unchanged(self) -> Iterator[Opened]:
        """Yield the open database of this process; raise if its file was written to, also during the block.

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

    @contextmanager
    def pinned(self) -> Iterator[OpenFile | None]:
        """Yield the file, for reading without DuckDB; raise if it was written to, also during the block.

        A worker that can reach the file of its parent opens no DuckDB. The file is None if DuckDB must
        read.

        Raises:
            DatabaseError: The file was written to, or see `opened`.
        """
        file = self._pinned_file()
        self._refuse_written(file)
        try:
            yield file
        finally:
            self._refuse_written(file)

    def _pinned_file(self) -> OpenFile | None:
        process, _ = self._state
        if process != os.getpid() and self._held is not None:
            if self._held.opened is None:  # unpickled
                with suppress(OSError, ValueError):
                    held = HeldFile(self._published, self._held.address())
                    if held.state == self._held.state and held.has_address():
                        self._held = held
            if self._held.opened is not None:
                return self._held.opened
        found = self.opened().file
        return found.opened if found is not None else None

    def _refuse_written(self, file: OpenFile | None) -> None:
        """Raise if a file was written to: DuckDB caches metadata, so it would return wrong rows."""
        if file is not None and not file.is_as_opened():
            raise DatabaseError(
                f"{self.location} was written to since these samples were opened. Open them "
                "again. Replace a published file in use with `mv`, not with `cp`."
            )

    def allow_memory(self, further_bytes: int) -> None:
        """Raise DuckDB's memory limit in each process, to read wide rows."""
        self._memory_bytes += further_bytes
        process, opened = self._state
        if process == os.getpid() and opened is not None:
            _limit_memory(opened.connection, self._memory_bytes)

    def close(self) -> None:
        """Close the database in this process, once the last thread that reads from it has finished."""
        process, opened = self._state
        if process != os.getpid():
            if opened is not None:
                _inherited.append(opened)
            if self._held is not None:
                self._held.close()
        elif opened is not None and opened.file is not None:
            opened.file.close()
        # Not connection.close(): queries of other threads would fail with an error of DuckDB. The
        # connection closes when the last reference to it is gone.
        self._state = os.getpid(), None

    def _again(self) -> Opened:
        for opened in self._found_again():
            with suppress(duckdb.Error):
                if self._is_same(opened):
                    return opened
            opened.close()
        raise self._replaced()

    def _found_again(self) -> Iterator[Opened]:
        """Yield databases that may contain the snapshot: the pinned file, its successor, older ones."""
        if self._held is not None:
            with suppress(DatabaseError, OSError):
                yield open_file(self._published, self._held)
        with suppress(DatabaseError, LookupError, OSError):
            if self.snapshot_id is None:
                yield open_file(self._published)
            else:
                yield open_snapshot(self._published, self.snapshot_id)[1]

    def _is_same(self, opened: Opened) -> bool:
        """Return True if the row ids found before are valid in this database."""
        held, file = self._held, opened.file
        if held and file and file.has_address() and held.state == file.state:
            return True
        # A file with the same content can have other row ids, for instance after compaction.
        return (
            _published_id(opened.connection) == self.snapshot_id
            and _layout(opened.connection) == self._layout
        )

    def _replaced(self) -> DatabaseError:
        return DatabaseError(
            f"{self.location} was replaced since these samples were opened (snapshot "
            f"{self.snapshot_id}), and this process cannot open the old file. Open the samples "
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
    """Return the id of the newest snapshot in an open database; None if nothing was ever published."""
    found = connection.execute(_NEWEST_SNAPSHOT).fetchone()
    return str(found[0]) if found else None


def _published_id(connection: duckdb.DuckDBPyConnection) -> str | None:
    return newest_id(connection) if holds_publication(connection) else None


def _layout(connection: duckdb.DuckDBPyConnection) -> tuple[Any, ...] | None:
    """Return a digest of the row ids of all tensors."""
    found = connection.execute(_LAYOUT).fetchone()
    try:
        further = connection.execute(_RECIPES_LAYOUT).fetchone()
    except duckdb.CatalogException:  # published by a release without recipes
        return found
    return found, further


def _limit_memory(connection: duckdb.DuckDBPyConnection, memory_bytes: int) -> None:
    # Not for every cursor: this statement empties DuckDB's buffer cache, and reading was 3 times slower.
    connection.execute(f"SET memory_limit = '{memory_bytes} bytes'")
