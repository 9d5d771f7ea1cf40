"""Preview a table: a few rows without pixels, at most one page.

The text stays small, because Dagster stores it: cells and lists are cut, and further rows are only counted.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import duckdb

from anomaly_assets.datasets.names import shown
from anomaly_assets.tables.ddl import statement

MOST_CELL_CHARACTERS = 200
MOST_TABLE_CHARACTERS = 12_000
"""Limit for all cells of a table, encoded as JSON as Dagster stores them."""

_MOST_LISTED = 5


@dataclass(frozen=True)
class Shown:
    """Rows of a preview.

    Attributes:
        columns: Names of the columns.
        rows: Their values.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]

    def first(self, limit: int) -> Shown:
        """Return the first rows."""
        return Shown(self.columns, self.rows[:limit])

    def markdown(self, most: int = MOST_CELL_CHARACTERS) -> str:
        """Return the rows as a Markdown table, with at most this many characters in a cell."""
        lines = [" | ".join(self.columns), " | ".join("---" for _ in self.columns)]
        rows = fitting([[_escaped(as_cell(value, most)) for value in row] for row in self.rows])
        lines += [" | ".join(row) for row in rows]
        return "\n".join(f"| {line} |" for line in lines)


def first_rows(connection: duckdb.DuckDBPyConnection, name: str, limit: int) -> Shown:
    """Return the first rows of a small table or view."""
    return _shown(
        connection, "FROM query_table($name) LIMIT $limit", {"name": name, "limit": limit}
    )


def chosen_rows(
    connection: duckdb.DuckDBPyConnection, name: str, limit: int, **parameters: str
) -> Shown:
    """Return typical rows of a large table.

    Args:
        connection: The warehouse.
        name: Name of the query `sql/shown/<name>.sql`.
        limit: Largest number of rows.
        parameters: Further parameters of the query.
    """
    query = statement(connection, f"shown/{name}")
    return _shown(connection, query, {"limit": limit, **parameters})


def _shown(
    connection: duckdb.DuckDBPyConnection, query: str, parameters: dict[str, object]
) -> Shown:
    result = connection.execute(query, parameters)
    return Shown([column[0] for column in result.description or []], result.fetchall())


def as_cell(value: object, most: int = MOST_CELL_CHARACTERS) -> str:
    """Return a value as text of at most this many characters; unusual ones are escaped."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        # Shorten each item, so that the count of further items is never cut off.
        more = f" and {len(value) - _MOST_LISTED:,} more" if len(value) > _MOST_LISTED else ""
        items = ", ".join(_cut(as_cell(item), 60) for item in value[:_MOST_LISTED])
        return _cut(items, most - len(more)) + more
    if value is None:
        return ""
    # Cut before escaping too: a string can have megabytes.
    return _cut(shown(str(value)[: most + 1]), most)


def fitting(rows: Iterable[list[str]]) -> list[list[str]]:
    """Return the rows that fit into `MOST_TABLE_CHARACTERS`, and a last row that counts the others."""
    kept: list[list[str]] = []
    left_out, room = 0, MOST_TABLE_CHARACTERS
    for row in rows:
        room -= len(json.dumps(row))
        if room >= 0:
            kept.append(row)
        else:
            left_out, width = left_out + 1, len(row)
    if left_out:
        kept.append([f"… and {left_out:,} more rows" if left_out > 1 else "… and 1 more row"])
        kept[-1] += [""] * (width - 1)
    return kept


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")
