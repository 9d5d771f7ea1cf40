"""Give people a complete, compact snapshot, swapped in atomically.

The snapshot is written beside its target and renamed over it. A reader that has the old file open keeps
it; one that opens during the swap gets the old or the new, never a part of either.

A compact warehouse is copied byte by byte. One with dead rows in it is rewritten table by table
instead, which drops them; when they are many, the warehouse itself is replaced by that copy too.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.tensors.spec import TensorSpec
from anomaly_assets.warehouse.checks import blocking_findings
from anomaly_assets.warehouse.database import (
    CATALOG,
    ROW_GROUP_SIZE,
    FileWarehouse,
    catalog_name,
    refuse_ambiguous_name,
    sql_literal,
    table_exists,
)
from anomaly_assets.warehouse.file_copy import copy_file
from anomaly_assets.warehouse.keep import discard_older, keep
from anomaly_assets.warehouse.provenance import note_snapshot, provenance
from anomaly_assets.warehouse.schema import ALIAS_SCHEMA, ensure_tables, row_count, statement
from anomaly_assets.warehouse.tables import TABLES

COMPACT_RATIO = 1.05
"""Up to this size, relative to its live content, a warehouse is copied as it is."""

REWRITE_RATIO = 1.25
"""From this size on the warehouse is replaced by its compact copy."""

_SMALL_BYTES = 32 * 1024 * 1024
"""Fixed overhead that does not count as dead space: small tables take whole blocks."""

_SUMMARIES = ("dataset_summary", "pixel_statistics", "defect_summary", "duplicate_images")

COUNTED_TABLES = tuple(TABLES)


@dataclass(frozen=True)
class Publication:
    """What publishing did.

    Attributes:
        snapshot_id: Digest of the content.
        written: False where this content was already published.
        file_bytes: Size of the published file.
        samples: Number of rows of `samples`.
        provenance: Its row of `snapshots`, by column.
    """

    snapshot_id: str
    written: bool
    file_bytes: int
    samples: int
    provenance: Mapping[str, Any] = field(default_factory=dict)


class PublishRefusedError(RuntimeError):
    """The warehouse does not pass a blocking check; what is published stays as it is."""


def publish(
    warehouse: FileWarehouse,
    target: Path,
    spec: TensorSpec,
    *,
    run_id: str | None = None,
    keep_snapshots: int = 0,
) -> Publication:
    """Make `target` a snapshot of the warehouse, unless it already is.

    Args:
        warehouse: What to publish.
        target: The published database.
        spec: Shape that all tensors must have.
        run_id: Noted with the snapshot.
        keep_snapshots: How many older published databases stay beside the target.

    Raises:
        PublishRefusedError: A blocking check fails.
        OSError: The snapshot cannot be written, for instance because the disk is full; the target is
            as it was.
    """
    target = Path(os.path.abspath(target))
    refuse_ambiguous_name(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with warehouse.locked():
        with warehouse.connect(wide_rows=True) as connection:
            ensure_tables(connection)
            _refuse_what_is_wrong(connection, spec)
            snapshot_id = _snapshot_id(connection)
            counts = _counts(connection)
            samples = counts["samples"]
            published_id = _published_id(target)
            if published_id == snapshot_id and not _differing(counts, target):
                discard_older(target, snapshot_id, keep_snapshots)
                origin = provenance(connection, snapshot_id)
                return Publication(snapshot_id, False, target.stat().st_size, samples, origin)
            del counts["snapshots"]  # which this very row changes
            note_snapshot(connection, snapshot_id, run_id, counts)
            origin = provenance(connection, snapshot_id)
            connection.execute("CHECKPOINT")
            live_bytes = _live_bytes(connection)
            with _beside(target) as unfinished:
                size = warehouse.path.stat().st_size
                if size <= COMPACT_RATIO * live_bytes + _SMALL_BYTES:
                    _let_go(connection)
                    copy_file(warehouse.path, unfinished)
                else:
                    _rewrite(connection, unfinished)
                    _let_go(connection)
                    if size > REWRITE_RATIO * live_bytes + _SMALL_BYTES:
                        with _beside(warehouse.path) as compact:
                            copy_file(unfinished, compact)
                _finish(connection, unfinished, catalog=catalog_name(target))
                if keep_snapshots and published_id != snapshot_id:
                    keep(target, published_id)
        discard_older(target, snapshot_id, keep_snapshots)
    return Publication(snapshot_id, True, target.stat().st_size, samples, origin)


def differing_counts(warehouse: FileWarehouse, target: Path) -> list[tuple[str, str | None]]:
    """Tables whose row counts differ between warehouse and published database, and how."""
    if not target.exists():
        return [(str(target), "does not exist")]
    with warehouse.connect() as connection:
        return _differing(_counts(connection), target)


def _differing(expected: Mapping[str, int], target: Path) -> list[tuple[str, str | None]]:
    with _reading(target) as published:
        found = _counts(published)
    return [
        (name, f"{found[name]} published, {rows} in the warehouse")
        for name, rows in expected.items()
        if found[name] != rows
    ]


def _counts(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    return {name: row_count(connection, name) for name in COUNTED_TABLES}


def _refuse_what_is_wrong(connection: duckdb.DuckDBPyConnection, spec: TensorSpec) -> None:
    failing = blocking_findings(connection, spec)
    if failing:
        named = "; ".join(
            f"{name} ({finding.count}, first {finding.shown[0][0]})"
            for name, finding in failing.items()
        )
        raise PublishRefusedError(
            f"Nothing was published, because blocking checks fail: {named}. Materialize the assets "
            "upstream of published_database, then publish again."
        )


@contextmanager
def _reading(database: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    connection = duckdb.connect(":memory:")
    try:
        connection.execute(f"ATTACH {sql_literal(str(database))} AS published (READ_ONLY)")
        connection.execute("USE published.main")
        yield connection
    finally:
        connection.close()


def _published_id(target: Path) -> str | None:
    """Snapshot id of the published database; None where there is none that can be read."""
    if not target.exists():
        return None
    try:
        with _reading(target) as connection:
            newest = "SELECT snapshot_id FROM snapshots ORDER BY published_at DESC LIMIT 1"
            found = connection.execute(newest).fetchone()
    except duckdb.Error:
        return None
    return str(found[0]) if found else None


def _snapshot_id(connection: duckdb.DuckDBPyConnection) -> str:
    """Digest of all that is published; summaries count, because they may be made at another time."""
    digest = hashlib.sha256()
    found = connection.execute(statement(connection, "snapshot_content")).fetchall()
    # Python's SHA-256 is several times faster than DuckDB's.
    digest.update(repr((hashlib.sha256(found[0][0]).hexdigest(),)).encode())
    for name in _SUMMARIES:
        if table_exists(connection, "main", name):
            rows = connection.execute("FROM query_table($name) ORDER BY ALL", {"name": name})
            digest.update(repr((name, rows.fetchall())).encode())
    return digest.hexdigest()


def _live_bytes(connection: duckdb.DuckDBPyConnection) -> int:
    """Bytes of all tensors and masks, from their shapes: nothing is read."""
    found = connection.execute(
        """
        SELECT coalesce(sum(height * width * (channels + (mask_area_fraction IS NOT NULL)::INTEGER)), 0)
        FROM image_tensors
        """
    ).fetchone()
    return int(found[0]) if found else 0


def _rewrite(connection: duckdb.DuckDBPyConnection, copy: Path) -> None:
    connection.execute(
        f"ATTACH {sql_literal(str(copy))} AS snapshot (ROW_GROUP_SIZE {ROW_GROUP_SIZE})"
    )
    connection.execute(f"COPY FROM DATABASE {CATALOG} TO snapshot")
    connection.execute("DETACH snapshot")


def _let_go(connection: duckdb.DuckDBPyConnection) -> None:
    """Close the file that is attached, in a DuckDB that goes on: to start another takes longer."""
    connection.execute("USE memory.main")
    connection.execute(f"DETACH {CATALOG}")


def _finish(connection: duckdb.DuckDBPyConnection, copy: Path, catalog: str) -> None:
    """Leave out what only the pipeline needs, and names that would be ambiguous in this file."""
    connection.execute(
        f"ATTACH {sql_literal(str(copy))} AS {CATALOG} (ROW_GROUP_SIZE {ROW_GROUP_SIZE})"
    )
    connection.execute(f"USE {CATALOG}.main")
    connection.begin()
    for name in SOURCE_DATASETS:
        connection.execute(f"DROP SCHEMA IF EXISTS {name}_staging CASCADE")
    if catalog == ALIAS_SCHEMA:
        connection.execute(f"DROP SCHEMA IF EXISTS {ALIAS_SCHEMA} CASCADE")
    connection.commit()
    connection.execute("CHECKPOINT")
    _let_go(connection)


def unfinished_copy(target: Path) -> Path:
    """Where a snapshot is while it is being written."""
    return target.with_name(f".{target.name}.unfinished")


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """A path to write to, on the target's file system; renamed over the target when all went well."""
    unfinished = unfinished_copy(target)
    log = unfinished.with_name(f"{unfinished.name}.wal")
    for leftover in (unfinished, log):
        leftover.unlink(missing_ok=True)
    try:
        yield unfinished
        with open(unfinished, "rb") as file:
            os.fsync(file.fileno())
        # The log of somebody who wrote to the old file and was killed would be replayed into the new.
        target.with_name(f"{target.name}.wal").unlink(missing_ok=True)
        os.replace(unfinished, target)
    finally:
        for leftover in (unfinished, log):
            leftover.unlink(missing_ok=True)
