"""Count and digest the rows of a table; equal rows in any order give an equal digest."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import duckdb

from anomaly_assets.warehouse.copying.source import SOURCE, copied_rows


@dataclass(frozen=True)
class TableDigest:
    """Row count and digest of a table.

    Attributes:
        rows: Number of rows.
        digest: MD5 over the sorted MD5s of the rows, including complete blobs.
    """

    rows: int
    digest: str


def digest(
    connection: duckdb.DuckDBPyConnection,
    database: str | None,
    schema: str,
    name: str,
    image_ids: tuple[str, str] | None = None,
    recipes: Collection[str] | None = None,
) -> TableDigest:
    """Return row count and digest of a table, or of a range of its rows, in the columns of the source.

    A table of the source that an earlier release made can lack columns, which are null in its copy.

    Args:
        connection: A DuckDB instance with the database attached.
        database: Name under which the database is attached; None for the current one.
        schema: Schema of the table.
        name: Name of the table; a missing table has no rows.
        image_ids: First and last id of the range.
        recipes: Further recipes whose rows count; None for all.
    """
    # A source of an earlier release may lack columns; they are null in the copy.
    columns = connection.execute(
        """
        SELECT column_name, data_type FROM duckdb_columns()
        WHERE database_name = coalesce($database, current_database())
        AND schema_name = $schema AND table_name = $name
        AND column_name IN (
            SELECT column_name FROM duckdb_columns()
            WHERE database_name = $source AND schema_name = $schema AND table_name = $name
        )
        ORDER BY column_name
        """,
        {"database": database, "source": SOURCE, "schema": schema, "name": name},
    ).fetchall()
    if not columns:
        return TableDigest(0, "")
    texts = ", ".join(_text(column, kind) for column, kind in columns)
    source = "" if database is None else f"{database}."
    where = f"WHERE {copied_rows(name, recipes)}"
    where += "" if image_ids is None else " AND image_id BETWEEN ? AND ?"
    found = connection.execute(
        f"""
        SELECT count(*), coalesce(md5(string_agg(row_digest, '' ORDER BY row_digest)), '')
        FROM (
            SELECT md5(concat_ws(chr(10), {texts})) AS row_digest
            FROM {source}{schema}."{name}" {where}
        )
        """,  # noqa: S608
        list(image_ids or ()),
    ).fetchall()
    return TableDigest(*found[0])


def same(
    connection: duckdb.DuckDBPyConnection,
    schema: str,
    name: str,
    image_ids: tuple[str, str] | None = None,
    recipes: Collection[str] | None = None,
) -> bool:
    """Return whether a table, or a range of its rows, equals that of the source."""
    wanted = digest(connection, SOURCE, schema, name, image_ids, recipes)
    return digest(connection, None, schema, name, image_ids) == wanted


def _text(column: str, kind: str) -> str:
    value = f'md5("{column}")' if kind == "BLOB" else f'"{column}"::VARCHAR'
    if kind.startswith("TIMESTAMP"):  # published files have no time zones
        value = f'epoch_us("{column}")::VARCHAR'
    return f"coalesce({value}, chr(0))"
