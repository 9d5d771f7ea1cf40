"""Publish from a file: write a complete, compact snapshot and swap it in atomically.

The snapshot is written beside its target and renamed over it. A reader that has the old file open keeps
it. A reader that opens during the swap gets the old file or the new one, never a mixture.

A compact warehouse is copied byte by byte. A warehouse with dead rows is rewritten table by table, which
drops the dead rows. If there are many dead rows, that copy replaces the warehouse as well.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import duckdb

from anomaly_assets.atomic import newest_unfinished, replaced_file, resolved
from anomaly_assets.recipes import Recipe
from anomaly_assets.tables.ddl import ALIAS_SCHEMA, ensure_tables
from anomaly_assets.tables.identity import ensure_identity, make_publication
from anomaly_assets.tables.source_datasets import read_consents, stored_names
from anomaly_assets.tables.sql_text import sql_literal
from anomaly_assets.warehouse.base import CATALOG, ROW_GROUP_SIZE, Warehouse
from anomaly_assets.warehouse.buffers import free_memory
from anomaly_assets.warehouse.file.compact import write_compact
from anomaly_assets.warehouse.file.copy_file import copied_bytes, copy_file
from anomaly_assets.warehouse.file.keep import discard_older, keep
from anomaly_assets.warehouse.file.names import (
    catalog_name,
    refuse_ambiguous_name,
    refuse_question_mark,
)
from anomaly_assets.warehouse.file.plain_times import store_plain_times
from anomaly_assets.warehouse.file.snapshots import (
    attached,
    kept_paths,
    list_snapshots,
    newest_snapshot,
)
from anomaly_assets.warehouse.file.target import (
    Target,
    known_snapshots,
    may_replace,
    note_intention,
    opened_target,
    recognised,
    record_publication,
    target_lock,
)
from anomaly_assets.warehouse.provenance import SnapshotRow, note_snapshot, provenance
from anomaly_assets.warehouse.publication import (
    Content,
    Differences,
    Publication,
    Request,
    checked_content,
    differences,
)

COMPACT_RATIO = 1.05
"""Up to this ratio of file size to live content, the warehouse is copied byte by byte."""

REWRITE_RATIO = 1.25
"""Above this ratio, the warehouse is replaced by its compact copy."""

_SMALL_BYTES = 32 * 1024 * 1024
"""Fixed overhead that is not dead space: small tables occupy whole blocks."""


def publish_file(
    warehouse: Warehouse,
    source: Path,
    target: Path,
    spec: Recipe,
    request: Request,
) -> Publication:
    """Write a snapshot of the warehouse to `target` if their contents differ; see `Warehouse.publish`."""
    target = resolved(target)
    refuse_ambiguous_name(target)
    refuse_question_mark(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with warehouse.locked(), target_lock(target, warehouse.wait_seconds, warehouse.log):
        with warehouse.connect() as connection, opened_target(target) as found:
            ensure_tables(connection)
            published = recognised(found, connection, adopt=request.adopt)
            _import_history(connection, found)
            content = checked_content(connection, spec, published, request)
            if content.written:
                free_memory(connection)  # of the digest
                note_intention(connection, content.snapshot_id)
                owned_by = {ensure_identity(connection), *(published.owners or ())}
                with _copied(connection, source, target, content.row, owned_by):
                    replaced_id = published.snapshot_id()
                    if replaced_id != content.snapshot_id and request.keep_snapshots:
                        keep(target, replaced_id)
        with warehouse.connect() as connection:
            connection.begin()
            if content.written:
                note_snapshot(connection, content.row)
            record_publication(connection, target, content.snapshot_id)
            connection.commit()
            if content.written:
                free_memory(connection)
            origin = provenance(connection, content.snapshot_id)
            identity, known = ensure_identity(connection), known_snapshots(connection)
        discard_older(target, content.snapshot_id, request.keep_snapshots, identity, known)
        return content.published(
            origin,
            str(target),
            history=_history(target, content, origin),
            details={"file_bytes": target.stat().st_size},
        )


def differing_file(warehouse: Warehouse, target: Path) -> Differences:
    """Return the differences between a warehouse and its published file."""
    target = resolved(target)
    with warehouse.connect() as connection, opened_target(target) as published:
        return differences(connection, published)


def _import_history(connection: duckdb.DuckDBPyConnection, found: Target) -> None:
    """Copy rows of `snapshots` and `consents` that the target has and the warehouse lacks.

    They come from another owner of the target, or from a run that was killed between the swap and the
    commit of its row. A consent that is missing in the target resets a mark, so a consent that was used
    once must stay in the file.
    """
    known = {row[0] for row in connection.execute("SELECT snapshot_id FROM snapshots").fetchall()}
    consents = found.consents() - read_consents(connection)
    if found.snapshot_ids <= known and not consents:
        return
    connection.execute(f"ATTACH {sql_literal(str(found.path))} AS target (READ_ONLY)")
    try:
        connection.execute(
            "INSERT INTO snapshots BY NAME FROM target.main.snapshots AS published "
            "WHERE snapshot_id NOT IN (SELECT snapshot_id FROM snapshots)"
        )
        if consents:
            connection.execute(
                "INSERT INTO consents BY NAME FROM target.main.consents "
                "WHERE (source_dataset, consented_at) NOT IN "
                "(SELECT (source_dataset, consented_at) FROM consents)"
            )
    finally:
        connection.execute("DETACH target")


def _history(
    target: Path, content: Content, origin: Mapping[str, Any]
) -> list[dict[str, str | int]]:
    if content.written:
        # Use the row just written: reading it from the file would start another DuckDB instance.
        first = [(content.snapshot_id, origin["published_at"], origin["tensors"], target.name)]
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
def _copied(
    connection: duckdb.DuckDBPyConnection,
    source: Path,
    target: Path,
    row: SnapshotRow,
    owned_by: Collection[str],
) -> Iterator[None]:
    """Copy the warehouse to a temporary file, and rename it to `target` when the block ends.

    The warehouse is detached meanwhile. DuckDB itself keeps running, because a restart takes longer.
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
            _let_go(connection)
            write_compact(connection, source, unfinished)
            if size > REWRITE_RATIO * live_bytes + _SMALL_BYTES:
                with _beside(source) as compact:
                    copy_file(unfinished, compact)
        _finish(connection, unfinished, catalog_name(target), row, owned_by)
        yield


def _live_bytes(connection: duckdb.DuckDBPyConnection) -> int:
    """Return the bytes of tensors, masks, previews, maps and banks; most follow from their shapes."""
    found = connection.execute(
        """
        SELECT coalesce(sum(bytes), 0) FROM (
            SELECT height * width * (channels + (mask_area_fraction IS NOT NULL)::INTEGER) AS bytes
            FROM image_tensors
            UNION ALL
            SELECT height * width * (channels + (mask_file_version IS NOT NULL)::INTEGER)
            FROM recipe_tensors
            UNION ALL
            SELECT octet_length(preview) FROM image_previews
            UNION ALL
            SELECT height * width FROM baseline_maps
            UNION ALL
            SELECT 4 * patches * dimensions FROM baseline_banks
        )
        """
    ).fetchone()
    return int(found[0]) if found else 0


def _let_go(connection: duckdb.DuckDBPyConnection) -> None:
    """Detach the attached warehouse or copy."""
    connection.execute("USE memory.main")
    connection.execute(f"DETACH {CATALOG}")


def _finish(
    connection: duckdb.DuckDBPyConnection,
    copy: Path,
    catalog: str,
    row: SnapshotRow,
    owned_by: Collection[str],
) -> None:
    """Turn a copy of the warehouse into a published database.

    Add the row of `snapshots` and the owners of the file. Store times without a time zone. Drop staging
    schemas, and aliases that would be ambiguous in this file.
    """
    connection.execute(
        f"ATTACH {sql_literal(str(copy))} AS {CATALOG} (ROW_GROUP_SIZE {ROW_GROUP_SIZE})"
    )
    connection.execute(f"USE {CATALOG}.main")
    connection.begin()
    note_snapshot(connection, row)
    make_publication(connection, owned_by)
    connection.commit()
    connection.begin()  # DuckDB cannot alter a table after inserting into it in the same transaction
    store_plain_times(connection)
    for name in stored_names(connection):
        connection.execute(f'DROP SCHEMA IF EXISTS "{name}_staging" CASCADE')
    if catalog == ALIAS_SCHEMA:
        connection.execute(f"DROP SCHEMA IF EXISTS {ALIAS_SCHEMA} CASCADE")
    connection.commit()
    connection.execute("CHECKPOINT")
    _let_go(connection)


def _beside(target: Path) -> AbstractContextManager[Path]:
    """Yield a temporary path; if the block succeeds, the file at this path replaces the target."""
    # DuckDB would replay the old file's write-ahead log, left by a killed process, into the new file.
    return replaced_file(target, stale=[target.with_name(f"{target.name}.wal")])


@contextmanager
def opened_file(target: Path) -> Iterator[duckdb.DuckDBPyConnection | None]:
    """Open a published file, read-only and current; yield None if it does not exist."""
    if not target.exists():
        yield None
        return
    with attached(target) as connection:
        yield connection


def pictures_folder(warehouse: Warehouse, source: Path, target: Path) -> Path:
    """Return the folder for contact sheets, beside the published file if this warehouse owns it.

    Otherwise it is beside the warehouse, so that pictures of the other warehouse are not replaced.
    """
    place = target.absolute()
    with warehouse.connect() as connection:
        ensure_tables(connection)
        if not may_replace(connection, Path(os.path.realpath(target))):
            place = source
    return place.parent / "contact_sheets"


def copy_progress(source: Path, target: Path) -> tuple[Callable[[], int], int]:
    """Return (function for the MB copied so far, total MB)."""
    target = Path(os.path.realpath(target))
    return (lambda: _megabytes(newest_unfinished(target))), max(1, _megabytes(source))


def _megabytes(path: Path | None) -> int:
    return 0 if path is None else copied_bytes(path) // 1_000_000
