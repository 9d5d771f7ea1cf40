"""Read and replace the results of a category in the warehouse, in one transaction each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import duckdb
import pyarrow as pa

from anomaly_assets.evaluation.inputs import Key
from anomaly_assets.tables.registry import EVALUATION

_OF_KEY = "source_dataset = ? AND category = ? AND recipe = ?"


def stored_inputs(connection: duckdb.DuckDBPyConnection) -> dict[Key, str]:
    """Return the digest of what each stored result was computed from."""
    rows = connection.execute("SELECT source_dataset, category, recipe, inputs FROM evaluations")
    return {Key(*key): inputs for *key, inputs in rows.fetchall()}


def replace_results(
    connection: duckdb.DuckDBPyConnection, key: Key, tables: Mapping[str, pa.Table]
) -> None:
    """Replace all rows of a category and recipe; a table that is not given has none afterwards.

    Args:
        connection: The warehouse, after `ensure_tables`; no other connection writes these tables.
        key: Category and recipe.
        tables: Map of a table in `EVALUATION` to its new rows.
    """
    connection.begin()
    try:
        _delete(connection, [key])
        for name, rows in tables.items():
            connection.register("new_rows", rows)
            connection.execute(f"INSERT INTO {name} BY NAME FROM new_rows")
            connection.unregister("new_rows")
        connection.commit()
    except BaseException:
        connection.rollback()
        raise


def remove_results(connection: duckdb.DuckDBPyConnection, keys: Iterable[Key]) -> None:
    """Remove the results of categories and recipes that no longer exist, in one transaction."""
    connection.begin()
    _delete(connection, keys)
    connection.commit()


def _delete(connection: duckdb.DuckDBPyConnection, keys: Iterable[Key]) -> None:
    for key in keys:
        for table in EVALUATION:
            connection.execute(f"DELETE FROM {table} WHERE {_OF_KEY}", key)  # noqa: S608
