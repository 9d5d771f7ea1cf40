"""Build the state after a kill in the middle of a load, by undoing dlt's transactions one by one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from dlt.common.destination.exceptions import DestinationTerminalException
from dlt.destinations.sql_client import SqlClientBase

from anomaly_assets.tables.ddl import refresh
from anomaly_assets.warehouse.base import Warehouse

HISTORY = """
    SELECT source_dataset, rows_inserted, rows_updated, rows_deleted, stray_changes, status
    FROM load_history ORDER BY loaded_at
"""


def as_if_killed_before_the_counts(warehouse: Warehouse, source_dataset: str) -> None:
    """Undo the counts and the end of the newest load, but not its merge."""
    with warehouse.connect() as connection:
        load_id = _unfinish(connection, source_dataset)
        connection.execute(
            f"DELETE FROM {source_dataset}.load_changes WHERE _dlt_load_id = ?", [load_id]
        )


def as_if_killed_before_the_merges(warehouse: Warehouse, source_dataset: str) -> None:
    """Undo the merge and the end of the newest load, which only inserted, but not its counts."""
    with warehouse.connect() as connection:
        load_id = _unfinish(connection, source_dataset)
        for table in ("images", "stray_files"):
            connection.execute(
                f"DELETE FROM {source_dataset}.{table} WHERE _dlt_load_id = ?", [load_id]
            )


@contextmanager
def merges_broken_off_after_their_deletions() -> Iterator[None]:
    """End every merge after its first statement, which deletes rows that are no longer listed."""
    execute_many = SqlClientBase.execute_many

    def execute_first(client: SqlClientBase[Any], statements: Sequence[str], *values: Any) -> Any:
        if not any(statement.startswith("MERGE") for statement in statements):
            return execute_many(client, statements, *values)
        execute_many(client, statements[:1], *values)
        raise DestinationTerminalException("the merge is broken off")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SqlClientBase, "execute_many", execute_first)
        yield


def history(warehouse: Warehouse) -> list[tuple[Any, ...]]:
    """Return the rows of `load_history`, the oldest first."""
    with warehouse.connect() as connection:
        refresh(connection, "load_history")
        return connection.execute(HISTORY).fetchall()


def _unfinish(connection: Any, source_dataset: str) -> str:
    [(load_id,)] = connection.execute(
        f"SELECT max(load_id) FROM {source_dataset}._dlt_loads"
    ).fetchall()
    connection.execute(f"DELETE FROM {source_dataset}._dlt_loads WHERE load_id = ?", [load_id])
    return str(load_id)
