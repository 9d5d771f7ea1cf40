"""A few rows of a table for people to look at: without pixels, and no more than a page of them.

Whatever a table holds, its text stays small, because Dagster keeps it: cells and lists are cut, and rows
are left out and counted.
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
"""Of all cells of a table, as JSON has them, which is how they are stored."""

_MOST_LISTED = 5


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
        rows = fitting([[_escaped(as_cell(value)) for value in row] for row in self.rows])
        lines += [" | ".join(row) for row in rows]
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


def as_cell(value: object) -> str:
    """Show a value as text of at most `MOST_CELL_CHARACTERS` characters, names in it as in a message."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        # One text per item, so that the number of those left out is never cut off.
        more = f" and {len(value) - _MOST_LISTED:,} more" if len(value) > _MOST_LISTED else ""
        items = ", ".join(_cut(as_cell(item), 60) for item in value[:_MOST_LISTED])
        return _cut(items, MOST_CELL_CHARACTERS - len(more)) + more
    if value is None:
        return ""
    # Cut before as well: a text can be megabytes.
    return _cut(shown(str(value)[: MOST_CELL_CHARACTERS + 1]), MOST_CELL_CHARACTERS)


def fitting(rows: Iterable[list[str]]) -> list[list[str]]:
    """Return as many rows as `MOST_TABLE_CHARACTERS` hold, and a last one that counts the others."""
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
