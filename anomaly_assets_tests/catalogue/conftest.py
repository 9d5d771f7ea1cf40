"""Define the fixtures of this package."""

import shutil
from pathlib import Path

import pytest

from anomaly_assets.catalogue.dlt_source import load
from anomaly_assets.warehouse.file.warehouse import FileWarehouse
from anomaly_assets_tests.catalogue.trees import MVTEC, MVTEC_PATHS, write


@pytest.fixture
def warehouse(tmp_path: Path) -> FileWarehouse:
    """Return a working database that does not exist yet; it waits for no lock."""
    return FileWarehouse(tmp_path / "warehouse" / "warehouse.duckdb", wait_seconds=0)


@pytest.fixture(scope="session")
def loaded_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create a folder with an MVTec AD root and the warehouse that it was loaded into."""
    folder = tmp_path_factory.mktemp("loaded")
    root = write(folder / "root", *MVTEC_PATHS)
    load(MVTEC, str(root), FileWarehouse(folder / "warehouse.duckdb", wait_seconds=0))
    return folder


@pytest.fixture
def loaded_root(loaded_once: Path, warehouse: FileWarehouse) -> Path:
    """Copy the root of `MVTEC_PATHS`, already loaded into `warehouse`, for each test."""
    shutil.rmtree(loaded_once / "root", ignore_errors=True)
    warehouse.path.parent.mkdir()
    shutil.copy(loaded_once / "warehouse.duckdb", warehouse.path)
    return write(loaded_once / "root", *MVTEC_PATHS)
