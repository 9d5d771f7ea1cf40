"""Move a database from one kind of place to another: file, lake, MotherDuck.

What is published at the source is copied, tensors in chunks of a transaction each. Before a chunk or a
table is written it is compared with what the target has, so that a copy that was interrupted goes on where
it was, and never doubles a row. In the end every table is compared by count and by digest, pixels
included. Until then nobody opens the target: a file has another name, and a lake has published nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from anomaly_assets.atomic import TargetError, put_file, resolved
from anomaly_assets.warehouse.base import Log, Warehouse
from anomaly_assets.warehouse.copying.digests import TableDigest, digest, same
from anomaly_assets.warehouse.copying.source import SOURCE, attach_source, explained_source
from anomaly_assets.warehouse.database import FileWarehouse, catalog_name, refuse_ambiguous_name
from anomaly_assets.warehouse.identity import IDENTITY, OWNERS, PUBLISHED_FILES
from anomaly_assets.warehouse.lake.connection import PUBLISHED_VERSIONS
from anomaly_assets.warehouse.lake.publish import publish_current_version
from anomaly_assets.warehouse.locations import parse_location
from anomaly_assets.warehouse.motherduck import MotherDuckWarehouse
from anomaly_assets.warehouse.opening import open_warehouse
from anomaly_assets.warehouse.schema import (
    ALIAS_SCHEMA,
    comment_on_catalogue,
    ensure_tables,
    refresh,
)
from anomaly_assets.warehouse.source_datasets import stored_names
from anomaly_assets.warehouse.tables import TABLES

_UNFINISHED = "unfinished_copy"
"""Table of a target that is being copied to."""


_OF_ONE_PLACE = frozenset({PUBLISHED_VERSIONS, IDENTITY, OWNERS, PUBLISHED_FILES})
"""Tables that are not copied: a copy is another warehouse, and published elsewhere."""


class CopyError(RuntimeError):
    """A copy cannot be made, or is not equal to its source; the message says what to do."""


@dataclass(frozen=True)
class Copy:
    """What was copied.

    Attributes:
        tables: Table, as `schema.name`, to the count and the digest of its rows.
        tensors_written: Tensors that were written now, and not by an earlier attempt.
        seconds: Duration.
    """

    tables: dict[str, TableDigest]
    tensors_written: int
    seconds: float


def copy_database(
    source: str,
    target: str,
    *,
    lake_data: str | None = None,
    wait_seconds: float = 60.0,
    log: Log = print,
) -> Copy:
    """Copy what is published at one location to another one, and compare.

    Args:
        source: Location of a published file, a file warehouse, a lake, or a MotherDuck database.
        target: Location of a new one, or of one that an interrupted copy has begun.
        lake_data: Where the files of a new lake go.
        wait_seconds: How long to wait for a run that has the target.
        log: Called with progress.

    Raises:
        CopyError: The target holds something else, or came out different.
        LookupError: Nothing is published at the source.
        LocationError: A location makes no sense.
        WarehouseError: One of them cannot be opened.
    """
    started = time.monotonic()
    with closing(duckdb.connect(":memory:")) as connection:
        attach_source(connection, source)  # before anything is made
    final = parse_location(target)
    if isinstance(final, Path):
        try:
            final = resolved(final)
        except TargetError as error:
            raise CopyError(str(error)) from None
        refuse_ambiguous_name(final)
        if final.exists():
            raise CopyError(f"{final} exists: name a new file, or delete it first.")
        # A name that the next attempt finds, because it goes on with what is there.
        unfinished = final.with_name(f"{final.name}.unfinished")
        warehouse = open_warehouse(unfinished, wait_seconds, log)
    else:
        warehouse = open_warehouse(target, wait_seconds, log, lake_data=lake_data)
    with warehouse.finishing():
        written = _copy_all(source, warehouse, log)
        with _both(source, warehouse) as connection:
            tables = _verified(connection)
            _release(connection, warehouse, final if isinstance(final, Path) else None)
    if isinstance(final, Path):
        assert isinstance(warehouse, FileWarehouse)
        # A log without its file, which DuckDB would replay into the new one, is of no use to anybody.
        put_file(warehouse.path, final, stale=[final.with_name(f"{final.name}.wal")])
        for name in ("lock", "holder"):
            Path(f"{warehouse.path}.{name}").unlink(missing_ok=True)
    return Copy(tables, written, time.monotonic() - started)


@contextmanager
def _both(source: str, warehouse: Warehouse) -> Iterator[duckdb.DuckDBPyConnection]:
    """The target, current and for writing, with the source attached."""
    with warehouse.connect(wide_rows=True) as connection:
        attach_source(connection, source)
        try:
            with explained_source(source):
                yield connection
        finally:
            connection.execute(f"DETACH {SOURCE}")


def _copy_all(source: str, warehouse: Warehouse, log: Log) -> int:
    with _both(source, warehouse) as connection:
        _refuse_what_is_there(connection, warehouse)
        for name in stored_names(connection, SOURCE):
            _copy_catalogue(connection, name)
        ensure_tables(connection)
        chunks = _chunks(connection, warehouse.transaction_rows)
    written = done = 0
    started = time.monotonic()
    for first, last, rows in chunks:
        with _both(source, warehouse) as connection:
            if _copy_chunk(connection, first, last):
                written += rows
        done += rows
        rate = done / max(time.monotonic() - started, 1e-6)
        log(f"{done} of {sum(rows for *_, rows in chunks)} tensors, {rate:.0f}/s")
    with _both(source, warehouse) as connection:
        made = {name for schema, name in _tables(connection, SOURCE) if schema == "main"}
        refresh(connection, *(name for name in TABLES if TABLES[name].is_view or name in made))
        for name in sorted(made - {"image_tensors"}):
            _copy_table(connection, "main", name)
    return written


def _refuse_what_is_there(connection: duckdb.DuckDBPyConnection, warehouse: Warehouse) -> None:
    tables = _tables(connection, warehouse.catalog)
    if ("main", _UNFINISHED) in tables:
        return
    for schema, name in tables:
        query = f'SELECT count(*) FROM {warehouse.catalog}."{schema}"."{name}"'  # noqa: S608
        if connection.execute(query).fetchall() != [(0,)]:
            raise CopyError(
                f"{warehouse.name} holds data already ({schema}.{name}), and not of an interrupted copy: "
                "name a new one."
            )
    connection.execute(f"CREATE TABLE {_UNFINISHED} (since TIMESTAMP WITH TIME ZONE)")


def _copy_catalogue(connection: duckdb.DuckDBPyConnection, source_dataset: str) -> None:
    """Copy dlt's tables, including its bookkeeping (`_dlt_loads`, `_dlt_version`)."""
    names = [name for schema, name in _tables(connection, SOURCE) if schema == source_dataset]
    if not names:
        return
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {source_dataset}")
    for name in names:
        _make_like_source(connection, source_dataset, name)
        _copy_table(connection, source_dataset, name)
    comment_on_catalogue(connection, source_dataset)


def _make_like_source(connection: duckdb.DuckDBPyConnection, schema: str, name: str) -> None:
    columns = connection.execute(
        """
        SELECT column_name, data_type, is_nullable FROM duckdb_columns()
        WHERE database_name = $source AND schema_name = $schema AND table_name = $name
        ORDER BY column_index
        """,
        {"source": SOURCE, "schema": schema, "name": name},
    ).fetchall()
    described = ", ".join(
        f'"{column}" {kind}{"" if nullable else " NOT NULL"}' for column, kind, nullable in columns
    )
    connection.execute(f'CREATE TABLE IF NOT EXISTS {schema}."{name}" ({described})')


def _copy_table(connection: duckdb.DuckDBPyConnection, schema: str, name: str) -> None:
    """Make a table of few bytes equal to that of the source, in one transaction."""
    if same(connection, schema, name):
        return
    connection.begin()
    connection.execute(f'DELETE FROM {schema}."{name}"')  # noqa: S608
    connection.execute(f'INSERT INTO {schema}."{name}" BY NAME FROM {SOURCE}.{schema}."{name}"')
    connection.commit()


def _chunks(connection: duckdb.DuckDBPyConnection, rows: int) -> list[tuple[str, str, int]]:
    """First id, last id and number of the tensors of each transaction, in order of ids."""
    found = connection.execute(
        f"""
        SELECT min(image_id), max(image_id), count(*) FROM (
            SELECT image_id, (row_number() OVER (ORDER BY image_id) - 1) // $rows AS chunk
            FROM {SOURCE}.main.image_tensors
        )
        GROUP BY chunk ORDER BY chunk
        """,  # noqa: S608
        {"rows": rows},
    ).fetchall()
    # What does not fill a transaction goes first: DuckDB takes it over as it is only then.
    return found[-1:] + found[:-1]


def _copy_chunk(connection: duckdb.DuckDBPyConnection, first: str, last: str) -> bool:
    """Make a stretch of tensors equal to that of the source; whether anything was to be done."""
    if same(connection, "main", "image_tensors", (first, last)):
        return False
    bounds = {"first": first, "last": last}
    connection.begin()
    connection.execute("DELETE FROM image_tensors WHERE image_id BETWEEN $first AND $last", bounds)
    connection.execute(
        f"""
        INSERT INTO image_tensors BY NAME
        FROM {SOURCE}.main.image_tensors WHERE image_id BETWEEN $first AND $last ORDER BY image_id
        """,
        bounds,
    )
    connection.commit()
    return True


def _verified(connection: duckdb.DuckDBPyConnection) -> dict[str, TableDigest]:
    """Count and digest of every table of the source, once they are those of the target."""
    tables: dict[str, TableDigest] = {}
    for schema, name in _tables(connection, SOURCE):
        expected = digest(connection, SOURCE, schema, name)
        found = digest(connection, None, schema, name)
        if found != expected:
            raise CopyError(
                f"{schema}.{name} has {found.rows} rows and digest {found.digest[:12]}, its source "
                f"{expected.rows} and {expected.digest[:12]}. Run the copy again; it goes on where it was."
            )
        tables[f"{schema}.{name}"] = found
    return tables


def _tables(connection: duckdb.DuckDBPyConnection, database: str) -> list[tuple[str, str]]:
    """Return schema and name of the tables that are copied: all but what belongs to one place alone."""
    schemas = ["main", *stored_names(connection, SOURCE)]
    rows = connection.execute(
        """
        SELECT schema_name, table_name FROM duckdb_tables()
        WHERE database_name = $database AND list_contains($schemas, schema_name)
        ORDER BY ALL
        """,
        {"database": database, "schemas": schemas},
    ).fetchall()
    return [
        (schema, name)
        for schema, name in rows
        if name not in _OF_ONE_PLACE and (name != _UNFINISHED or database != SOURCE)
    ]


def _release(
    connection: duckdb.DuckDBPyConnection, warehouse: Warehouse, final: Path | None
) -> None:
    """Let people open it."""
    connection.execute(f"DROP TABLE IF EXISTS {_UNFINISHED}")
    if final is not None:
        if catalog_name(final) == ALIAS_SCHEMA:
            connection.execute(f"DROP SCHEMA IF EXISTS {ALIAS_SCHEMA} CASCADE")
        connection.execute("CHECKPOINT")
    elif isinstance(warehouse, MotherDuckWarehouse):
        warehouse.clone(connection)
    else:
        newest = "SELECT snapshot_id FROM snapshots ORDER BY published_at DESC LIMIT 1"
        found = connection.execute(newest).fetchone()
        if found is not None:
            publish_current_version(connection, str(found[0]))
