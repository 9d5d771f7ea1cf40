"""Read and replace the results of a category in the warehouse, in one transaction each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from itertools import groupby

import duckdb
import pyarrow as pa

from anomaly_assets.evaluation.detail import detail_of
from anomaly_assets.evaluation.inputs import Key, Subject
from anomaly_assets.tables.history import cut
from anomaly_assets.tables.registry import EVALUATION
from anomaly_assets.tables.transaction import transaction

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
    run_id: str | None = None,
) -> None:
    """Replace all rows of a category and recipe; a table that is not given has none afterwards.

    The gain of the category is removed: it was computed from the replaced scores.

    Args:
        connection: The warehouse, after `ensure_tables`; no other connection writes these tables.
        key: Category and recipe.
        tables: Map of a table in `EVALUATION` to its new rows.
        run_id: Run that evaluated it; its event in `history` names the category from then on.
    """
    with transaction(connection):
        _delete(connection, [key])
        for name, rows in tables.items():
            connection.register("new_rows", rows)
            connection.execute(f"INSERT INTO {name} BY NAME FROM new_rows")
            connection.unregister("new_rows")
        if run_id is not None:
            _replace_event(connection, run_id, key.source_dataset)


def replace_gains(connection: duckdb.DuckDBPyConnection, subjects: Sequence[Subject]) -> None:
    """Store the difference of the image AUROC between finest and common recipe, by category.

    A category has no gain unless both results were computed from the inputs of these subjects. Nothing is
    written if no gain is missing or outdated.

    Args:
        connection: The warehouse, after `ensure_tables`; no other connection writes these tables.
        subjects: All that can be evaluated of some categories, ordered by category and size; gains of
            other categories stay.
    """
    measured = {Key(*key): inputs for *key, inputs in connection.execute(_MEASURED).fetchall()}
    wanted = {}
    for _, of_category in groupby(subjects, lambda subject: subject.key[:2]):
        *smaller, finest = of_category
        common = next((each for each in smaller if each.is_common), None)
        if common and all(measured.get(each.key) == each.digest for each in (common, finest)):
            wanted[finest.key] = common.key.recipe
    gains = {Key(*key): over for *key, over in connection.execute(_GAINS).fetchall()}
    given = {subject.key[:2] for subject in subjects}
    outdated = [key for key, over in gains.items() if key[:2] in given and over != wanted.get(key)]
    missing = [(key, over) for key, over in wanted.items() if gains.get(key) != over]
    if outdated or missing:
        with transaction(connection):
            for key in outdated:
                _delete_gain(connection, key)
            for key, over in missing:
                _insert_gain(connection, key, over)


_MEASURED = """
SELECT source_dataset, category, recipe, inputs
FROM evaluations
JOIN baseline_metrics USING (source_dataset, category, recipe)
WHERE metric = 'image_auroc' AND defect_type = '' AND value IS NOT NULL
"""

_GAINS = f"""
SELECT source_dataset, category, recipe, split_part(note, ' ', 2)
FROM baseline_metrics
WHERE metric = '{GAIN}'
"""  # noqa: S608


def _insert_gain(connection: duckdb.DuckDBPyConnection, finest: Key, common: str) -> None:
    found = connection.execute(_PAIRED, (*finest[:2], common, finest.recipe)).fetchall()
    before, after, anomalous = zip(*found, strict=True) if found else ((), (), ())
    detail = detail_of(before, after, anomalous)
    if detail is not None:
        counts = anomalous.count(False), anomalous.count(True)
        value = detail.finest - detail.common
        connection.execute(
            "INSERT INTO baseline_metrics VALUES (?, ?, ?, '', ?, ?, ?, ?, ?, ?, ?)",
            (*finest, GAIN, value, detail.low, detail.high, *counts, f"over {common}"),
        )


def _delete_gain(connection: duckdb.DuckDBPyConnection, key: Key) -> None:
    """Delete the gain of the category, whatever its finest recipe was."""
    connection.execute(
        "DELETE FROM baseline_metrics WHERE source_dataset = ? AND category = ? AND metric = ?",
        (*key[:2], GAIN),
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
    with transaction(connection):
        _delete(connection, keys)


def _delete(connection: duckdb.DuckDBPyConnection, keys: Iterable[Key]) -> None:
    for key in keys:
        for table in EVALUATION:
            connection.execute(f"DELETE FROM {table} WHERE {_OF_KEY}", key)  # noqa: S608
        _delete_gain(connection, key)
