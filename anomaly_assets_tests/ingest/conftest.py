"""What the tests of this package share."""

from pathlib import Path

import pytest

from anomaly_assets.warehouse.database import Warehouse


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    """A working database that does not exist yet; it waits for nobody."""
    return Warehouse(tmp_path / "warehouse" / "warehouse.duckdb", wait_seconds=0)


@pytest.fixture
def real_root() -> Path:
    """The real excerpts beside the checkout, where there are some."""
    root = (Path(__file__).parents[2] / ".." / "shared" / "real").resolve()
    if not root.is_dir():
        pytest.skip(f"no real excerpts at {root}")
    return root
