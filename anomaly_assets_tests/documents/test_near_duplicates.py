"""Execute the query of docs/curation.md about near duplicates."""

from __future__ import annotations

from pathlib import Path

import duckdb

from anomaly_assets.tables.ddl import ensure_tables
from anomaly_assets_tests.documents.markdown import PROJECT, blocks


def test_the_query_lists_the_pairs_in_two_splits_first(tmp_path: Path) -> None:
    [query] = [
        block for block in blocks(PROJECT, "docs/curation.md") if "near_duplicates" in block.text
    ]
    with duckdb.connect(str(tmp_path / "warehouse.duckdb")) as connection:
        ensure_tables(connection)
        connection.execute(
            "INSERT INTO near_duplicates VALUES ('a', 'b', 'line4', 'bolt', 0.0123, false), "
            "('a', 'c', 'line4', 'bolt', 0.3, true)"
        )
        found = connection.execute(query.text).fetchall()
    assert found == [("bolt", "a", "c", 0.3, True), ("bolt", "a", "b", 0.01, False)]
