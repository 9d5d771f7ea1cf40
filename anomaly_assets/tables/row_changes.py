"""Count the changes of a refresh to the rows of a table: added, changed, removed, unchanged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import duckdb

from anomaly_assets.tables.registry import TABLES

if TYPE_CHECKING:
    import numpy.typing as npt


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


@dataclass(frozen=True)
class Rows:
    """Hashes of the rows of a table, 16 bytes a row; DuckDB computes them.

    Attributes:
        keys: uint64, N: hash of the key of each row.
        contents: uint64, N: hash of the whole row.
    """

    keys: npt.ArrayLike = ()
    contents: npt.ArrayLike = ()


def hashed_rows(connection: duckdb.DuckDBPyConnection, query: str, key: str) -> Rows:
    """Return the hashes of the rows of a query.

    Args:
        connection: A warehouse or a published database.
        query: The rows to compare, without a semicolon.
        key: Columns that identify a row, separated by commas.
    """
    found = connection.execute(
        f"SELECT hash({key}) AS key, hash(compared) AS content FROM ({query}) AS compared"  # noqa: S608
    ).fetchnumpy()
    return Rows(found["key"], found["content"])


def keyed_rows(connection: duckdb.DuckDBPyConnection, name: str) -> Rows:
    """Return the rows of a table that has a key in the registry; none if it does not exist."""
    key = ", ".join(TABLES[name].column_names[: TABLES[name].key])
    try:
        return hashed_rows(connection, f"FROM {name}", key)
    except duckdb.CatalogException:
        return Rows()


def compare(before: Rows, after: Rows) -> RowChanges:
    """Compare two states of a table."""
    import numpy as np  # which the definitions do not need

    (old, old_contents), (new, new_contents) = (
        (np.asarray(rows.keys, np.uint64), np.asarray(rows.contents, np.uint64))
        for rows in (before, after)
    )
    both, of_old, of_new = np.intersect1d(old, new, return_indices=True)
    unchanged = int((old_contents[of_old] == new_contents[of_new]).sum())
    return RowChanges(
        added=len(new) - len(both),
        changed=len(both) - unchanged,
        removed=len(old) - len(both),
        unchanged=unchanged,
    )
