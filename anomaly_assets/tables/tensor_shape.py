"""Record and check the shape of the tensors of a warehouse.

The shape is stored in the warehouse. Otherwise two machines with different settings would rebuild all
tensors in turns, at every publication. A machine without a setting uses the stored shape. One with another
setting is refused until the user changes the shape of the warehouse on purpose.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import astuple

import duckdb

from anomaly_assets.errors import WarehouseError, rerun_with
from anomaly_assets.settings import Settings
from anomaly_assets.tables.source_datasets import stored_datasets
from anomaly_assets.tensor_spec import TensorSpec

TENSOR_SHAPE = "tensor_shape"


def spec_for(
    connection: duckdb.DuckDBPyConnection, settings: Settings, *, change: bool = False
) -> TensorSpec:
    """Return the shape of the tensors for a run.

    Args:
        connection: The warehouse, after `ensure_tables`.
        settings: Settings of this machine; missing ones come from the warehouse.
        change: Use the settings although the warehouse has another shape.

    Raises:
        WarehouseError: The warehouse has another shape; the message explains how to change it.
    """
    recorded = _read(connection)
    if recorded is None:
        return settings.tensor_spec
    asked = settings.tensor_spec_over(recorded)
    if asked == recorded:
        return asked
    if change:
        _refuse_two_shapes(connection, settings)
        return asked
    raise WarehouseError(
        f"The tensors of this warehouse are {_named(recorded)}; ANOMALY_IMAGE_SIZE and ANOMALY_CHANNELS of "
        f"this machine ask for {_named(asked)}. Unset the two variables to use the shape of the warehouse. "
        f"To rebuild all tensors on purpose, {rerun_with('image_tensors', 'change_shape')}"
    )


def _refuse_two_shapes(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Refuse to change the shape if the run cannot rebuild the tensors of a source dataset."""
    unread = [
        f"{name.upper()}_ROOT"
        for name in stored_datasets(connection)
        if not settings.roots.get(name)
    ]
    if unread:
        raise WarehouseError(
            f"The tensors would have two shapes, because this run does not read all datasets of the "
            f"warehouse: set {', '.join(unread)}, or remove a dataset with `anomaly-assets forget NAME`."
        )


def record_spec(connection: duckdb.DuckDBPyConnection, spec: TensorSpec) -> None:
    """Record the shape of the tensors, if it is not recorded.

    Nothing is recorded for the samples of the repository, so that new users can try sizes.
    """
    held = stored_datasets(connection).values()
    if _read(connection) == spec or all(dataset.from_samples for dataset in held):
        return
    connection.begin()
    connection.execute(
        f"CREATE TABLE IF NOT EXISTS {TENSOR_SHAPE} "
        "(height INTEGER NOT NULL, width INTEGER NOT NULL, channels INTEGER NOT NULL)"
    )
    connection.execute(f"DELETE FROM {TENSOR_SHAPE}")  # noqa: S608
    connection.execute(f"INSERT INTO {TENSOR_SHAPE} VALUES (?, ?, ?)", list(astuple(spec)))  # noqa: S608
    connection.commit()


def record_loaded(connection: duckdb.DuckDBPyConnection) -> None:
    """Record the most frequent shape in a warehouse of a release that did not record it."""
    with suppress(duckdb.CatalogException):  # there is no catalogue yet
        if found := connection.execute(_HELD).fetchone():
            record_spec(connection, TensorSpec(*found[:3]))


def _read(connection: duckdb.DuckDBPyConnection) -> TensorSpec | None:
    try:
        found = connection.execute(f"SELECT height, width, channels FROM {TENSOR_SHAPE}").fetchone()  # noqa: S608
    except duckdb.CatalogException:
        return None
    return TensorSpec(*found) if found else None


def _named(spec: TensorSpec) -> str:
    return (
        f"{spec.height}x{spec.width} with {spec.channels} channel{'s' if spec.channels > 1 else ''}"
    )


_HELD = """
SELECT height, width, channels, count(*) AS tensors
FROM image_tensors
SEMI JOIN (
    SELECT image_id FROM images JOIN source_datasets USING (source_dataset) WHERE NOT from_samples
) AS held USING (image_id)
GROUP BY ALL ORDER BY tensors DESC, height, width, channels LIMIT 1
"""
