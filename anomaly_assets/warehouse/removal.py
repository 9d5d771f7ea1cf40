"""Remove a source dataset on request, or the samples of the repository once real data is loaded."""

from __future__ import annotations

import uuid

import duckdb

from anomaly_assets.datasets.names import counted
from anomaly_assets.tables.ddl import LABEL_VIEWS, SAMPLE_VIEWS, ensure_tables, refresh
from anomaly_assets.tables.history import StepEvent, note_step_events
from anomaly_assets.tables.identity import take_over
from anomaly_assets.tables.registry import DECODED_TABLES, EVALUATION
from anomaly_assets.tables.source_datasets import note_consent, stored_datasets
from anomaly_assets.tables.sql_text import table_exists
from anomaly_assets.warehouse.base import Warehouse

_VIEWS_OVER_DATASETS = (*LABEL_VIEWS, *SAMPLE_VIEWS, "load_history")


def forget(warehouse: Warehouse, source_dataset: str) -> int:
    """Remove a source dataset, and record the consent to publish without it.

    Args:
        warehouse: Warehouse that holds it.
        source_dataset: Name of the source dataset.

    Returns:
        The number of images that were removed.

    Raises:
        LookupError: The warehouse does not hold the dataset; the message lists the datasets that it holds.
        WarehouseBusyError: Another run held the warehouse for too long.
    """
    with warehouse.finishing(), warehouse.connect() as connection:
        ensure_tables(connection)
        held = stored_datasets(connection)
        if source_dataset not in held:
            raise LookupError(
                f"{warehouse.name} holds no source dataset {source_dataset!r}. It holds: "
                f"{', '.join(held) or 'none'}."
            )
        take_over(connection)
        note_consent(connection, source_dataset, "forgotten", 0, None)
        return _remove(connection, source_dataset)


def remove_samples(warehouse: Warehouse, run_id: str = "") -> dict[str, int]:
    """Remove the samples of the repository, because data from a root that a variable names was loaded.

    Args:
        warehouse: Warehouse that may hold them.
        run_id: Id of the run, for `history`; empty without Dagster.

    Returns:
        Source dataset to the number of images that were removed.
    """
    with warehouse.connect() as connection:
        found = [name for name, held in stored_datasets(connection).items() if held.from_samples]
        if not found:
            return {}
        with warehouse.writing():
            ensure_tables(connection)
            removed = {name: _remove(connection, name) for name in found}
            why = "samples of the repository, because data from another root was loaded"
            events = [
                StepEvent(name, "removed", f"{counted(images, 'image')}: {why}", name)
                for name, images in removed.items()
            ]
            note_step_events(connection, run_id or uuid.uuid4().hex, events)
            return removed


def _remove(connection: duckdb.DuckDBPyConnection, name: str) -> int:
    """Remove a source dataset; its row is deleted first.

    If this is interrupted, the schema has no row, and the next run adds the row again.
    """
    images = 0
    if table_exists(connection, name, "images"):
        images = connection.execute(f'SELECT count(*) FROM "{name}".images').fetchall()[0][0]  # noqa: S608
    for table in (
        "source_datasets",
        "recipes",
        "near_duplicates",
        "searched_categories",
        *EVALUATION,
    ):
        connection.execute(f"DELETE FROM {table} WHERE source_dataset = ?", [name])  # noqa: S608
    views = connection.execute(
        "SELECT view_name FROM duckdb_views() WHERE database_name = current_database()"
    ).fetchall()
    connection.begin()
    for schema in (name, f"{name}_staging"):
        connection.execute(f'DROP SCHEMA IF EXISTS "{schema}" CASCADE')
    for table in DECODED_TABLES:
        connection.execute(
            f"DELETE FROM {table} WHERE starts_with(image_id, ?)",  # noqa: S608
            [f"{name}/"],
        )
    connection.commit()
    refresh(connection, *(view for view in _VIEWS_OVER_DATASETS if (view,) in views))
    return int(images)
