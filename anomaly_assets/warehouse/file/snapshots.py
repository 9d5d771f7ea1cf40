"""List published snapshots, open one by id, and compare two of them.

A snapshot is the content of one publication. Its id is a digest of that content, so a training run that
logs the id has recorded exactly which data it read. The newest snapshot is the published database
itself; older ones are beside it as `anomaly.<first 12 digits of the id>.duckdb`.

This module imports only DuckDB, because readers import it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta, timezone
from pathlib import Path

import duckdb

from anomaly_assets.locations import is_file, parse_location
from anomaly_assets.settings import published_database
from anomaly_assets.tables.sql_text import sql_literal
from anomaly_assets.warehouse.file.duckdb_settings import use_threads_for
from anomaly_assets.warehouse.file.pinned_file import HeldFile
from anomaly_assets.warehouse.open_published import (
    DatabaseError,
    Opened,
    explained,
    hold,
    open_file,
)

ID_DIGITS = 12
"""Number of digits of a snapshot id in a file name."""

_FEWEST_DIGITS = 6
"""Minimum number of digits of an id that users must give."""

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

_LOOKS = 20
"""Maximum number of attempts while files are being replaced; one attempt takes about 10 ms per file."""


@dataclass(frozen=True)
class Snapshot:
    """One publication that can be opened.

    Attributes:
        snapshot_id: Digest of its content, 64 hexadecimal digits.
        published_at: Time of publication.
        path: File that held it when the snapshots were listed. The next publication reuses this name for
            another snapshot, so open it by id.
        images: Catalogued images.
        tensors: Usable images.
        transform: Name of the transform of the tensors.
        code_version: Version of this package that published it; None if not recorded.
        warehouse_id: Identity of the warehouse that published it; None if not recorded.
    """

    snapshot_id: str
    published_at: datetime
    path: Path
    images: int
    tensors: int
    transform: str | None
    code_version: str | None
    warehouse_id: str | None = None


@dataclass(frozen=True)
class SnapshotDifference:
    """Differences between the samples of two snapshots, as sorted image ids.

    Attributes:
        added: Only in the second. A moved file counts as removed and added.
        removed: Only in the first.
        changed: In both, with other pixels, another mask or another transform.
        relabelled: In both, with another label or defect type: id to the label before and after.
        recipes_added: Further recipes only in the second, as `<source_dataset>: <recipe>`.
        recipes_removed: Further recipes only in the first, in the same form.
    """

    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    relabelled: dict[str, tuple[str, str]] = field(default_factory=dict)
    recipes_added: list[str] = field(default_factory=list)
    recipes_removed: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return any(getattr(self, each.name) for each in fields(self))

    def __str__(self) -> str:
        return (
            f"{len(self.added)} added, {len(self.removed)} removed, {len(self.changed)} changed, "
            f"{len(self.relabelled)} relabelled"
            + "".join(f", {recipe} added" for recipe in self.recipes_added)
            + "".join(f", {recipe} removed" for recipe in self.recipes_removed)
        )


def kept_path(database: Path, snapshot_id: str) -> Path:
    """Return the path of an older snapshot, beside the real file if `database` is a symbolic link."""
    database = Path(os.path.realpath(database))
    return database.with_name(f"{database.stem}.{snapshot_id[:ID_DIGITS]}{database.suffix}")


def kept_paths(database: Path) -> list[Path]:
    """Return the older snapshots beside a published database (links resolved), newest first.

    Raises:
        OSError: The folder cannot be listed.
    """
    database = Path(os.path.realpath(database))
    name = re.compile(
        rf"{re.escape(database.stem)}\.[0-9a-f]{{{ID_DIGITS}}}{re.escape(database.suffix)}"
    )
    found = []
    for path in database.parent.iterdir():
        if name.fullmatch(path.name):
            with suppress(FileNotFoundError):  # removed since the folder was listed
                found.append((path.stat().st_mtime_ns, path.name, path))
    return [path for *_, path in sorted(found, reverse=True)]


def list_snapshots(database: str | Path | None = None) -> list[Snapshot]:
    """Return the snapshots that can be opened, newest first; the first is the published database.

    Older snapshots that cannot be read are left out.

    Args:
        database: The published database; the default is ANOMALY_DATABASE.

    Raises:
        FileNotFoundError: The database does not exist.
        DatabaseError: The database cannot be read, or was never published.
    """
    path = _published_file(database)
    for look in _looks(path):
        found: dict[str, Snapshot] = {}
        for snapshot, opened in look.opened():
            opened.close()
            # After a run that was killed just before the swap, the current snapshot also has a hard link.
            found.setdefault(snapshot.snapshot_id, snapshot)
    if path in look.unreadable:
        raise look.unreadable[path]
    return list(found.values())


def _published_file(database: str | Path | None) -> Path:
    location = str(published_database() if database is None else database)
    if not is_file(location):
        parsed = parse_location(location)  # its `name` has no password; the location may have one
        assert not isinstance(parsed, Path)
        raise DatabaseError(
            f"{parsed.name} is not a file. Snapshots can be listed and compared only for files. Give the "
            "path of a published file."
        )
    return Path(location)


def find_snapshot(database: str | Path, snapshot: str) -> Path:
    """Return the file that holds a snapshot now; same arguments and errors as `open_snapshot`."""
    found, opened = open_snapshot(database, snapshot)
    opened.close()
    return found.path


def open_snapshot(database: str | Path, snapshot: str) -> tuple[Snapshot, Opened]:
    """Open a published database, or an older snapshot beside it, by its id.

    The id is read from the file that is then used: between finding a file and opening it by name,
    another snapshot could take that name.

    Args:
        database: The published database.
        snapshot: The id, or its first digits (at least 6).

    Returns:
        The snapshot and its open file; the caller must close it.

    Raises:
        FileNotFoundError: The database does not exist.
        LookupError: No snapshot has this id, or several have; the message lists the existing ones.
        DatabaseError: The snapshot cannot be read.
    """
    path, wanted = Path(database), snapshot.strip().lower()
    for look in _looks(path):
        known: dict[str, Snapshot] = {}
        matching: dict[str, tuple[Snapshot, Opened]] = {}
        try:
            for found, opened in look.opened():
                snapshot_id = found.snapshot_id
                is_wanted = len(wanted) >= _FEWEST_DIGITS and snapshot_id.startswith(wanted)
                if not is_wanted or snapshot_id in known:
                    opened.close()
                else:
                    matching[snapshot_id] = found, opened
                known.setdefault(snapshot_id, found)
                if snapshot_id == wanted:
                    break
            if len(matching) == 1:
                return matching.popitem()[1]
        finally:
            for _, opened in matching.values():
                opened.close()
    for each, error in look.unreadable.items():
        if each == path or (wanted and f".{wanted[:ID_DIGITS]}" in each.name):
            raise error
    listed = "; ".join(
        f"{each.snapshot_id[:ID_DIGITS]} of {each.published_at:%Y-%m-%d %H:%M}"
        for each in known.values()
    )
    raise LookupError(
        f"No single snapshot {snapshot!r} of {database}. There are: {listed or 'none'}. "
        f"Give at least {_FEWEST_DIGITS} digits; ANOMALY_KEEP_SNAPSHOTS sets how many are kept."
    )


class _Look:
    """One attempt to read a published database and the older ones beside it.

    All files are opened before the first one is read, so that a publication meanwhile changes none of
    them.

    Attributes:
        unreadable: Files that cannot be read, with their errors.
        is_settled: Whether no file was replaced, added or removed during this attempt.
    """

    def __init__(self, path: Path) -> None:
        self.unreadable: dict[Path, DatabaseError] = {}
        self.is_settled = True
        self._path = path

    def opened(self) -> Iterator[tuple[Snapshot, Opened]]:
        """Yield each snapshot with its open file, the published one first; the caller must close it.

        Raises:
            FileNotFoundError: The database does not exist.
        """
        before = _files(self._path)
        # This order is needed: publishing makes the hard link of a snapshot before it replaces the file.
        held = [(self._path, self._held(self._path))]
        held += [(path, self._held(path)) for path in self._kept()]
        self.is_settled = _files(self._path) == before
        for path, file in held:
            if file is not None:
                yield from self._read(path, file)

    def _kept(self) -> list[Path]:
        try:
            return kept_paths(self._path)
        except OSError as error:
            cause = f"{self._path.parent} cannot be listed: {error.strerror}"
            told = DatabaseError(f"{cause}. Ask its owner for permission to list it.")
            self.unreadable.setdefault(self._path, told)
            return []

    def _held(self, path: Path) -> HeldFile | None:
        try:
            return hold(path)
        except DatabaseError as error:
            self.unreadable[path] = error
        except FileNotFoundError:
            if path == self._path:
                raise
        return None

    def _read(self, path: Path, file: HeldFile) -> Iterator[tuple[Snapshot, Opened]]:
        with ExitStack() as stack:
            stack.callback(file.close)
            try:
                opened = open_file(path, file)
                stack.callback(opened.close)
                with explained(str(path)):
                    snapshot = newest_noted(opened.connection, path)
                if snapshot is None:
                    raise DatabaseError(
                        f"{path} was never published: run `make materialize`, or name the published file."
                    )
            except FileNotFoundError:  # removed, on a system that opens files by name alone
                self.is_settled = False
                return
            except DatabaseError as error:
                self.unreadable[path] = error
                return
            if opened.file is None or opened.file.identity != file.identity:
                self.is_settled = False
            stack.pop_all()
            file.close()
        yield snapshot, opened


def _looks(path: Path) -> Iterator[_Look]:
    """Yield an attempt, and further ones while files were replaced, added or removed during it."""
    for _ in range(_LOOKS):
        look = _Look(path)
        yield look
        if look.is_settled:
            return


def _files(path: Path) -> list[tuple[Path, int, int, int]]:
    """Return path, device, inode and ctime of the database and its older ones; links change the ctime."""
    found = []
    with suppress(OSError, ValueError):  # ValueError: a null byte in the name
        for each in (path, *kept_paths(path)):
            with suppress(FileNotFoundError):
                status = each.stat()
                found.append((each, status.st_dev, status.st_ino, status.st_ctime_ns))
    return found


def diff_snapshots(a: str, b: str, database: str | Path | None = None) -> SnapshotDifference:
    """Return the differences between the samples of two snapshots.

    Args:
        a: Id of the first snapshot, or its first digits.
        b: Id of the second one.
        database: The published database; the default is ANOMALY_DATABASE.

    Raises:
        FileNotFoundError: The database does not exist.
        LookupError: One of the snapshots does not exist.
        DatabaseError: A snapshot cannot be read.
    """
    path = _published_file(database)
    (before_recipes, before_rows), (after_recipes, after_rows) = (
        _content(path, a),
        _content(path, b),
    )
    contents = before_rows, after_rows
    found = SnapshotDifference(
        recipes_added=sorted(after_recipes - before_recipes),
        recipes_removed=sorted(before_recipes - after_recipes),
    )
    for image_id in sorted(contents[0].keys() | contents[1].keys()):
        before, after = (content.get(image_id) for content in contents)
        if before is None:
            found.added.append(image_id)
        elif after is None:
            found.removed.append(image_id)
        else:
            if before[:-1] != after[:-1]:
                found.changed.append(image_id)
            if before[-1] != after[-1]:
                found.relabelled[image_id] = before[-1], after[-1]
    return found


def _content(database: Path, snapshot: str) -> tuple[set[str], dict[str, tuple[str, ...]]]:
    """Return the further recipes, and for each image digests of pixels and mask, transform, and label."""
    _, opened = open_snapshot(database, snapshot)
    try:
        with explained(str(database)):
            opened.connection.execute("RESET threads")
            rows = opened.connection.execute(_CONTENT).fetchall()
            recipes: set[str] = set()
            with suppress(duckdb.CatalogException):  # published before recipes existed
                recipes = {name for (name,) in opened.connection.execute(_RECIPES).fetchall()}
    finally:
        opened.close()
    return recipes, {image_id: tuple(rest) for image_id, *rest in rows}


def newest_snapshot(path: Path) -> Snapshot | None:
    """Return the newest snapshot recorded in a file; None if it cannot be read at the moment."""
    try:
        with attached(path) as connection:
            return newest_noted(connection, path)
    except duckdb.Error:
        return None


def newest_noted(connection: duckdb.DuckDBPyConnection, path: Path) -> Snapshot | None:
    """Return the newest snapshot recorded in an attached database; None if there is none."""
    row = connection.execute(_NEWEST).fetchone()
    if row is None:
        return None
    snapshot_id, microseconds, *facts = row
    published_at = _EPOCH + timedelta(microseconds=microseconds)
    return Snapshot(snapshot_id, published_at, path, *facts)


@contextmanager
def attached(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Attach a file read-only in a new DuckDB instance, so that a file that was just replaced is read."""
    with duckdb.connect(":memory:") as connection:
        connection.execute("SET TimeZone = 'UTC'")
        use_threads_for(connection, path)
        connection.execute(f"ATTACH {sql_literal(str(path))} AS published (READ_ONLY)")
        connection.execute("USE published.main")
        yield connection


# Columns that a file of an older version lacks are null. The time is fetched as a number, because
# DuckDB needs pytz to build a time with a time zone.
_NEWEST = """
SELECT snapshot_id, epoch_us(published_at), images, tensors, transform, code_version, warehouse_id
FROM (
    SELECT NULL::VARCHAR AS code_version, NULL::VARCHAR AS warehouse_id WHERE false
    UNION ALL BY NAME
    FROM snapshots
)
ORDER BY published_at DESC
LIMIT 1
"""

_RECIPES = "SELECT source_dataset || ': ' || recipe FROM recipes WHERE NOT is_common"

_CONTENT = """
SELECT
    image_id,
    tensors.content_sha256,
    tensors.transform,
    md5(tensors.mask_tensor),
    label || coalesce('/' || defect_type, '')
FROM image_tensors AS tensors
JOIN samples USING (image_id)
"""
