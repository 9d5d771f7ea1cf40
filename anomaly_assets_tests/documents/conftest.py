"""Make one copy of the project for all pages; commands run in the order of the pages."""

from __future__ import annotations

from pathlib import Path

import pytest

from anomaly_assets_tests.documents.checkout import Checkout
from anomaly_assets_tests.warehouse.lake.conftest import postgres

__all__ = ["postgres"]


@pytest.fixture(scope="session")
def checkout(project_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """Return the copy."""
    return Checkout(project_root, tmp_path_factory.mktemp("checkout"))
