"""Published snapshots: which there are, where they lie, and how two of them differ.

A snapshot is what one publication gave to people. Its id is a digest of the content, so that a training run
that notes it has named exactly what it saw. The newest one is the published database itself; older ones
lie beside it as `anomaly.<first 12 digits of the id>.duckdb`.

Light on purpose: DuckDB alone, as for whoever reads.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import duckdb

from anomaly_assets.settings import published_database
from anomaly_assets.warehouse.base import sql_literal

ID_DIGITS = 12
"""Digits of a snapshot id in a file name."""

_FEWEST_DIGITS = 6
"""Digits of an id that somebody has to type at least."""


@dataclass(frozen=True)
class Snapshot:
    """One publication that can be opened.

    Attributes:
        snapshot_id: Digest of its content, 64 hexadecimal digits.
        published_at: When it was published.
        path: The file that holds it.
        images: Catalogued images.
        tensors: Usable images.
        transform: Recipe of the tensors.
        code_version: Version of this package that made it; None where it was not noted.
        warehouse_id: Identity of the warehouse that published it; None where it was not noted.
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
    """How the samples of one snapshot differ from those of another; image ids, sorted.

    Attributes:
        added: Only in the second. A file that moved is removed in one place and added in the other.
        removed: Only in the first.
        changed: In both, with other pixels, another mask or another transform.
        relabelled: In both, with another label or defect type: id to the label before and after.
    """

    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    relabelled: dict[str, tuple[str, str]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed or self.relabelled)

    def __str__(self) -> str:
        return (
            f"{len(self.added)} added, {len(self.removed)} removed, {len(self.changed)} changed, "
            f"{len(self.relabelled)} relabelled"
        )


def kept_path(database: Path, snapshot_id: str) -> Path:
    """Return the path of an older snapshot: beside the file, also where `database` is a link to it."""
    database = Path(os.path.realpath(database))
    return database.with_name(f"{database.stem}.{snapshot_id[:ID_DIGITS]}{database.suffix}")


def kept_paths(database: Path) -> list[Path]:
    """List the older snapshots beside a published database, or the file that it links to, newest first."""
    database = Path(os.path.realpath(database))
    name = re.compile(
        rf"{re.escape(database.stem)}\.[0-9a-f]{{{ID_DIGITS}}}{re.escape(database.suffix)}"
    )
    found = [path for path in database.parent.iterdir() if name.fullmatch(path.name)]
    return sorted(found, key=lambda path: (path.stat().st_mtime_ns, path.name), reverse=True)


def list_snapshots(database: str | Path | None = None) -> list[Snapshot]:
    """The snapshots that can be opened, newest first; the first is the published database itself.

    Args:
        database: The published database; by default what ANOMALY_DATABASE names.

    Raises:
        FileNotFoundError: There is no such database.
    """
    path = Path(published_database() if database is None else database)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist: run `make materialize`, or name the file.")
    found: dict[str, Snapshot] = {}
    for each in (path, *kept_paths(path)):
        snapshot = newest_snapshot(each)
        if snapshot:  # a run killed just before the swap leaves the current one under both names
            found.setdefault(snapshot.snapshot_id, snapshot)
    return list(found.values())


def find_snapshot(database: str | Path, snapshot: str) -> Path:
    """The file that holds a snapshot.

    Args:
        database: The published database.
        snapshot: The id, or its first digits (6 at least).

    Raises:
        FileNotFoundError: There is no such database.
        LookupError: No snapshot has this id, or two have; the message lists those that exist.
    """
    known = list_snapshots(database)
    wanted = snapshot.strip().lower()
    found = [each.path for each in known if each.snapshot_id.startswith(wanted)]
    if len(wanted) >= _FEWEST_DIGITS and len(found) == 1:
        return found[0]
    listed = "; ".join(
        f"{each.snapshot_id[:ID_DIGITS]} of {each.published_at:%Y-%m-%d %H:%M}" for each in known
    )
    raise LookupError(
        f"No single snapshot {snapshot!r} of {database}. There are: {listed or 'none'}. "
        f"Give at least {_FEWEST_DIGITS} digits; ANOMALY_KEEP_SNAPSHOTS says how many are kept."
    )


def diff_snapshots(a: str, b: str, database: str | Path | None = None) -> SnapshotDifference:
    """What a training run on snapshot `b` sees that one on `a` did not, and the reverse.

    Args:
        a: Id of the first snapshot, or its first digits.
        b: Id of the second one.
        database: The published database; by default what ANOMALY_DATABASE names.

    Raises:
        FileNotFoundError: There is no such database.
        LookupError: One of the snapshots does not exist.
    """
    location = published_database() if database is None else database
    paths = {"a": find_snapshot(location, a), "b": find_snapshot(location, b)}
    if paths["a"] == paths["b"]:
        return SnapshotDifference()
    found = SnapshotDifference()
    with duckdb.connect(":memory:") as connection:
        for alias, path in paths.items():
            connection.execute(f"ATTACH {sql_literal(str(path))} AS {alias} (READ_ONLY)")
        rows = connection.execute(_DIFFERENCE).fetchall()
    for image_id, in_a, in_b, same_content, before, after in rows:
        if not in_a:
            found.added.append(image_id)
        elif not in_b:
            found.removed.append(image_id)
        elif not same_content:
            found.changed.append(image_id)
        if in_a and in_b and before != after:
            found.relabelled[image_id] = (before, after)
    return found


def newest_snapshot(path: Path) -> Snapshot | None:
    """The newest snapshot noted in a file; None where it cannot be read, or is swapped just now."""
    try:
        with attached(path) as connection:
            return newest_noted(connection, path)
    except duckdb.Error:
        return None


def newest_noted(connection: duckdb.DuckDBPyConnection, path: Path) -> Snapshot | None:
    """The newest snapshot noted in a file that is attached already; None where none is."""
    row = connection.execute(_NEWEST).fetchone()
    if row is None:
        return None
    snapshot_id, published_at, *facts = row
    return Snapshot(snapshot_id, published_at, path, *facts)


@contextmanager
def attached(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database, read-only and current, in a DuckDB of its own, which sees a file that was swapped."""
    with duckdb.connect(":memory:") as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"ATTACH {sql_literal(str(path))} AS published (READ_ONLY)")
        connection.execute("USE published.main")
        yield connection


# Columns that a file of an older version does not have are null.
_NEWEST = """
SELECT snapshot_id, published_at, images, tensors, transform, code_version, warehouse_id
FROM (
    SELECT NULL::VARCHAR AS code_version, NULL::VARCHAR AS warehouse_id WHERE false
    UNION ALL BY NAME
    FROM snapshots
)
ORDER BY published_at DESC
LIMIT 1
"""

_DIFFERENCE = """
SELECT
    coalesce(a.image_id, b.image_id) AS image_id,
    a.image_id IS NOT NULL AS in_a,
    b.image_id IS NOT NULL AS in_b,
    (a.content_sha256, a.transform, a.mask) IS NOT DISTINCT FROM (b.content_sha256, b.transform, b.mask),
    a.label,
    b.label
FROM (
    SELECT image_id, content_sha256, transform, md5(mask_tensor) AS mask,
        label || coalesce('/' || defect_type, '') AS label
    FROM a.main.image_tensors JOIN a.main.images USING (image_id)
) AS a
FULL JOIN (
    SELECT image_id, content_sha256, transform, md5(mask_tensor) AS mask,
        label || coalesce('/' || defect_type, '') AS label
    FROM b.main.image_tensors JOIN b.main.images USING (image_id)
) AS b ON b.image_id = a.image_id
ORDER BY ALL
"""
