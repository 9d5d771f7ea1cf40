"""Add pairs to the table of near duplicates."""

from __future__ import annotations

from collections.abc import Iterable

import duckdb

Pair = tuple[str, str, float]
"""Ids of two images, and their distance."""


def add_near_duplicates(connection: duckdb.DuckDBPyConnection, pairs: Iterable[Pair]) -> None:
    """Add pairs; create the table if the warehouse has none."""
    connection.execute(
        """
        CREATE TABLE IF NOT EXISTS near_duplicates (
            image_id_a VARCHAR, image_id_b VARCHAR, source_dataset VARCHAR, category VARCHAR,
            distance DOUBLE, crosses_splits BOOLEAN
        )
        """
    )
    rows = [(*sorted((one, other)), distance) for one, other, distance in pairs]
    connection.executemany(
        """
        INSERT INTO near_duplicates BY NAME
        SELECT $1 AS image_id_a, $2 AS image_id_b, split_part($1, '/', 1) AS source_dataset,
            split_part($1, '/', 2) AS category, $3 AS distance, false AS crosses_splits
        """,
        rows,
    )
