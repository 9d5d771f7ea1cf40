"""SQL helpers shared by several modules."""

from __future__ import annotations

import duckdb


def sql_literal(text: str) -> str:
    """Quote a text as a SQL string literal; for statements that take no bound parameters."""
    return "'" + text.replace("'", "''") + "'"


def table_exists(connection: duckdb.DuckDBPyConnection, schema: str, table: str) -> bool:
    """Return True if the current database has this table."""
    query = (
        "SELECT count(*) FROM duckdb_tables() "
        "WHERE database_name = current_database() AND schema_name = ? AND table_name = ?"
    )
    found = connection.execute(query, [schema, table]).fetchone()
    return bool(found and found[0])
