"""Provide SQL helpers for several modules."""

from __future__ import annotations

import duckdb

from anomaly_assets.datasets.attributes import NO_ATTRIBUTES


def sql_literal(text: str) -> str:
    """Quote a string as a SQL string literal; for statements that take no bound parameters."""
    return "'" + text.replace("'", "''") + "'"


def table_exists(connection: duckdb.DuckDBPyConnection, schema: str, table: str) -> bool:
    """Return True if the current database has this table or view."""
    found = connection.execute("SELECT current_database()").fetchone()
    database = found[0] if found else ""
    # With the database: two parts could also be the name of another database and its table.
    return column_names(connection, f'"{database}"."{schema}"."{table}"') is not None


def column_names(connection: duckdb.DuckDBPyConnection, table: str) -> set[str] | None:
    """Return the columns of a table or view; None if it does not exist.

    Uses no catalogue function such as `duckdb_columns()`: they list every table of every attached
    database, and take three to ten times as long.
    """
    try:
        found = connection.execute(f"FROM {table} LIMIT 0")
    except duckdb.CatalogException:
        return None
    return {column[0] for column in found.description or ()}


def attribute_names(connection: duckdb.DuckDBPyConnection, view: str) -> list[str]:
    """Return the names in the struct `attributes` of a view, sorted; none if it has no such struct."""
    found = connection.execute(f"FROM {view} LIMIT 0")
    kinds = {column[0]: column[1] for column in found.description or ()}
    kind = kinds.get("attributes")
    names = [name for name, _ in kind.children] if kind is not None and kind.id == "struct" else []
    return sorted({*names} - {*NO_ATTRIBUTES})
