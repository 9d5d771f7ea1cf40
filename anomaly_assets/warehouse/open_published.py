"""Open a published file read-only, and pin it with a descriptor of our own.

A published file can be replaced while it is opened. DuckDB resolves every path, even one below /proc,
to a name before it opens the file, and by then the name may belong to another file. So device and inode
of the file that DuckDB has open are compared with those of our descriptor. If they differ, both are
opened again.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from anomaly_assets.errors import AnomalyAssetsError
from anomaly_assets.locations import is_file
from anomaly_assets.tables.sql_text import sql_literal
from anomaly_assets.warehouse.file.pinned_file import HeldFile, identity
from anomaly_assets.warehouse.lake.explained import meaning

_CATALOG = "published"

_ATTEMPTS = 10
"""Maximum number of attempts when a file is replaced between two system calls of DuckDB."""

_MAGIC, _MAGIC_OFFSET = b"DUCK", 8
"""Magic bytes of every DuckDB file, and their offset."""


class DatabaseError(AnomalyAssetsError, RuntimeError):
    """The database cannot be read, or is not a published database; the message explains what to do."""


@dataclass(frozen=True)
class Opened:
    """An open database.

    Attributes:
        connection: Connection with the database attached, read-only and current.
        file: The file that DuckDB has open; None for a lake or MotherDuck, and if the file was replaced
            during each attempt to open it.
        catalog: Name of the database in DuckDB.
    """

    connection: duckdb.DuckDBPyConnection
    file: HeldFile | None
    catalog: str = _CATALOG

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """Return a connection for one thread; close it after use."""
        cursor = self.connection.cursor()
        # A cursor does not inherit the current catalogue of its connection.
        cursor.execute(f'USE "{self.catalog}".main')
        return cursor

    def close(self) -> None:
        """Close DuckDB and the descriptor."""
        self.connection.close()
        if self.file is not None:
            self.file.close()


def open_file(path: Path, held: HeldFile | None = None) -> Opened:
    """Open a published file read-only, in a separate DuckDB instance.

    A separate DuckDB instance does not share settings and connections with that of the caller.

    Args:
        path: Name of the file.
        held: A file held open here or in another process; it is opened through its descriptor instead of
            its name.

    Raises:
        FileNotFoundError: The file does not exist.
        DatabaseError: The file cannot be read.
    """
    connection = duckdb.connect(":memory:")
    try:
        with explained(str(path)):
            # The calling thread copies blobs itself; more threads would only use memory.
            connection.execute("SET threads = 1")
            # Cursors inherit global settings only.
            connection.execute("SET GLOBAL TimeZone = 'UTC'")
            # A missing table is an error; DuckDB must not read a Python variable of the same name
            # instead.
            connection.execute("SET GLOBAL python_enable_replacements = false")
            file = _attach(connection, path, held)
            connection.execute(f"USE {_CATALOG}.main")
    except BaseException:
        connection.close()
        raise
    return Opened(connection, file)


def _attach(
    connection: duckdb.DuckDBPyConnection, path: Path, held: HeldFile | None
) -> HeldFile | None:
    """Attach a file and return it, if DuckDB verifiably has that file open; else return None."""
    for remaining in reversed(range(_ATTEMPTS)):
        # Lock: otherwise files that other threads open meanwhile could be mistaken for DuckDB's.
        with _one_at_a_time:
            file = hold(path, held)
            before = _regular_files()
            address = sql_literal(str(file.address()))
            try:
                connection.execute(f"ATTACH {address} AS {_CATALOG} (READ_ONLY)")
            except duckdb.IOException:
                if not remaining or _leads_to(path, file):
                    raise
                continue  # the file was removed or renamed between `hold` and ATTACH
            if _has_opened(file, before, path):
                return file
        file.close()
        if remaining:
            connection.execute(f"DETACH {_CATALOG}")
    # DuckDB has one file open and reads consistently from it; we only could not verify which file
    # it is.
    return None


def hold(path: Path, held: HeldFile | None = None) -> HeldFile:
    """Open a file by name, or through the descriptor of another object or process that holds it.

    Raises:
        FileNotFoundError: The file does not exist.
        DatabaseError: The file cannot be opened.
    """
    try:
        return HeldFile(path, held.address() if held else None)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        # ValueError is raised for a name with a null byte.
        raise FileNotFoundError(
            f"{path} does not exist: run `make materialize`, or name the published file "
            "(in the call, or in ANOMALY_DATABASE)."
        ) from None
    except PermissionError as error:
        if os.path.isdir(path):  # Windows refuses to open folders
            raise _folder_error(path) from None
        raise DatabaseError(
            f"{path} cannot be read: {error.strerror}. Ask its owner for permission to read it and to "
            "enter its folder."
        ) from error
    except OSError as error:
        if os.path.isdir(path):
            raise _folder_error(path) from None
        raise DatabaseError(
            f"{path} cannot be opened: {error.strerror}. Name the published file (in the call, or in "
            "ANOMALY_DATABASE)."
        ) from error


def _folder_error(path: Path) -> DatabaseError:
    return DatabaseError(f"{path} is a folder: name the published file in it.")


def _has_opened(file: HeldFile, before: dict[int, tuple[int, int]], path: Path) -> bool:
    """Return whether DuckDB has just opened exactly this file.

    Args:
        file: The file, as held by our descriptor.
        before: The regular files that were open before.
        path: Name of the file.
    """
    if not before:  # a system without /proc, where DuckDB opened the name
        return _leads_to(path, file)
    opened = {
        found
        for descriptor, found in _regular_files().items()
        if before.get(descriptor) != found and _is_database(descriptor)
    }
    return opened == {file.identity}


def _leads_to(path: Path, file: HeldFile) -> bool:
    try:
        return identity(path.stat()) == file.identity
    except OSError:
        return False


def _regular_files() -> dict[int, tuple[int, int]]:
    """Return device and inode of the regular files that this process has open, by descriptor."""
    found = {}
    try:
        descriptors = os.listdir("/proc/self/fd")
    except OSError:
        return {}
    for descriptor in map(int, descriptors):
        try:
            status = os.fstat(descriptor)
        except OSError:  # closed meanwhile
            continue
        if stat.S_ISREG(status.st_mode):
            found[descriptor] = identity(status)
    return found


def _is_database(descriptor: int) -> bool:
    try:
        return os.pread(descriptor, len(_MAGIC), _MAGIC_OFFSET) == _MAGIC
    except OSError:  # closed meanwhile, or open for writing only
        return False


@contextmanager
def explained(location: str) -> Iterator[None]:
    """Convert DuckDB's errors into a DatabaseError that explains what to do.

    Raises:
        DatabaseError: DuckDB could not read the database.
    """
    try:
        yield
    except duckdb.InterruptException:
        raise
    except duckdb.Error as error:
        raise DatabaseError(_meaning(location, error)) from error


def _meaning(location: str, error: duckdb.Error) -> str:
    if not is_file(location) and (sentence := meaning(location, error)):
        return sentence
    said = str(error).partition("\n")[0].rstrip(".!")
    for fragment, advice in _ADVICE:
        if fragment in said:
            return f"{location} cannot be read: {said}. {advice}"
    if isinstance(error, (duckdb.CatalogException, duckdb.BinderException)):
        return (
            f"{location} is not a published database of this project: {said}. "
            "`make materialize` makes one."
        )
    return f"{location} cannot be read: {said}. {_DAMAGED if is_file(location) else _GONE}"


_DAMAGED = "If the file is damaged, delete it and run `make materialize`, which publishes it again."

_GONE = "Open it again; if that fails too, check that its server runs and its files still exist."

_ADVICE = (
    (
        "Could not set lock",
        "Close it in the program that has it open for writing, then open it again.",
    ),
    (
        "Unique file handle conflict",
        "This process has it open for writing. Close that connection first.",
    ),
    (
        "with version number",
        "Install a DuckDB version that reads it: pip install 'duckdb>=1.5.5,<2'.",
    ),
    ("'pytz' failed to import", "Install the missing package: pip install pytz."),
    ("Out of Memory", "Select fewer samples, or end other programs that take memory."),
    ("Permission denied", "Ask its owner for permission to read it."),
)
"""Advice by a part of DuckDB's message; other messages may mean damage."""


def _let_forks_open() -> None:
    """Replace the lock in a forked process, because a thread of the parent may hold the inherited one."""
    global _one_at_a_time
    _one_at_a_time = threading.Lock()


_one_at_a_time = threading.Lock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_forks_open)
