"""Read the content of a warehouse after a load."""

from pathlib import Path
from typing import Any

from anomaly_assets.catalogue.listing import list_catalog
from anomaly_assets.datasets import SourceDataset
from anomaly_assets.roots.open import open_root
from anomaly_assets.warehouse.file.warehouse import FileWarehouse
from anomaly_assets_tests.catalogue.trees import Row

TABLES = ("images", "stray_files")


def query(warehouse: FileWarehouse, statement: str) -> list[tuple[Any, ...]]:
    """Return the rows of a query."""
    with warehouse.connect() as connection:
        return connection.execute(statement).fetchall()


def rows_of(
    warehouse: FileWarehouse, dataset: SourceDataset, table: str = "images"
) -> dict[str, Row]:
    """Return the rows of a table, with load ids, by relative path."""
    with warehouse.connect() as connection:
        connection.execute(f"SELECT * FROM {dataset.name}.{table}")
        names = [column[0] for column in connection.description or ()]
        rows = [dict(zip(names, row, strict=True)) for row in connection.fetchall()]
    found = {row["relative_path"]: row for row in rows}
    assert len(found) == len(rows)
    return found


def load_ids(
    warehouse: FileWarehouse, dataset: SourceDataset, table: str = "images"
) -> dict[str, str]:
    """Return the load that inserted or last changed a row, by relative path."""
    rows = rows_of(warehouse, dataset, table)
    return {path: row["_dlt_load_id"] for path, row in rows.items()}


def loads(warehouse: FileWarehouse, dataset: SourceDataset) -> list[str]:
    """Return all load ids of a source dataset, oldest first."""
    statement = f"SELECT load_id FROM {dataset.name}._dlt_loads ORDER BY inserted_at"
    return [load_id for (load_id,) in query(warehouse, statement)]


def changes(warehouse: FileWarehouse, dataset: SourceDataset) -> dict[str, list[int]]:
    """Return the numbers of inserted, updated and deleted rows of the newest load, per table."""
    statement = f"""
        SELECT table_name, rows_inserted, rows_updated, rows_deleted
        FROM {dataset.name}.load_changes
        WHERE _dlt_load_id = (SELECT max_by(load_id, inserted_at) FROM {dataset.name}._dlt_loads)
    """
    return {table: counts for table, *counts in query(warehouse, statement)}


def assert_equals_root(warehouse: FileWarehouse, dataset: SourceDataset, root: Path) -> None:
    """Assert that the tables equal a fresh listing of the root."""
    listed = list_catalog(dataset, open_root(str(root)))
    for table, rows in zip(TABLES, (listed.images, listed.stray_files), strict=True):
        loaded = rows_of(warehouse, dataset, table)
        for row in loaded.values():
            assert row.pop("_dlt_load_id")
        assert loaded == {row["relative_path"]: row for row in rows.to_pylist()}
