"""Store the times of a published file without a time zone, so that DuckDB alone can read them.

The Python client of DuckDB 1.5 needs the package `pytz` to return a TIMESTAMP WITH TIME ZONE from
`fetchall()`, and does not declare it. A TIMESTAMP needs no package.
"""

from __future__ import annotations

import duckdb

from anomaly_assets.tables.sql_text import sql_literal


def store_plain_times(connection: duckdb.DuckDBPyConnection) -> None:
    """Change each stored TIMESTAMP WITH TIME ZONE of the current database to a TIMESTAMP in UTC.

    Only these columns are rewritten. Names, constraints, comments and row ids stay, and so do the blocks of
    the tensors.

    Args:
        connection: A published file that no reader has open yet. Its transaction has not inserted rows.
    """
    for schema, table, column in connection.execute(_WITH_TIME_ZONE).fetchall():
        # Not a cast: that would use the time zone of the session.
        connection.execute(
            f'ALTER TABLE "{schema}"."{table}" ALTER "{column}" SET DATA TYPE TIMESTAMP '
            f'USING make_timestamp(epoch_us("{column}"))'
        )
    for schema, view, comment in connection.execute(_VIEWS).fetchall():
        # A view keeps the types that its columns had when it was bound. DESCRIBE binds it again, and its
        # comment, which stays the same, stores it.
        name = f'"{schema}"."{view}"'
        connection.execute(f"DESCRIBE {name}")
        connection.execute(f"COMMENT ON VIEW {name} IS {sql_literal(comment or '')}")


_WITH_TIME_ZONE = """
SELECT schema_name, table_name, column_name
FROM duckdb_columns()
SEMI JOIN duckdb_tables() USING (database_oid, table_oid)
WHERE database_name = current_database() AND data_type = 'TIMESTAMP WITH TIME ZONE'
"""

_VIEWS = """
SELECT DISTINCT views.schema_name, views.view_name, views.comment
FROM duckdb_views() AS views
JOIN duckdb_columns() AS columns
    ON columns.table_oid = views.view_oid AND columns.database_oid = views.database_oid
WHERE views.database_name = current_database() AND columns.data_type = 'TIMESTAMP WITH TIME ZONE'
"""
