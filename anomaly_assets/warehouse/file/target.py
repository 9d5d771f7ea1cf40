"""Inspect and lock the file that a publication replaces.

`ANOMALY_DATABASE` names the file that people read and that a run replaces, so a wrong value must not
destroy a file. A file is replaced only if this warehouse has published it, or has adopted it on
request.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

import duckdb

from anomaly_assets.atomic import TargetBusyError, only_writer
from anomaly_assets.datasets.names import counted
from anomaly_assets.errors import WarehouseBusyError
from anomaly_assets.tables.ddl import row_counts
from anomaly_assets.tables.identity import (
    INTENDED,
    PUBLISHED_FILES,
    ensure_identity,
    is_warehouse,
    read_owners,
)
from anomaly_assets.tables.quality import Digest, quality_digest
from anomaly_assets.tables.source_datasets import published_marks, read_consents
from anomaly_assets.tables.sql_text import sql_literal
from anomaly_assets.warehouse.base import Log
from anomaly_assets.warehouse.file.snapshots import Snapshot, attached, newest_noted
from anomaly_assets.warehouse.provenance import provenance, published_evaluation
from anomaly_assets.warehouse.publication import PublishRefusedError, consent

_SILENT_SECONDS = 1.0
_MAGIC_BYTES = slice(8, 12)
_MAGIC = b"DUCK"


@dataclass(frozen=True)
class Target:
    """The published file, or what else has its path; implements `publication.Published`.

    Attributes:
        path: Path of the file, symbolic links resolved.
        connection: A DuckDB instance that has the file attached; None if it cannot be opened.
        problem: Reason why it cannot be opened; None if it can, or if nothing is there.
        snapshot: The newest publication that it records.
        snapshot_ids: All publications that it records.
        owners: Identities of the warehouses that own it; None if not recorded.
        recorded_id: Digest of the content that this warehouse published there, if the file cannot be
            opened but is unchanged since.
        recorded_evaluation: Digest of the results that it published there, in the same case.
        adopted: Whether this publication takes over the file, on request.
        is_warehouse: Whether runs write to it.
    """

    path: Path
    connection: duckdb.DuckDBPyConnection | None = None
    problem: str | None = None
    snapshot: Snapshot | None = None
    snapshot_ids: frozenset[str] = frozenset()
    owners: Mapping[str, int] | None = None
    recorded_id: str | None = None
    recorded_evaluation: str | None = None
    adopted: bool = False
    is_warehouse: bool = False

    @property
    def location(self) -> str:
        """Return the path as text."""
        return str(self.path)

    def snapshot_id(self) -> str | None:
        """Return the digest of the file's content; None if there is nothing that can be read."""
        return self.snapshot.snapshot_id if self.snapshot else self.recorded_id

    def evaluation_id(self) -> str | None:
        """Return the digest of the results in the file; None if there are none."""
        if self.connection is None:
            return self.recorded_evaluation
        return published_evaluation(self.connection, "snapshots")

    def warehouse_id(self) -> str | None:
        """Return the identity of the warehouse that published the file; None if not recorded."""
        return self.snapshot.warehouse_id if self.snapshot else None

    def row_counts(self, names: Collection[str]) -> dict[str, int]:
        """Return the number of rows of tables and views; 0 for one that does not exist."""
        return row_counts(self.connection, names) if self.connection else dict.fromkeys(names, 0)

    def marks(self) -> Mapping[str, int]:
        """Return the sample marks stored in the file; empty if this project did not create it."""
        if self.connection is None or self.snapshot is None:
            return {}
        return published_marks(self.connection)

    def consents(self) -> set[tuple[str, int]]:
        """Return the consents stored in the file."""
        return read_consents(self.connection) if self.connection else set()

    def quality(self) -> Digest | None:
        """Return the digest of the results of the checks; see `quality_digest`."""
        return quality_digest(self.connection) if self.connection else None


@contextmanager
def target_lock(path: Path, wait_seconds: float, log: Log) -> Iterator[None]:
    """Lock the published file against publications by other warehouses.

    Raises:
        WarehouseBusyError: Another run held the lock for longer than `wait_seconds`.
    """
    with ExitStack() as held:
        try:
            try:
                held.enter_context(only_writer(path, min(wait_seconds, _SILENT_SECONDS)))
            except TargetBusyError:
                log(f"Waiting for {path}, to which another run is publishing.")
                held.enter_context(only_writer(path, wait_seconds))
        except TargetBusyError:
            raise WarehouseBusyError(
                f"{path} was held for more than {wait_seconds:.0f} s by another run that publishes to it. "
                "Wait for that run to end or stop it, then run again."
            ) from None
        yield


@contextmanager
def opened_target(path: Path) -> Iterator[Target]:
    """Open the file at the target path read-only, whatever it is; nothing is written."""
    with ExitStack() as opened:
        if not path.exists() or (path.is_file() and path.stat().st_size == 0):
            yield Target(path)
            return
        problem = _not_a_database(path)
        if problem is not None:
            yield Target(path, problem=problem)
            return
        try:
            connection = opened.enter_context(attached(path))
        except duckdb.Error as error:
            yield Target(path, problem=_why_not_opened(error))
            return
        try:
            ids = connection.execute("SELECT snapshot_id FROM snapshots").fetchall()
            snapshot = newest_noted(connection, path)
        except duckdb.Error:
            tables = connection.execute(_TABLES).fetchall()
            named = ", ".join(name for (name,) in tables) or "none"
            yield Target(
                path, problem=f"is a DuckDB database of another program (its tables: {named})"
            )
            return
        yield Target(
            path,
            connection,
            snapshot=snapshot,
            snapshot_ids=frozenset(snapshot_id for (snapshot_id,) in ids),
            owners=read_owners(connection),
            is_warehouse=is_warehouse(connection),
        )


def recognised(found: Target, connection: duckdb.DuckDBPyConnection, *, adopt: bool) -> Target:
    """Return the target if this warehouse may replace it.

    A file of the first release does not record its owners. It belongs to this warehouse if both record a
    common snapshot. A file may be impossible to open, for instance because a shell has it open for writing.
    Then the file is recognised by the device, inode, size and modification time of its publication.

    Args:
        found: The current target.
        connection: The warehouse.
        adopt: Take over any target, because the run config asks for it.

    Raises:
        PublishRefusedError: Another warehouse owns the target; the message describes the target and how to
            adopt it.
    """
    if found.problem is None and found.connection is None:
        return found
    if found.is_warehouse:
        raise PublishRefusedError(
            f"Nothing was published: {found.path} is a warehouse, to which runs write, and publishing "
            "never replaces one. Name another file in ANOMALY_DATABASE."
        )
    identity = ensure_identity(connection)
    is_later = _is_later(connection, found, identity)
    if found.problem is None:
        if found.owners is None:
            is_own = bool(known_snapshots(connection) & found.snapshot_ids)
        else:
            is_own = identity in found.owners
        if is_own and not is_later:
            return found
    elif recorded_id := _unchanged_since_publication(connection, found.path):
        evaluation = provenance(connection, recorded_id).get("evaluation_id")
        return replace(found, problem=None, recorded_id=recorded_id, recorded_evaluation=evaluation)
    if adopt:
        return replace(found, adopted=True)
    what = found.problem or _whose(found, is_later=is_later)
    raise PublishRefusedError(
        f"Nothing was published: {found.path} {what}. It is left as it is. Name another "
        f"file in ANOMALY_DATABASE, or, to replace it on purpose, {consent('adopt')}"
    )


def may_replace(connection: duckdb.DuckDBPyConnection, path: Path) -> bool:
    """Return whether a file does not exist or belongs to this warehouse.

    Args:
        connection: The warehouse.
        path: The published file, symbolic links resolved.
    """
    if not path.exists() or _unchanged_since_publication(connection, path):
        return True
    with opened_target(path) as found:
        try:
            recognised(found, connection, adopt=False)
        except PublishRefusedError:
            return False
    return True


def record_publication(connection: duckdb.DuckDBPyConnection, path: Path, snapshot_id: str) -> None:
    """Record the file that is published now, so that it is recognised when it cannot be opened.

    The caller must have begun a transaction.
    """
    if _unchanged_since_publication(connection, path) == snapshot_id:
        return
    connection.execute(_FILES)
    connection.execute(f"DELETE FROM {PUBLISHED_FILES} WHERE path = ?", [str(path)])  # noqa: S608
    connection.execute(
        f"INSERT INTO {PUBLISHED_FILES} VALUES (?, ?, ?, ?, ?, ?)",  # noqa: S608
        [str(path), *_fingerprint(path), snapshot_id],
    )


def _unchanged_since_publication(connection: duckdb.DuckDBPyConnection, path: Path) -> str | None:
    if not path.is_file():
        return None
    query = (
        f"SELECT snapshot_id FROM {PUBLISHED_FILES} WHERE path = ? AND device = ? AND inode = ? "  # noqa: S608
        "AND size_bytes = ? AND modified_ns = ?"
    )
    try:
        found = connection.execute(query, [str(path), *_fingerprint(path)]).fetchone()
    except duckdb.CatalogException:
        return None
    return str(found[0]) if found else None


def _fingerprint(path: Path) -> tuple[int, int, int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _why_not_opened(error: duckdb.Error) -> str:
    holder = re.search(r"lock is held in (?P<program>.+?) \(PID (?P<pid>\d+)\)", str(error))
    if holder:
        return f"is open for writing in {holder['program']} (process id {holder['pid']})"
    return f"cannot be opened ({_first_line(error)})"


def _is_later(connection: duckdb.DuckDBPyConnection, found: Target, identity: str) -> bool:
    """Return whether a file has a publication of this warehouse's identity that is not recorded here.

    A copy of this warehouse, made with `cp` or restored from a backup, wrote that publication. The newest
    publication may be one of another owner.
    """
    if found.connection is None:
        return False
    query = "SELECT snapshot_id FROM snapshots WHERE warehouse_id = ?"
    try:
        rows = found.connection.execute(query, [identity]).fetchall()
    except duckdb.BinderException:  # a file of the first release has no such column
        return False
    return not {row[0] for row in rows} <= {*known_snapshots(connection), _intended(connection)}


def known_snapshots(connection: duckdb.DuckDBPyConnection) -> set[str]:
    """Return the ids of the snapshots that a warehouse records."""
    return {row[0] for row in connection.execute("SELECT snapshot_id FROM snapshots").fetchall()}


def note_intention(connection: duckdb.DuckDBPyConnection, snapshot_id: str) -> None:
    """Record the snapshot that is about to be published: a kill may come between swap and record."""
    if _intended(connection) != snapshot_id:
        made = f"CREATE OR REPLACE TABLE {INTENDED} AS SELECT {sql_literal(snapshot_id)} AS snapshot_id"
        connection.execute(made)


def _intended(connection: duckdb.DuckDBPyConnection) -> str | None:
    try:
        found = connection.execute(f"SELECT snapshot_id FROM {INTENDED}").fetchone()  # noqa: S608
    except duckdb.CatalogException:
        return None
    return str(found[0]) if found else None


def _whose(found: Target, *, is_later: bool) -> str:
    if found.snapshot is None:
        return "was made by another warehouse of this project and records no publication"
    published = f"{found.snapshot.published_at:%Y-%m-%d %H:%M UTC}"
    samples = found.row_counts(["samples"])["samples"]
    maker = found.snapshot.warehouse_id
    if is_later:
        return (
            f"was published on {published}, with {counted(samples, 'sample')}, by a later "
            "state of this warehouse, or by a copy of it that was not made by the command `copy`"
        )
    which = f" ({maker[:12]})" if maker else ""
    return f"was published by another warehouse{which} on {published}, with {counted(samples, 'sample')}"


def _not_a_database(path: Path) -> str | None:
    """Return a description of a path that cannot be a DuckDB database; None if it can."""
    if not path.is_file():
        return "is not a file"
    try:
        with path.open("rb") as file:
            head = file.read(_MAGIC_BYTES.stop)
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if head[_MAGIC_BYTES] == _MAGIC:
        return None
    status = path.stat()
    modified = datetime.fromtimestamp(status.st_mtime, timezone.utc)
    return f"is not a DuckDB database ({status.st_size:,} bytes, modified {modified:%Y-%m-%d %H:%M UTC})"


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(".")


_FILES = f"""
CREATE TABLE IF NOT EXISTS {PUBLISHED_FILES} (
    path VARCHAR NOT NULL,
    device UBIGINT NOT NULL,
    inode UBIGINT NOT NULL,
    size_bytes BIGINT NOT NULL,
    modified_ns BIGINT NOT NULL,
    snapshot_id VARCHAR NOT NULL
)
"""

_TABLES = """
SELECT table_name FROM duckdb_tables() WHERE database_name = current_database() ORDER BY ALL LIMIT 5
"""
