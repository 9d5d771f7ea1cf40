"""Attach the source of a copy read-only, beside the database that is written."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from anomaly_assets.errors import WarehouseError
from anomaly_assets.locations import LakeLocation, LocationError, parse_location
from anomaly_assets.tables.registry import EVALUATION
from anomaly_assets.tables.sql_text import sql_literal
from anomaly_assets.warehouse.lake.connect import attach_published, prepare_for_lakes
from anomaly_assets.warehouse.lake.explained import explained_lake

SOURCE = "source"
"""Name under which the source is attached."""


def copied_rows(table: str, recipes: Collection[str] | None) -> str:
    """Return a condition: the rows of a table of the source that are copied.

    Args:
        table: Name of the table.
        recipes: Further recipes that are copied; None for all. The common one is always copied.
    """
    if recipes is None or table not in ("recipe_tensors", "recipes", *EVALUATION):
        return "true"
    if table in EVALUATION:
        kept = f"SELECT recipe FROM {SOURCE}.main.recipes WHERE {copied_rows('recipes', recipes)}"  # noqa: S608
        return f"recipe IN ({kept})"
    named = f"recipe IN (NULL, {', '.join(map(sql_literal, recipes))})" if recipes else "false"
    return (
        f"coalesce({named}, false)"
        if table == "recipe_tensors"
        else f"(is_common OR coalesce({named}, false))"
    )


def attach_source(connection: duckdb.DuckDBPyConnection, location: str) -> None:
    """Attach a file, or the published data of a lake, read-only.

    Raises:
        LocationError: The location is malformed, or is in MotherDuck.
        LookupError: Nothing is published there.
        WarehouseError: The source cannot be opened, or is not a database of this project.
    """
    _attach(connection, location)
    found = connection.execute(
        "SELECT table_name FROM duckdb_tables() WHERE database_name = ? AND schema_name = 'main'",
        [SOURCE],
    ).fetchall()
    if not {("image_tensors",), ("snapshots",)} <= {*found}:
        connection.execute(f"DETACH {SOURCE}")
        raise WarehouseError(
            f"{_shown(location)} is not a database of this project: it has no tables image_tensors and "
            "snapshots. Name a published database, a warehouse or a lake."
        )


def _shown(location: str) -> str:
    parsed = parse_location(location)
    return str(parsed) if isinstance(parsed, Path) else parsed.name


def _attach(connection: duckdb.DuckDBPyConnection, location: str) -> None:
    parsed = parse_location(location)
    if isinstance(parsed, LakeLocation):
        prepare_for_lakes(connection)
        attach_published(connection, parsed, SOURCE)
        return
    if not isinstance(parsed, Path):
        raise LocationError(
            f"{parsed.name}: copying from MotherDuck is not supported. In a DuckDB instance that is "
            f"logged in, COPY FROM DATABASE {parsed.database} TO … makes a file."
        )
    if not parsed.exists():
        raise WarehouseError(f"{parsed} does not exist.")
    try:
        path = sql_literal(str(parsed.absolute()))
        connection.execute(f"ATTACH {path} AS {SOURCE} (READ_ONLY)")
    except duckdb.Error as error:
        raise WarehouseError(f"{parsed} cannot be opened: {str(error).splitlines()[0]}") from None


@contextmanager
def explained_source(location: str) -> Iterator[None]:
    """Replace DuckDB's errors about the files of a lake with a WarehouseError.

    Raises:
        WarehouseError: A data file is missing, damaged or cannot be fetched.
    """
    parsed = parse_location(location)
    if not isinstance(parsed, LakeLocation):
        yield
        return
    with explained_lake(parsed.name):
        yield
