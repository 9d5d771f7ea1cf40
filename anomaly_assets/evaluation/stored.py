"""Read and replace the results of a category in the warehouse, in one transaction each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timezone

import duckdb
import pyarrow as pa

from anomaly_assets.evaluation.detail import detail_of
from anomaly_assets.evaluation.inputs import Key
from anomaly_assets.tables.history import cut
from anomaly_assets.tables.registry import EVALUATION

GAIN = "image_auroc_gain"
"""Metric: image AUROC at the finest recipe minus that at the common one, with a 90 % interval."""

_OF_KEY = "source_dataset = ? AND category = ? AND recipe = ?"


def stored_inputs(connection: duckdb.DuckDBPyConnection) -> dict[Key, str]:
    """Return the digest of what each stored result was computed from."""
    rows = connection.execute("SELECT source_dataset, category, recipe, inputs FROM evaluations")
    return {Key(*key): inputs for *key, inputs in rows.fetchall()}


def replace_results(
    connection: duckdb.DuckDBPyConnection,
    key: Key,
    tables: Mapping[str, pa.Table],
    recipes: tuple[str, str],
    run_id: str | None = None,
) -> None:
    """Replace all rows of a category and recipe; a table that is not given has none afterwards.

    Args:
        connection: The warehouse, after `ensure_tables`; no other connection writes these tables.
        key: Category and recipe.
        tables: Map of a table in `EVALUATION` to its new rows.
        recipes: The common recipe and the finest one of the category; their difference is stored too.
        run_id: Run that evaluated it; its event in `history` names the category from then on.
    """
    connection.begin()
    try:
        _delete(connection, [key])
        for name, rows in tables.items():
            connection.register("new_rows", rows)
            connection.execute(f"INSERT INTO {name} BY NAME FROM new_rows")
            connection.unregister("new_rows")
        _replace_gain(connection, key, *recipes)
        if run_id is not None:
            _replace_event(connection, run_id, key.source_dataset)
        connection.commit()
    except BaseException:
        connection.rollback()
        raise


def _replace_gain(
    connection: duckdb.DuckDBPyConnection, key: Key, common: str, finest: str
) -> None:
    """Store how much higher the image AUROC is at the finest recipe, once both recipes have scores."""
    category = key[:2]
    connection.execute(
        "DELETE FROM baseline_metrics WHERE source_dataset = ? AND category = ? AND metric = ?",
        (*category, GAIN),
    )
    found = connection.execute(_PAIRED, (*category, common, finest)).fetchall()
    if common == finest or not found:
        return
    before, after, anomalous = (list(column) for column in zip(*found, strict=True))
    detail = detail_of(before, after, anomalous)
    if detail is not None:
        counts = anomalous.count(False), anomalous.count(True)
        value = detail.finest - detail.common
        connection.execute(
            "INSERT INTO baseline_metrics VALUES (?, ?, ?, '', ?, ?, ?, ?, ?, ?, ?)",
            (*category, finest, GAIN, value, detail.low, detail.high, *counts, f"over {common}"),
        )


_PAIRED = """
SELECT one.score, other.score, one.label = 'anomalous'
FROM baseline_scores AS one
JOIN baseline_scores AS other USING (image_id, source_dataset, category, content_sha256)
WHERE source_dataset = ? AND category = ? AND one.recipe = ? AND other.recipe = ?
    AND one.role = 'test' AND other.role = 'test' AND one.score IS NOT NULL AND other.score IS NOT NULL
"""


def _replace_event(connection: duckdb.DuckDBPyConnection, run_id: str, source_dataset: str) -> None:
    """Store which categories of a source dataset a run evaluated so far: it may be interrupted."""
    connection.execute(
        "DELETE FROM run_events WHERE run_id = ? AND event = 'evaluated' AND source_dataset = ?",
        (run_id, source_dataset),
    )
    [(results, categories)] = connection.execute(
        "SELECT count(*), string_agg(DISTINCT category, ', ' ORDER BY category) FROM evaluations "
        "WHERE run_id = ? AND source_dataset = ?",
        (run_id, source_dataset),
    ).fetchall()
    detail = cut(f"{results} {'result' if results == 1 else 'results'} of {categories}")
    connection.execute(
        "INSERT INTO run_events (happened_at, event, source_dataset, detail, run_id, step) "
        "VALUES (?, 'evaluated', ?, ?, ?, 'evaluation')",
        (datetime.now(timezone.utc), source_dataset, detail, run_id),
    )


def remove_results(connection: duckdb.DuckDBPyConnection, keys: Iterable[Key]) -> None:
    """Remove the results of categories and recipes that no longer exist, in one transaction."""
    connection.begin()
    _delete(connection, keys)
    connection.commit()


def _delete(connection: duckdb.DuckDBPyConnection, keys: Iterable[Key]) -> None:
    for key in keys:
        for table in EVALUATION:
            connection.execute(f"DELETE FROM {table} WHERE {_OF_KEY}", key)  # noqa: S608
