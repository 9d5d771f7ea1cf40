"""Run the queries of several checks on a database that does not change meanwhile."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from typing import Any

import duckdb

from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.datasets.known import official_counts
from anomaly_assets.tables.ddl import row_count, sql_text, statement

MOST_AT_HAND = 100_000
"""Limit for rows of `effective_images` in a temporary table: about 100 MB."""

_LABELS = "effective_images"


class CheckQueries:
    """Queries of checks, which share what several of them read.

    Args:
        connection: The warehouse, or a published database.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._unions: dict[str, str] = {}
        self._has_rows: dict[tuple[str, object], bool] = {}

    def rows(self, name: str, values: Mapping[str, Any], form: str = "{}") -> list[Any]:
        """Return the rows of a query.

        Args:
            name: Name of its SQL file.
            values: Values of parameters by name; those that the query does not name are ignored.
            form: Statement with the query in place of the braces.
        """
        query = statement(self._connection, name, self._unions).rstrip().removesuffix(";")
        if "$official" in query:
            counts = official_counts(SOURCE_DATASETS.values())
            values = {**values, "official": [asdict(count) for count in counts]}
        parameters = {name: value for name, value in values.items() if f"${name}" in query}
        return self._connection.execute(form.format(query), parameters).fetchall()

    def has_rows(self, name: str, values: Mapping[str, Any]) -> bool:
        """Return whether a query returns rows; it runs once for each source dataset."""
        key = (name, values["source_dataset"])
        if key not in self._has_rows:
            self._has_rows[key] = bool(self.rows(name, values))
        return self._has_rows[key]

    @contextmanager
    def labels_at_hand(self, names: Iterable[str]) -> Iterator[None]:
        """Keep the rows of `effective_images` in a temporary table, if several queries read them.

        DuckDB finds a temporary table before a view of the same name. Planning the view takes longer than
        most queries of checks.

        Args:
            names: Names of the SQL files of the queries.
        """
        made = sum(_LABELS in sql_text(name) for name in names) > 1 and self._make_labels()
        try:
            yield
        finally:
            if made:
                with suppress(duckdb.Error):  # an interrupted connection keeps nothing either
                    self._drop_labels()

    def _make_labels(self) -> bool:
        """Create the temporary table; return False if it exists, is too large, or lacks its view."""
        rows = f"FROM main.{_LABELS} LIMIT {MOST_AT_HAND + 1}"
        if row_count(self._connection, "facts") > MOST_AT_HAND:  # of decoded images; a quick count
            return False
        try:
            made = self._connection.execute(f"CREATE TEMP TABLE {_LABELS} AS {rows}").fetchall()
        except (duckdb.BinderException, duckdb.CatalogException):
            return False
        if made[0][0] <= MOST_AT_HAND:
            return True
        self._drop_labels()
        return False

    def _drop_labels(self) -> None:
        self._connection.execute(f"DROP TABLE temp.main.{_LABELS}")
