"""Common fixtures of the tests of exports."""

from __future__ import annotations

from pathlib import Path

import pytest

from anomaly_assets.recipes import Recipe
from anomaly_assets_tests.export.published import PICTURES, publish_pictures


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Publish ten images, of both datasets, splits and labels; 8 x 6 pixels in colour."""
    return publish_pictures(tmp_path_factory.mktemp("published"), PICTURES)


@pytest.fixture(scope="session")
def grey_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Publish the same images with one channel."""
    return publish_pictures(tmp_path_factory.mktemp("grey"), PICTURES, Recipe(8, 6, 1))
