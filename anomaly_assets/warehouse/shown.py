"""A few rows of a table for people to look at: without pixels, and no more than a page of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from anomaly_assets.datasets.names import shown
from anomaly_assets.warehouse.schema import statement


@dataclass(frozen=True)
class Shown:
    """Some rows.

    Attributes:
        columns: Names of the columns.
        rows: Their values.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]

    def first(self, limit: int) -> Shown:
        """The first of them."""
        return Shown(self.columns, self.rows[:limit])

    def markdown(self) -> str:
        """As a Markdown table."""
        lines = [" | ".join(self.columns), " | ".join("---" for _ in self.columns)]
        lines += [" | ".join(map(_cell, row)) for row in self.rows]
        return "\n".join(f"| {line} |" for line in lines)


def first_rows(connection: duckdb.DuckDBPyConnection, name: str, limit: int) -> Shown:
    """The first rows of a small table or view, as they are."""
    return _shown(
        connection, "FROM query_table($name) LIMIT $limit", {"name": name, "limit": limit}
    )


def chosen_rows(
    connection: duckdb.DuckDBPyConnection, name: str, limit: int, **parameters: str
) -> Shown:
    """Rows that give an idea of a large table.

    Args:
        connection: The warehouse.
        name: Of the query `sql/shown/<name>.sql`.
        limit: How many rows at most.
        parameters: Further parameters of the query.
    """
    query = statement(connection, f"shown/{name}")
    return _shown(connection, query, {"limit": limit, **parameters})


def _shown(
    connection: duckdb.DuckDBPyConnection, query: str, parameters: dict[str, object]
) -> Shown:
    result = connection.execute(query, parameters)
    return Shown([column[0] for column in result.description or []], result.fetchall())


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return ", ".join(map(_cell, value))
    return "" if value is None else shown(value).replace("|", "\\|")
