"""Move a database from one kind of place to another: file, lake, MotherDuck.

The published data of the source is copied. Tensors are copied in chunks of one transaction each. Each
chunk and table is first compared with the target, so an interrupted copy continues where it stopped and
never duplicates a row. At the end every table is compared by row count and digest, pixels included.
Until then readers cannot open the target: a file has a temporary name, and a lake has published
nothing. A target that is complete, or that a run has written to since, is refused.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import duckdb

from anomaly_assets.atomic import TargetError, resolved
from anomaly_assets.errors import WarehouseError
from anomaly_assets.locations import LakeLocation, MotherDuckLocation, is_file, parse_location
from anomaly_assets.recipes import parse_recipe
from anomaly_assets.tables.ddl import comment_on_catalogue, ensure_tables, refresh, row_counts
from anomaly_assets.tables.identity import IDENTITY, is_warehouse
from anomaly_assets.tables.recipes import existing_recipes, listed_recipes
from anomaly_assets.tables.registry import TABLES, WIDE
from anomaly_assets.tables.source_datasets import stored_names
from anomaly_assets.tables.sql_text import column_names, table_exists
from anomaly_assets.warehouse.base import Log, Warehouse
from anomaly_assets.warehouse.content import content_id, evaluation_id
from anomaly_assets.warehouse.copying.destination import (
    CopyError,
    begin,
    copied_tables,
    discard_surplus,
    put_in_place,
    refuse_existing_file,
    release,
    verified,
)
from anomaly_assets.warehouse.copying.digests import TableDigest, same
from anomaly_assets.warehouse.copying.source import (
    SOURCE,
    attach_source,
    copied_rows,
    explained_source,
)
from anomaly_assets.warehouse.file.duckdb_settings import rows_at_once
from anomaly_assets.warehouse.file.names import refuse_ambiguous_name
from anomaly_assets.warehouse.open import open_warehouse
from anomaly_assets.warehouse.provenance import published_evaluation


@dataclass(frozen=True)
class Copy:
    """Result of a copy.

    Attributes:
        tables: Table, as `schema.name`, to the count and the digest of its rows.
        tensors_written: Tensors written by this call; those of an earlier attempt are not counted.
        seconds: Duration.
        snapshot_id: Id of the content of the copy, if recipes were left out; else None: that of the source.
    """

    tables: dict[str, TableDigest]
    tensors_written: int
    seconds: float
    snapshot_id: str | None = None


def copy_database(
    source: str,
    target: str,
    *,
    lake_data: str | None = None,
    wait_seconds: float = 60.0,
    log: Log = print,
    recipes: Sequence[str] | None = None,
) -> Copy:
    """Copy the published data of one location to another one, and compare both.

    Args:
        source: Location of a published file, a file warehouse, a lake, or a MotherDuck database.
        target: Location of a new database, or of one that an interrupted copy has begun.
        lake_data: Folder or s3:// prefix for the files of a new lake.
        wait_seconds: Maximum time to wait for a run that holds the target.
        log: Called with progress messages.
        recipes: Further recipes to copy, by name; None for all. The common one is always copied.

    Raises:
        CopyError: The target holds other data, or differs from the source after the copy.
        LookupError: Nothing is published at the source, or a recipe does not exist there.
        LocationError: A location is malformed.
        WarehouseError: The source or the target cannot be opened.
    """
    started = time.monotonic()
    with closing(duckdb.connect(":memory:")) as connection:
        attach_source(connection, source)  # fail before anything is created
        chosen = _chosen_recipes(connection, source, recipes)
        is_published = _is_published(connection, source)
    final = parse_location(target)
    if isinstance(final, Path):
        try:
            final = resolved(final)
        except TargetError as error:
            raise CopyError(str(error)) from None
        refuse_ambiguous_name(final)
        refuse_existing_file(final)
        # A fixed name, so that the next attempt finds the unfinished file and continues it.
        unfinished = final.with_name(f"{final.name}.unfinished")
        warehouse = open_warehouse(unfinished, wait_seconds, log)
    else:
        warehouse = open_warehouse(target, wait_seconds, log, lake_data=lake_data)
    with _target_named(final), warehouse.finishing():
        if isinstance(final, Path):
            refuse_existing_file(final)  # another copy may have finished while we waited
        written = _copy_all(source, warehouse, log, chosen)
        with _both(source, warehouse) as connection:
            tables = verified(connection, chosen)
            snapshot_id = None if chosen is None else _identified(connection)
            into = final if isinstance(final, Path) else None
            release(connection, warehouse, into, is_published=is_published)
    if isinstance(final, Path):
        put_in_place(unfinished, final)
    return Copy(tables, written, time.monotonic() - started, snapshot_id)


@contextmanager
def _target_named(target: Path | LakeLocation | MotherDuckLocation) -> Iterator[None]:
    """Name the target of the copy where a run would name the variables of its warehouse.

    Raises:
        CopyError: The target cannot be written.
    """
    try:
        yield
    except WarehouseError as error:
        if not isinstance(cause := error.__cause__, OSError):
            raise
        shown = target if isinstance(target, Path) else target.name  # without a password
        raise CopyError(
            f"{shown} cannot be written: {cause.strerror or cause}. Free some space if the disk is full, "
            "or name another target (--to)."
        ) from cause


def _is_published(connection: duckdb.DuckDBPyConnection, source: str) -> bool:
    """Return whether the content of the source is its newest publication.

    False for a warehouse of the first release: its ids do not include all of its content.

    Raises:
        CopyError: The source is a warehouse whose content is not its newest publication, for instance after
            a killed run. The copy would have the id of that publication, and other samples.
    """
    if not is_file(source):
        return True
    connection.execute(f"USE {SOURCE}.main")
    if not is_warehouse(connection):
        return True
    if not table_exists(connection, "main", IDENTITY):
        return False
    newest = "SELECT snapshot_id FROM snapshots ORDER BY published_at DESC LIMIT 1"
    found = connection.execute(newest).fetchone()
    results = published_evaluation(connection, "snapshots")
    try:
        is_published = found is not None and found[0] == content_id(connection)
        is_published &= results == evaluation_id(connection)
    except duckdb.CatalogException:  # an earlier release wrote it, and it lacks a table
        is_published = False
    if not is_published:
        raise CopyError(
            f"{source} is a warehouse with changes that are not published. Run `make materialize` first, "
            "or copy the published database."
        )
    return True


@contextmanager
def _both(source: str, warehouse: Warehouse) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the target for writing, with the source attached."""
    with warehouse.connect(wide_rows=True) as connection:
        attach_source(connection, source)
        try:
            with explained_source(source):
                yield connection
        except BaseException:
            with suppress(duckdb.Error):  # no open transaction: do not hide the first error
                connection.rollback()
            with suppress(duckdb.Error):
                connection.execute(f"DETACH {SOURCE}")
            raise
        connection.execute(f"DETACH {SOURCE}")


def _chosen_recipes(
    connection: duckdb.DuckDBPyConnection, source: str, wanted: Sequence[str] | None
) -> list[str] | None:
    """Return the names of the further recipes to copy; None if that is all of them.

    Raises:
        LookupError: The source has no such recipe.
        ValueError: A text is not a recipe.
    """
    if wanted is None:
        return None
    connection.execute(f"USE {SOURCE}.main")
    existing = existing_recipes(connection)
    names = {parse_recipe(text).name for text in wanted}
    if missing := sorted(names - {name for of in existing.values() for name in of}):
        raise LookupError(
            f"{source} has no recipe {', '.join(missing)}. Existing recipes: {listed_recipes(existing)}."
        )
    further = {name for of in existing.values() for name in of[1:]}
    return None if further <= names else sorted(further & names)


def _identified(connection: duckdb.DuckDBPyConnection) -> str:
    """Give the newest snapshot of a copy that lacks recipes the id of its content, and return it."""
    snapshot_id = content_id(connection)
    counts = row_counts(connection, [name for name in TABLES if name != "snapshots"])
    connection.execute(
        """
        UPDATE snapshots SET
            snapshot_id = $snapshot_id,
            row_counts = map($tables, $rows),
            evaluation_id = $evaluation_id
        WHERE published_at = (SELECT max(published_at) FROM snapshots)
        """,
        {
            "snapshot_id": snapshot_id,
            "tables": [*counts],
            "rows": [*counts.values()],
            "evaluation_id": evaluation_id(connection),
        },
    )
    return snapshot_id


def _copy_all(source: str, warehouse: Warehouse, log: Log, recipes: Collection[str] | None) -> int:
    with _both(source, warehouse) as connection:
        begin(connection, warehouse, recipes)
        discard_surplus(connection, recipes)
        for name in stored_names(connection, SOURCE):
            _copy_catalogue(connection, name)
        ensure_tables(connection)
        chunks = [
            chunk for table in WIDE for chunk in _chunks(connection, warehouse, table, recipes)
        ]
    written = done = 0
    started = time.monotonic()
    for table, first, last, rows in chunks:
        with _both(source, warehouse) as connection:
            if _copy_chunk(connection, table, first, last, recipes):
                written += rows
        done += rows
        rate = done / max(time.monotonic() - started, 1e-6)
        log(f"{done} of {sum(rows for *_, rows in chunks)} tensors, {rate:.0f}/s")
    with _both(source, warehouse) as connection:
        made = {name for schema, name in copied_tables(connection, SOURCE) if schema == "main"}
        refresh(connection, *(name for name in TABLES if TABLES[name].is_view or name in made))
        for name in sorted(made - {*WIDE}):
            _copy_table(connection, "main", name, recipes)
    return written


def _copy_catalogue(connection: duckdb.DuckDBPyConnection, source_dataset: str) -> None:
    """Copy dlt's tables, including its bookkeeping (`_dlt_loads`, `_dlt_version`)."""
    names = [name for schema, name in copied_tables(connection, SOURCE) if schema == source_dataset]
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
    # dlt makes every time with a time zone; a published file has none.
    described = ", ".join(
        f'"{column}" {"TIMESTAMPTZ" if kind == "TIMESTAMP" else kind}'
        f"{'' if nullable else ' NOT NULL'}"
        for column, kind, nullable in columns
    )
    connection.execute(f'CREATE TABLE IF NOT EXISTS {schema}."{name}" ({described})')


def _copy_table(
    connection: duckdb.DuckDBPyConnection,
    schema: str,
    name: str,
    recipes: Collection[str] | None = None,
) -> None:
    """Copy a small table in one transaction, unless it already equals that of the source."""
    if same(connection, schema, name, recipes=recipes):
        return
    connection.begin()
    connection.execute(f'DELETE FROM {schema}."{name}"')  # noqa: S608
    connection.execute(
        f'INSERT INTO {schema}."{name}" BY NAME FROM {SOURCE}.{schema}."{name}" '
        f"WHERE {copied_rows(name, recipes)}"
    )
    connection.commit()


def _chunks(
    connection: duckdb.DuckDBPyConnection,
    warehouse: Warehouse,
    table: str,
    recipes: Collection[str] | None = None,
) -> list[tuple[str, str, str, int]]:
    """Return table, first id, last id and number of the tensors of each transaction, ordered by id."""
    if column_names(connection, f"{SOURCE}.main.{table}") is None:
        return []
    [(tensor_bytes, per_image)] = connection.execute(
        f"""
        SELECT coalesce(max(bytes), 1), coalesce(max(tensors), 1) FROM (
            SELECT max(height * width * channels) AS bytes, count(*) AS tensors
            FROM {SOURCE}.main.{table} WHERE {copied_rows(table, recipes)} GROUP BY image_id
        )
        """  # noqa: S608
    ).fetchall()
    rows = min(rows_at_once(tensor_bytes), warehouse.transaction_rows)
    found = connection.execute(
        f"""
        SELECT '{table}', min(image_id), max(image_id), sum(tensors)::BIGINT FROM (
            SELECT image_id, count(*) AS tensors,
                (row_number() OVER (ORDER BY image_id) - 1) // $images AS chunk
            FROM {SOURCE}.main.{table} WHERE {copied_rows(table, recipes)} GROUP BY image_id
        )
        GROUP BY chunk ORDER BY chunk
        """,  # noqa: S608
        {"images": max(1, rows // per_image)},
    ).fetchall()
    # The incomplete chunk goes first: DuckDB stores its rows without a copy only while the table is
    # empty. Full row groups are never copied.
    return found[-1:] + found[:-1]


def _copy_chunk(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    first: str,
    last: str,
    recipes: Collection[str] | None,
) -> bool:
    """Copy the tensors of a range of ids; return False if they already equal those of the source."""
    if same(connection, "main", table, (first, last), recipes):
        return False
    bounds = {"first": first, "last": last}
    connection.begin()
    connection.execute(f"DELETE FROM {table} WHERE image_id BETWEEN $first AND $last", bounds)  # noqa: S608
    connection.execute(
        f"""
        INSERT INTO {table} BY NAME
        FROM {SOURCE}.main.{table}
        WHERE image_id BETWEEN $first AND $last AND {copied_rows(table, recipes)} ORDER BY image_id
        """,
        bounds,
    )
    connection.commit()
    return True
