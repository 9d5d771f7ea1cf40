"""Publishing from a file: a complete, compact snapshot of it, swapped in atomically.

The snapshot is written beside its target and renamed over it. A reader that has the old file open keeps
it; one that opens during the swap gets the old or the new, never a part of either.

A compact warehouse is copied byte by byte. One with dead rows in it is rewritten table by table
instead, which drops them; when they are many, the warehouse itself is replaced by that copy too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import duckdb

from anomaly_assets.atomic import replaced_file, resolved
from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.tensors.spec import TensorSpec
from anomaly_assets.warehouse.base import CATALOG, ROW_GROUP_SIZE, sql_literal
from anomaly_assets.warehouse.database import (
    FileWarehouse,
    catalog_name,
    refuse_ambiguous_name,
)
from anomaly_assets.warehouse.instance import reset_from_wide_rows, set_for_wide_rows
from anomaly_assets.warehouse.publishing.content import (
    Content,
    Differences,
    Publication,
    PublishRefusedError,
    checked_content,
    differences,
)
from anomaly_assets.warehouse.publishing.file_copy import copy_file
from anomaly_assets.warehouse.publishing.keep import discard_older, keep
from anomaly_assets.warehouse.publishing.snapshots import (
    Snapshot,
    attached,
    kept_paths,
    list_snapshots,
    newest_noted,
    newest_snapshot,
)
from anomaly_assets.warehouse.schema import ALIAS_SCHEMA, row_count

COMPACT_RATIO = 1.05
"""Up to this size, relative to its live content, a warehouse is copied as it is."""

REWRITE_RATIO = 1.25
"""From this size on the warehouse is replaced by its compact copy."""

_SMALL_BYTES = 32 * 1024 * 1024
"""Fixed overhead that does not count as dead space: small tables take whole blocks."""


def publish_file(
    warehouse: FileWarehouse,
    target: Path,
    spec: TensorSpec,
    *,
    run_id: str | None = None,
    keep_snapshots: int = 0,
) -> Publication:
    """Make `target` a snapshot of the warehouse, unless it already is; see `warehouse.publish.publish`."""
    target = resolved(target)
    refuse_ambiguous_name(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with warehouse.locked():
        with warehouse.connect() as connection, _opened(target) as published:
            published_id = published.snapshot_id()
            _refuse_emptying(connection, published)
            content = checked_content(connection, spec, published, run_id)
            if content.written:
                with _copied(connection, warehouse.path, target):
                    if published_id != content.snapshot_id and keep_snapshots:
                        keep(target, published_id)
        discard_older(target, content.snapshot_id, keep_snapshots)
    return Publication(
        **vars(content),
        location=str(target),
        history=_history(target, content),
        details={"file_bytes": target.stat().st_size},
    )


def differing_file(warehouse: FileWarehouse, target: Path) -> Differences:
    """What differs between a warehouse and its published file."""
    target = resolved(target)
    with warehouse.connect() as connection, _opened(target) as published:
        return differences(connection, published)


@dataclass(frozen=True)
class _File:
    path: Path
    connection: duckdb.DuckDBPyConnection | None
    snapshot: Snapshot | None

    @property
    def location(self) -> str:
        return str(self.path)

    def snapshot_id(self) -> str | None:
        return self.snapshot.snapshot_id if self.snapshot else None

    def row_count(self, name: str) -> int:
        assert self.connection is not None
        return row_count(self.connection, name)


def _refuse_emptying(connection: duckdb.DuckDBPyConnection, published: _File) -> None:
    if published.connection is None or row_count(connection, "samples"):
        return
    if samples := published.row_count("samples"):
        raise PublishRefusedError(
            f"Nothing was published: {published.location} holds {samples} samples, and the warehouse has "
            "none. Materialize all assets, then publish again. If nothing is meant to be published, "
            f"delete {published.location} first."
        )


@contextmanager
def _opened(path: Path) -> Iterator[_File]:
    """What is published; one that cannot be opened counts as nothing."""
    with ExitStack() as opened:
        connection, snapshot = None, None
        if path.exists():
            with suppress(duckdb.Error):
                connection = opened.enter_context(attached(path))
                snapshot = newest_noted(connection, path)
        yield _File(path, connection, snapshot)


def _history(target: Path, content: Content) -> list[dict[str, str | int]]:
    if content.written:
        # As it was just noted: to open the file for it would start another DuckDB.
        noted = content.provenance
        first = [(content.snapshot_id, noted["published_at"], noted["tensors"], target.name)]
        snapshots = [newest_snapshot(path) for path in kept_paths(target)]
    else:
        first, snapshots = [], [*list_snapshots(target)]
    older = [(s.snapshot_id, s.published_at, s.tensors, s.path.name) for s in snapshots if s]
    return [
        {
            "snapshot_id": snapshot_id,
            "published_at": f"{published_at:%Y-%m-%d %H:%M:%S %Z}",
            "samples": samples,
            "file": file,
        }
        for snapshot_id, published_at, samples, file in first + older
    ]


@contextmanager
def _copied(connection: duckdb.DuckDBPyConnection, source: Path, target: Path) -> Iterator[None]:
    """A copy of the warehouse takes the place of `target` when the block ends.

    The warehouse is closed meanwhile, in a DuckDB that goes on: to start another one takes longer.
    """
    if source.with_name(f"{source.name}.wal").exists():
        connection.execute("CHECKPOINT")
    live_bytes = _live_bytes(connection)
    with _beside(target) as unfinished:
        size = source.stat().st_size
        if size <= COMPACT_RATIO * live_bytes + _SMALL_BYTES:
            _let_go(connection)
            copy_file(source, unfinished)
        else:
            _rewrite(connection, unfinished)
            _let_go(connection)
            if size > REWRITE_RATIO * live_bytes + _SMALL_BYTES:
                with _beside(source) as compact:
                    copy_file(unfinished, compact)
        _finish(connection, unfinished, catalog=catalog_name(target))
        yield


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
    set_for_wide_rows(connection)
    connection.execute(f"COPY FROM DATABASE {CATALOG} TO snapshot")
    connection.execute("DETACH snapshot")
    reset_from_wide_rows(connection)


def _let_go(connection: duckdb.DuckDBPyConnection) -> None:
    """Close the file that is attached."""
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


def _beside(target: Path) -> AbstractContextManager[Path]:
    """Yield a path to write to; the file takes the place of the target when all went well."""
    # The log of a process that wrote to the old file and was killed would be replayed into the new one.
    return replaced_file(target, stale=[target.with_name(f"{target.name}.wal")])
