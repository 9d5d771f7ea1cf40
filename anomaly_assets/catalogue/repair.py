"""Repair the load history after killed loads.

dlt merges the rows of a table in one transaction and appends their counts in another, in no fixed
order. A kill between the two leaves rows without a count, or a count without rows.
"""

from __future__ import annotations

import duckdb

from anomaly_assets.tables.sql_text import table_exists

_UNCOUNTED = """
FROM {source_dataset}.{table} AS carried
WHERE NOT EXISTS (
    FROM {source_dataset}.load_changes AS counted
    WHERE counted.table_name = '{table}' AND counted._dlt_load_id = carried._dlt_load_id
)
"""
_NEVER_CAME = """
FROM {source_dataset}.load_changes AS counted
WHERE table_name = '{table}'
AND rows_inserted + rows_updated > 0
AND _dlt_load_id > coalesce((SELECT max(load_id) FROM {source_dataset}._dlt_loads), '')
AND NOT EXISTS (
    FROM {source_dataset}.{table} AS carried WHERE carried._dlt_load_id = counted._dlt_load_id
)
"""


def settle_interrupted(connection: duckdb.DuckDBPyConnection, source_dataset: str) -> None:
    """Correct the counts of killed loads, before another load changes their rows.

    Rows without a count are counted as inserted, because their old content is unknown. Counts without
    rows are deleted. Counts of a load that only deletes rows are kept, because it cannot be seen
    whether the deletion happened. Nothing is written if there is nothing to correct.
    """
    for table in ("images", "stray_files"):
        names = {"source_dataset": source_dataset, "table": table}
        if not all(table_exists(connection, source_dataset, name) for name in _tables(table)):
            continue
        uncounted, never_came = _UNCOUNTED.format(**names), _NEVER_CAME.format(**names)
        if connection.execute(f"SELECT 1 {uncounted} LIMIT 1").fetchall():
            connection.execute(
                f"""
                INSERT INTO {source_dataset}.load_changes BY NAME
                SELECT '{table}' AS table_name, count(*) AS rows_inserted, 0 AS rows_updated,
                    0 AS rows_deleted, _dlt_load_id
                {uncounted}
                GROUP BY _dlt_load_id
                """
            )
        if connection.execute(f"SELECT 1 {never_came} LIMIT 1").fetchall():
            connection.execute(f"DELETE {never_came}")


def _tables(table: str) -> tuple[str, ...]:
    return (table, "load_changes", "_dlt_loads")
