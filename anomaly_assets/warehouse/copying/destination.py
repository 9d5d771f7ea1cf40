"""Check that a copy may write to its destination, check that it is complete, and release it.

The table `unfinished_copy` marks a destination that a copy has begun; only such a destination is
continued. The table is dropped when the copy is complete. The first run that writes to the destination
or publishes it drops the table as well, because the destination then has data that the source lacks.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from pathlib import Path

import duckdb

from anomaly_assets.atomic import put_new_file
from anomaly_assets.datasets.names import counted
from anomaly_assets.errors import AnomalyAssetsError
from anomaly_assets.tables.ddl import ALIAS_SCHEMA
from anomaly_assets.tables.identity import (
    COMPLETE_COPY,
    IDENTITY,
    INTENDED,
    OWNERS,
    PUBLISHED_FILES,
    UNFINISHED_COPY,
    mark_complete,
    take_over,
)
from anomaly_assets.tables.recipes import TENSOR_SHAPE
from anomaly_assets.tables.source_datasets import sample_counts, stored_names
from anomaly_assets.warehouse.base import Warehouse
from anomaly_assets.warehouse.copying.digests import TableDigest, digest, same
from anomaly_assets.warehouse.copying.source import SOURCE, copied_rows
from anomaly_assets.warehouse.file.names import catalog_name
from anomaly_assets.warehouse.file.snapshots import newest_snapshot
from anomaly_assets.warehouse.lake.connect import PUBLISHED_VERSIONS

_OF_ONE_PLACE = (
    PUBLISHED_VERSIONS,
    IDENTITY,
    OWNERS,
    PUBLISHED_FILES,
    INTENDED,
    TENSOR_SHAPE,
    UNFINISHED_COPY,
    COMPLETE_COPY,
)
"""Tables that are not copied, because they describe one warehouse and where it publishes."""


class CopyError(AnomalyAssetsError, RuntimeError):
    """A copy cannot be made, or does not equal its source; the message explains how to continue."""


def refuse_existing_file(final: Path) -> None:
    """Raise an error if the file exists.

    Raises:
        CopyError: The file exists; the message describes its content.
    """
    if not final.exists():
        return
    held = newest_snapshot(final)
    published = (
        f" and holds {counted(held.tensors, 'sample')}, published {_shown(held.published_at)}"
        if held
        else ""
    )
    raise CopyError(f"{final} exists{published}: name a new file, or delete it first.")


def begin(
    connection: duckdb.DuckDBPyConnection,
    warehouse: Warehouse,
    recipes: Collection[str] | None = None,
) -> None:
    """Mark the destination as being copied to, or continue a copy that an earlier attempt marked.

    A copy that was killed after completion and before its release is continued as well: it has no mark,
    and all its tables equal those of the source.

    Raises:
        CopyError: The destination is complete, or runs have written to it, or it holds other data.
    """
    published_at = _published_at(connection)
    if not published_at:
        if _is_marked(connection) or not _first_with_rows(connection, _tables(connection)):
            connection.execute(
                f"CREATE TABLE IF NOT EXISTS {UNFINISHED_COPY} (since TIMESTAMP WITH TIME ZONE)"
            )
            return
        if _is_complete(connection, recipes):
            return
    samples = sum(sample_counts(connection).values())
    state = f"published {_shown(published_at)}" if published_at else "not published"
    raise CopyError(
        f"{warehouse.name} already holds data ({counted(samples, 'sample')}, {state}), which a copy never "
        "replaces: name a new one, or delete this one first. If it is your warehouse, set "
        "ANOMALY_WAREHOUSE to it, and `make materialize` brings it up to date."
    )


def discard_surplus(
    connection: duckdb.DuckDBPyConnection, recipes: Collection[str] | None = None
) -> None:
    """Remove rows and tables that an earlier attempt copied and that the source no longer has."""
    theirs = copied_tables(connection, SOURCE)
    schemas = {schema for schema, _ in theirs}
    further = _further(connection)
    for schema in sorted({schema for schema, _ in further} - schemas):
        connection.execute(f'DROP SCHEMA "{schema}" CASCADE')
    for schema, name in further:
        if schema in schemas:
            connection.execute(f'DROP TABLE "{schema}"."{name}"')
    if ("main", "image_tensors") not in _tables(connection):
        return
    gone = f"image_id NOT IN (SELECT image_id FROM {SOURCE}.main.image_tensors)"  # noqa: S608
    # On a lake, even a DELETE of no rows would create a version.
    if connection.execute(f"SELECT 1 FROM image_tensors WHERE {gone} LIMIT 1").fetchall():  # noqa: S608
        connection.execute(f"DELETE FROM image_tensors WHERE {gone}")  # noqa: S608
    theirs_of_recipes = ("main", "recipe_tensors")
    if theirs_of_recipes not in _tables(connection) or theirs_of_recipes not in theirs:
        return
    kept = copied_rows("recipe_tensors", recipes)
    gone = f"NOT ({kept}) OR image_id NOT IN (SELECT image_id FROM {SOURCE}.main.recipe_tensors)"  # noqa: S608
    if connection.execute(f"SELECT 1 FROM recipe_tensors WHERE {gone} LIMIT 1").fetchall():  # noqa: S608
        connection.execute(f"DELETE FROM recipe_tensors WHERE {gone}")  # noqa: S608


def verified(
    connection: duckdb.DuckDBPyConnection, recipes: Collection[str] | None = None
) -> dict[str, TableDigest]:
    """Return row count and digest of every source table, after comparing them with the destination.

    Raises:
        CopyError: A table differs, or the destination has rows in additional tables.
    """
    tables: dict[str, TableDigest] = {}
    for schema, name in copied_tables(connection, SOURCE):
        expected = digest(connection, SOURCE, schema, name, recipes=recipes)
        found = digest(connection, None, schema, name)
        if found != expected:
            raise CopyError(
                f"{schema}.{name} has {counted(found.rows, 'row')} and digest {found.digest[:12]}, its "
                f"source {expected.rows} and {expected.digest[:12]}. Run the copy again; it continues "
                "there."
            )
        tables[f"{schema}.{name}"] = found
    if further := _first_with_rows(connection, _further(connection)):
        raise CopyError(
            f"{further} has rows, and its source has no such table. Run the copy again."
        )
    return tables


def copied_tables(connection: duckdb.DuckDBPyConnection, database: str) -> list[tuple[str, str]]:
    """Return schema and name of the tables of `main` and of the source datasets of the source."""
    schemas = {"main", *stored_names(connection, SOURCE)}
    return [each for each in _tables(connection, database) if each[0] in schemas]


def release(
    connection: duckdb.DuckDBPyConnection,
    warehouse: Warehouse,
    final: Path | None,
    *,
    is_published: bool,
) -> None:
    """Make a complete copy available to readers; a file must then be closed and renamed.

    A file is a warehouse, of which readers give no snapshot id. A mark makes them give the id of published
    content until the first run writes to the file.
    """
    take_over(connection)
    if final is not None:
        if is_published:
            mark_complete(connection)
        if catalog_name(final) == ALIAS_SCHEMA:
            connection.execute(f"DROP SCHEMA IF EXISTS {ALIAS_SCHEMA} CASCADE")
    warehouse.release_copy(connection)


def put_in_place(unfinished: Path, final: Path) -> None:
    """Rename a complete file to its final name, unless another file was created there meanwhile.

    Raises:
        CopyError: A file was created there; the copy keeps its temporary name.
    """
    try:
        # A write-ahead log without its database is useless, and DuckDB would replay it into the new
        # file.
        put_new_file(unfinished, final, stale=[final.with_name(f"{final.name}.wal")])
    except FileExistsError:
        raise CopyError(
            f"{final} was created by another process meanwhile, and is unchanged. The copy is complete. "
            f"Its name is {unfinished}: rename it."
        ) from None
    for name in ("lock", "holder"):
        Path(f"{unfinished}.{name}").unlink(missing_ok=True)


def _tables(
    connection: duckdb.DuckDBPyConnection, database: str | None = None
) -> list[tuple[str, str]]:
    """Return schema and name of all tables of a database, without those in `_OF_ONE_PLACE`."""
    rows = connection.execute(
        """
        SELECT schema_name, table_name FROM duckdb_tables()
        WHERE database_name = coalesce($database, current_database())
        AND NOT (schema_name = 'main' AND list_contains($others, table_name))
        ORDER BY ALL
        """,
        {"database": database, "others": [*_OF_ONE_PLACE]},
    ).fetchall()
    return [(schema, name) for schema, name in rows]


def _further(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, str]]:
    """Return the tables of source datasets that exist only in the destination."""
    theirs = copied_tables(connection, SOURCE)
    return [each for each in _tables(connection) if each[0] != "main" and each not in theirs]


def _first_with_rows(
    connection: duckdb.DuckDBPyConnection, tables: list[tuple[str, str]]
) -> str | None:
    for schema, name in tables:
        query = f'SELECT 1 FROM "{schema}"."{name}" LIMIT 1'  # noqa: S608
        if connection.execute(query).fetchall():
            return f"{schema}.{name}"
    return None


def _is_marked(connection: duckdb.DuckDBPyConnection) -> bool:
    try:
        connection.execute(f"FROM {UNFINISHED_COPY}")
    except duckdb.CatalogException:
        return False
    return True


def _published_at(connection: duckdb.DuckDBPyConnection) -> datetime | None:
    """Return the time of the newest publication of a lake; None for an unfinished copy."""
    try:
        rows = connection.execute(
            f"SELECT max(published_at) AT TIME ZONE 'UTC' FROM {PUBLISHED_VERSIONS}"  # noqa: S608
        ).fetchall()
    except duckdb.CatalogException:
        return None
    found: datetime | None = rows[0][0]
    return found


def _is_complete(connection: duckdb.DuckDBPyConnection, recipes: Collection[str] | None) -> bool:
    """Return whether the destination equals the source and has no rows in other tables."""
    theirs = copied_tables(connection, SOURCE)
    # A source of the first release has no `source_datasets`; the destination gets this table.
    known = {*theirs, ("main", "source_datasets")}
    further = [each for each in _tables(connection) if each not in known]
    return not _first_with_rows(connection, further) and all(
        same(connection, *each, recipes=recipes)
        for each in theirs
        if recipes is None or each != ("main", "snapshots")  # the copy has another id
    )


def _shown(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
