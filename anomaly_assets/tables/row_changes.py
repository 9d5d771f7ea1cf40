"""Count the changes of a refresh to the rows of a table: added, changed, removed, unchanged."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import duckdb

from anomaly_assets.tables.registry import TABLES


@dataclass(frozen=True)
class RowChanges:
    """Numbers of rows that were added, changed, removed or left unchanged."""

    added: int = 0
    changed: int = 0
    removed: int = 0
    unchanged: int = 0

    @property
    def any(self) -> bool:
        """Return True if a row was added, changed or removed."""
        return bool(self.added or self.changed or self.removed)


Rows = Mapping[Hashable, Any]
"""Map of the key of a row to its other values."""


def keyed_rows(connection: duckdb.DuckDBPyConnection, name: str) -> Rows:
    """Return the rows of a table that has a key in the registry; empty if it does not exist."""
    try:
        rows = connection.execute("FROM query_table($name)", {"name": name}).fetchall()
    except duckdb.CatalogException:
        return {}
    width = TABLES[name].key
    return {row[:width]: row[width:] for row in rows}


def compare(before: Rows, after: Rows) -> RowChanges:
    """Compare two states of a table."""
    both = before.keys() & after.keys()
    unchanged = sum(before[key] == after[key] for key in both)
    return RowChanges(
        added=len(after) - len(both),
        changed=len(both) - unchanged,
        removed=len(before) - len(both),
        unchanged=unchanged,
    )
