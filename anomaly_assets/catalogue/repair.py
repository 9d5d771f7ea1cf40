"""What killed loads left in the history: rows that nothing counts, and counts of rows that never came.

dlt merges the rows of a table in one transaction and appends their count in another, in no certain order;
a kill may come between the two.
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
    """Make the counts of killed loads those of what they did, before another load changes their rows.

    Rows that nothing counts are counted, as inserted: which of them had other content before is not
    known. Counts of rows that never came are deleted. Those of a load that was only to delete rows stay,
    because nothing tells whether it did. Writes nothing where there is nothing to settle.
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
